"""Where a dataset gets a training sample from, and its image."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from torch.utils.data import ConcatDataset, Subset

from bls_mm.runner.private import sliced_dataset


@dataclass(frozen=True)
class Source:
    """Where a dataset gets a sample from.

    Attributes:
        dataset (Dataset): The innermost dataset, without wrappers.
        index (int): The index of the sample in it.
        transforms (list): Those of the dataset and of the wrappers around
            it, from the inside out.
    """

    dataset: Any
    index: int
    transforms: List[Any]


def find_source(dataset: Any, index: int) -> Source:
    """Find the dataset and the index behind an index of a wrapped dataset.

    Follows the same wrappers as :func:`bls_mm.datasets.sample_ids.sample_ids`.

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
    inside = sliced_dataset(dataset)
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
    if (
        sliced_dataset(dataset) is not None
    ):  # shows the attributes of what it cuts
        return []
    pipeline = getattr(dataset, 'pipeline', [])
    return list(getattr(pipeline, 'transforms', pipeline) or [])
