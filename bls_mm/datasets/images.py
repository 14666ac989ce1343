"""The image of a training sample, as it is stored."""

from typing import Any, Dict, List, Optional

import numpy as np

from .wrappers import Source


class NoImagesError(ValueError):
    """A dataset has no images that could be shown; says why."""


def load(source: Source) -> Dict[str, Any]:
    """Load a sample as it is stored: no augmentation, nothing resized.

    Runs only the loading transforms of the pipeline and, for the ground truth,
    the packing one.

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
