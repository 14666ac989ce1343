"""Where a dataset gets a training sample from, and its image."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from torch.utils.data import ConcatDataset, Subset

from .sample_ids import sliced


class NoImagesError(ValueError):
    """A dataset has no images that could be shown; says why."""


@dataclass(frozen=True)
class Source:
    """Where a dataset gets a sample from.

    Attributes:
        dataset (Dataset): The dataset that no wrapper is around of.
        index (int): The index of the sample in it.
        transforms (list): Those of the dataset and of the wrappers around
            it, from the inside out.
    """

    dataset: Any
    index: int
    transforms: List[Any]


def find_source(dataset: Any, index: int) -> Source:
    """Find the dataset and the index behind an index of a wrapped dataset.

    Follows the wrappers that :func:`bls_mm.sample_ids.sample_ids` follows.

    Args:
        dataset (Dataset): The dataset that the DataLoader sees.
        index (int): An index of it.
    """
    steps = list(_steps(dataset, index))
    transforms = [t for each, _ in steps[::-1] for t in _transforms(each)]
    return Source(*steps[-1], transforms)


def innermost(dataset: Any, index: int) -> Tuple[Any, int]:
    """Dataset and index of a :class:`Source`, found in less time."""
    return list(_steps(dataset, index))[-1]


def _steps(dataset: Any, index: int) -> Iterator[Tuple[Any, int]]:
    """A dataset and an index of it, and those inside, one by one."""
    step: Optional[Tuple[Any, int]] = (dataset, index)
    while step is not None:
        yield step
        step = _step_in(*step)


def _step_in(dataset: Any, index: int) -> Optional[Tuple[Any, int]]:
    """The next dataset inside, and the index there; None if there is none."""
    inside = sliced(dataset)
    if inside is not None:
        return inside, index
    if isinstance(dataset, ConcatDataset):
        part = bisect_right(dataset.cumulative_sizes, index)
        before = dataset.cumulative_sizes[part - 1] if part else 0
        return dataset.datasets[part], index - before
    wrapped: Any = getattr(dataset, 'dataset', None)
    if isinstance(dataset, RepeatDataset):
        return wrapped, index % len(wrapped)
    if isinstance(dataset, ClassBalancedDataset):
        return wrapped, int(dataset.repeat_indices[index])
    if isinstance(dataset, Subset):
        return wrapped, int(dataset.indices[index]) % len(wrapped)
    if hasattr(wrapped, '__len__') and len(wrapped) == len(dataset):
        return wrapped, index
    return None


def _transforms(dataset: Any) -> List[Any]:
    if sliced(dataset) is not None:  # shows the attributes of what it cuts
        return []
    pipeline = getattr(dataset, 'pipeline', [])
    return list(getattr(pipeline, 'transforms', pipeline) or [])


def load(source: Source) -> Dict[str, Any]:
    """Load a sample as it is stored: no augmentation, nothing resized.

    Of the pipeline only the transforms that load and, for the ground truth,
    the one that packs take part.

    Args:
        source (Source): The sample.

    Returns:
        dict: ``image``, uint8, RGB, shape (H, W, 3), and ``data_sample``, None
        where there is no such transform or it needs more than was loaded.

    Raises:
        NoImagesError: If what is loaded has no image.
    """
    dataset = source.dataset
    if not hasattr(dataset, 'get_data_info'):
        raise NoImagesError(
            f'{type(dataset).__name__} has no `get_data_info` and pipeline '
            'that would load an image'
        )
    results = dataset.get_data_info(source.index)
    loaders = _named(source.transforms, 'Load')
    for transform in loaders:
        results = transform(results)
    image = results.get('img') if isinstance(results, dict) else None
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        raise NoImagesError(
            f'the pipeline of {type(dataset).__name__} loads no `img`'
        )
    # From a file in OpenCV's order; in memory (CIFAR) as it is shown.
    shown = as_rgb(image, is_bgr=bool(loaders))
    sample = None
    for pack in _named(source.transforms, 'Pack')[:1]:
        sample = _packed(pack, results)
    return dict(image=shown, data_sample=sample)


def _named(transforms: List[Any], part: str) -> List[Any]:
    return [t for t in transforms if part in type(t).__name__]


def _packed(pack: Any, results: Dict[str, Any]) -> Optional[Any]:
    try:
        sample = pack(results).get('data_samples')
    except (AssertionError, AttributeError, KeyError):
        return None
    instances: Any = getattr(sample, 'gt_instances', None)
    boxes: Any = getattr(instances, 'bboxes', None)
    if hasattr(boxes, 'tensor'):  # which mmdet's visualizer takes alone
        instances.bboxes = boxes.tensor
    return sample


def as_rgb(image: np.ndarray, is_bgr: bool = True) -> np.ndarray:
    """Turn what a pipeline loads into what a visualizer draws on.

    Args:
        image (ndarray): Of any type, shape (H, W) or (H, W, C); of more than
            three channels the first three count.
        is_bgr (bool): Whether blue comes first. Defaults to True.

    Returns:
        ndarray: Uint8, RGB, shape (H, W, 3).
    """
    image = image.reshape(*image.shape[:2], -1)
    channels = [0, 0, 0]
    if image.shape[2] >= 3:
        channels = [2, 1, 0] if is_bgr else [0, 1, 2]
    image = image[..., channels]
    if image.dtype != np.uint8:
        image = np.nan_to_num(image.astype(np.float32))
        high = image.max(initial=0)
        if not 1 < high < 256:  # shares, or more than 8 bits
            image = image * (255 / high) if high > 0 else image
        image = image.clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(image)
