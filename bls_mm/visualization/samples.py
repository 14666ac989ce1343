"""Training samples as pictures, with the ground truth of the dataset."""

import copy
from typing import Any, Optional, Sequence

import numpy as np
from mmengine.registry import VISUALIZERS
from mmengine.visualization import BaseVisBackend

from bls_mm.datasets.images import load
from bls_mm.datasets.wrappers import find_source, innermost

# A label beside an image that is smaller than this would cover it.
_LEAST_SIDE = 224


class _LastImage(BaseVisBackend):
    """A backend that keeps the last picture in place of writing it."""

    def __init__(self) -> None:
        super().__init__(save_dir='')
        self.image: Optional[np.ndarray] = None

    def _init_env(self) -> None:
        """Nothing to set up."""

    @property
    def experiment(self) -> '_LastImage':
        return self

    def add_image(
        self, name: str, image: np.ndarray, *args: Any, **kwargs: Any
    ) -> None:
        self.image = image

    def add_config(self, config: Any, **kwargs: Any) -> None:
        """Not needed."""

    add_graph = add_scalar = add_scalars = add_config


class SampleDrawer:
    """Draw the ground truth of samples by the visualizer of their task.

    Args:
        dataset (Dataset): The dataset that the DataLoader sees.
        visualizer (dict or type): Config or class of the visualizer, such as
            mmdet's ``DetLocalVisualizer``, of which another instance is
            built, one that writes nothing.
    """

    def __init__(self, dataset: Any, visualizer: Any) -> None:
        self._dataset = dataset
        self._last = _LastImage()
        cfg = {'type': visualizer}
        if isinstance(visualizer, dict):
            cfg = dict(copy.deepcopy(visualizer))
            cfg.pop('save_dir', None)
        cfg.update(name='bls_samples', vis_backends=[self._last])
        kind, scope = cfg.pop('type'), cfg.pop('_scope_', None)
        if isinstance(kind, str):
            with VISUALIZERS.switch_scope_and_registry(scope) as registry:
                kind = registry.get(kind)
        # Not built by the registry, which would make it the visualizer that
        # all the rest of the process finds.
        self._visualizer = kind(**cfg)
        for owner in (find_source(dataset, 0).dataset, dataset):
            metainfo = getattr(owner, 'metainfo', None)
            if metainfo:
                self._visualizer.dataset_meta = metainfo

    def draw(self, index: int) -> np.ndarray:
        """The picture of a sample.

        Args:
            index (int): An index of the dataset.

        Returns:
            ndarray: Uint8, RGB, shape (H, W, 3).

        Raises:
            NoImagesError: If the sample has no image.
        """
        loaded = load(find_source(self._dataset, index))
        image, sample = loaded['image'], loaded['data_sample']
        if sample is None:
            return image
        self._last.image = None
        if hasattr(self._visualizer, 'visualize_cls'):
            self._visualizer.visualize_cls(
                enlarged(image), sample, draw_pred=False
            )
        else:
            self._visualizer.add_datasample(
                'sample', image, sample, draw_gt=True, draw_pred=False
            )
        # MMEngine's own visualizer draws nothing.
        return image if self._last.image is None else self._last.image

    def label(self, index: int) -> str:
        """The names of a sample's classes, where it has a label as a whole.

        Args:
            index (int): An index of the dataset.
        """
        dataset, index = innermost(self._dataset, index)
        info = dataset.get_data_info(index)
        names = (self._visualizer.dataset_meta or {}).get('classes')
        labels = np.unique(info.get('gt_label', [])).astype(int).tolist()
        return ', '.join(class_name(names, label) for label in labels)


def class_name(names: Optional[Sequence[Any]], label: int) -> str:
    """The name of a class, or its number where it has none."""
    return str(names[label] if names and label < len(names) else label)


def enlarged(image: np.ndarray) -> np.ndarray:
    """Repeat the pixels of a small image until a text has room on it.

    Args:
        image (ndarray): Shape (H, W, 3).
    """
    times = -(-_LEAST_SIDE // min(image.shape[:2]))
    return image.repeat(times, 0).repeat(times, 1) if times > 1 else image
