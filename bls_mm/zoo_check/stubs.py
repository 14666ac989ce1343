"""Datasets, a transform and a model that cost nothing to train."""

from typing import Any, Dict, List

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
    """A transform of ``MultiImageMixDataset`` that draws other images."""

    def get_indices(self, dataset: Any) -> List[int]:
        return [0, len(dataset) - 1]

    get_indexes = get_indices  # what mmdet calls it

    def __call__(self, results: Any) -> Any:
        return results


class StubModel(BaseModel):
    """One parameter, and a loss that depends on the samples of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm1d(1, affine=False)  # for PreciseBNHook
        self.bbox_head = nn.Module()  # for YOLOXModeSwitchHook
        self.loss_module = nn.Module()  # for SwitchRecipeHook

    def forward(self, number: Tensor, mode: str = 'tensor') -> Any:
        self.norm(number.float().repeat(2)[:, None])
        loss = (number % 7).float().mean() + 0 * self.weight.sum()
        return dict(loss=loss) if mode == 'loss' else loss


def _image_size(number: int) -> Dict[str, int]:
    """Two thirds are wide, one third is upright."""
    return dict(width=3 if number % 3 else 1, height=2)
