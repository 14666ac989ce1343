"""Datasets, a transform and a model that cost nothing to train."""

from typing import Any, Dict, List, Sequence

import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from torch import Tensor, nn

FRAMES = 3  # of a video


class StubDataset(BaseDataset):
    """Samples that only know their number and what samplers ask for.

    Args:
        size (int): Number of samples.
        offset (int): Number of the first one.
    """

    METAINFO = dict(classes=('common', 'rare'))

    def __init__(self, size: int, offset: int) -> None:
        self.size, self.offset = size, offset
        super().__init__(serialize_data=False)

    def load_data_list(self) -> List[Dict[str, Any]]:
        return [
            dict(number=number, **_image_size(number))
            for number in range(self.offset, self.offset + self.size)
        ]

    def prepare_data(self, idx: int) -> Dict[str, int]:
        # Not through `self.pipeline`, which hooks replace by a real one.
        return dict(number=self.get_data_info(idx)['number'])

    def get_cat_ids(self, idx: int) -> List[int]:
        return [0] if self.get_data_info(idx)['number'] % 5 else [0, 1]


def stub_video_dataset() -> type:
    """Make the stub for configs of videos; its base class is mmdet's.

    Returns:
        type: A class with the arguments of :class:`StubDataset`, whose
        samples are frames.
    """
    from mmdet.datasets.base_video_dataset import BaseVideoDataset

    class StubVideoDataset(BaseVideoDataset):
        METAINFO = StubDataset.METAINFO
        get_cat_ids = StubDataset.get_cat_ids

        def __init__(self, size: int, offset: int) -> None:
            self.size, self.offset = size, offset
            super().__init__(serialize_data=False)

        def load_data_list(self) -> List[Dict[str, Any]]:
            return [
                dict(number=number, images=[_image_size(number)] * FRAMES)
                for number in range(self.offset, self.offset + self.size)
            ]

        def filter_data(self) -> List[Dict[str, Any]]:
            return self.data_list

        def prepare_data(self, idx: Any) -> Dict[str, int]:
            video, frame = idx if isinstance(idx, tuple) else (idx, 0)
            number = self.get_data_info(video)['number']
            return dict(number=number * FRAMES + frame)

    return StubVideoDataset


class StubMix:
    """A transform of a wrapper: draws other images, keeps the number."""

    def get_indices(self, dataset: Any) -> List[int]:
        return [0, len(dataset) - 1]

    get_indexes = get_indices  # what mmdet calls it

    def __call__(self, results: Any) -> Dict[str, int]:
        return dict(number=results['number'])


class StubModel(BaseModel):
    """One layer, and a loss that depends on the samples of the batch.

    Args:
        parts (list[str]): Names of parts that have an optimizer each, as the
            two sides of a GAN. Defaults to none.
    """

    def __init__(self, parts: Sequence[str] = ()) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.norm = nn.BatchNorm1d(1)  # for PreciseBNHook
        self.bbox_head = nn.Module()  # for YOLOXModeSwitchHook
        self.head = nn.Module()  # for YOLOXPoseModeSwitchHook
        self.loss_module = nn.Module()  # for SwitchRecipeHook
        self._next_scale_int = 4  # for PGGANFetchDataHook
        self.parts = nn.ModuleList(nn.Linear(1, 1) for _ in parts)

    def forward(self, number: Tensor, mode: str = 'tensor') -> Any:
        self.norm(number.float().repeat(2)[:, None])
        loss = (number % 7).float().mean()
        for parameter in self.parameters():
            loss = loss + 0 * parameter.sum()
        return dict(loss=loss) if mode == 'loss' else loss

    def train_step(self, data: Any, optim_wrapper: Any) -> Dict[str, Tensor]:
        data = dict(number=numbers_of(data))
        if not self.parts:
            return super().train_step(data, optim_wrapper)
        for wrapper in optim_wrapper.values():
            outputs = self._run_forward(data, mode='loss')
            wrapper.update_params(outputs['loss'])
        return outputs


def numbers_of(data: Any) -> Tensor:
    """The numbers of the samples of a batch, or of several batches."""
    if isinstance(data, dict):
        return data['number']
    return torch.cat([numbers_of(each) for each in data])


def _image_size(number: int) -> Dict[str, int]:
    """Two thirds are wide, one third is upright."""
    return dict(width=3 if number % 3 else 1, height=2)
