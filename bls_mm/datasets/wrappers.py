"""Which datasets a wrapper holds, and what is behind its indices."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import torch
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset

from bls_mm.runner import private


class Inside(NamedTuple):
    """What is inside of a wrapper.

    Attributes:
        datasets (list): The datasets that it holds.
        indices (Tensor, optional): What is behind each of its indices: an
            index of these datasets, counted through all of them, int64,
            shape (len(wrapper),). None where it is the same index.
    """

    datasets: List[Any]
    indices: Optional[Tensor] = None


def look_inside(dataset: Any) -> Optional[Inside]:
    """Find what is inside of a wrapper.

    Follows ``torch.utils.data.Subset`` and ``ConcatDataset``, MMEngine's
    ``num_batch_per_epoch``, mmpose's ``CombinedDataset``, any wrapper with
    the method ``_get_ori_dataset_idx`` of OpenMMLab's, such as
    ``RepeatDataset``, ``ClassBalancedDataset`` and ``CBGSDataset``, and those
    that keep the length of the ``dataset`` they wrap, such as
    ``MultiImageMixDataset``.

    With a ``sample_ratio_factor`` below 1, each index of a
    ``CombinedDataset`` is one of several neighbours, drawn at every visit:
    the one in their middle stands for all of them.

    Args:
        dataset (Dataset): Any dataset.

    Returns:
        Inside or None: None if it is no wrapper.

    Raises:
        ValueError: If ``_get_ori_dataset_idx`` names a sample that is not
            there.
    """
    size = len(dataset)
    cut = private.sliced_dataset(dataset)
    if cut is not None:
        return Inside([cut], torch.arange(size))
    lengths = private.combined_lengths(dataset)
    if lengths is not None:
        return Inside(list(dataset.datasets), _combined(lengths))
    wrapped: Any = getattr(dataset, 'dataset', None)
    if isinstance(dataset, Subset):
        indices = torch.tensor(list(dataset.indices), dtype=torch.int64)
        # Counted from the start, also where an index counts from the end.
        return Inside([wrapped], indices % len(wrapped))
    if isinstance(dataset, ConcatDataset):
        return Inside(dataset.datasets)
    if isinstance(dataset, RepeatDataset):
        return Inside([wrapped], torch.arange(size) % len(wrapped))
    if isinstance(dataset, ClassBalancedDataset):
        return Inside([wrapped], torch.tensor(dataset.repeat_indices))
    if private.original_index(dataset) is not None:
        return _asked(dataset, size)
    if hasattr(wrapped, '__len__') and len(wrapped) == size:
        return Inside([wrapped])
    return None


def _combined(lengths: List[Tuple[int, int]]) -> Tensor:
    """The samples of a ``CombinedDataset`` that its indices stand for."""
    parts, start = [], 0
    for indices, samples in lengths:
        gap = (samples - 1e-4) / max(1, indices)
        middle = (torch.arange(indices).double() + 0.5) * gap - 0.5
        parts.append(start + middle.round().long().clamp(min=0))
        start += samples
    return torch.cat(parts)


def _asked(dataset: Any, size: int) -> Inside:
    """Ask a wrapper index by index."""
    find: Any = private.original_index(dataset)
    datasets = _held(dataset)
    sizes = [len(part) for part in datasets]
    before = list(accumulate(sizes, initial=0))
    indices = []
    for index in range(size):
        part, inside = _as_pair(find(index))
        if not (0 <= part < len(sizes) and 0 <= inside < sizes[part]):
            raise ValueError(
                f'`train_dataloader.dataset`: {type(dataset).__name__} '
                f'returns {find(index)!r} from `_get_ori_dataset_idx({index})`'
                ', which should be an index of its `dataset`, or the number '
                'of one of its `datasets` and an index of that.'
            )
        indices.append(before[part] + inside)
    return Inside(datasets, torch.tensor(indices, dtype=torch.int64))


def _held(dataset: Any) -> List[Any]:
    if hasattr(dataset, 'datasets'):
        return list(dataset.datasets)
    return [dataset.dataset]


def _as_pair(found: Any) -> Tuple[int, int]:
    part, index = found if isinstance(found, tuple) else (0, found)
    return int(part), int(index)


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

    Follows the same wrappers as :func:`look_inside`.

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
    inside = private.sliced_dataset(dataset)
    if inside is not None:
        return inside, index
    if isinstance(dataset, Subset):
        wrapped: Any = dataset.dataset
        return wrapped, int(dataset.indices[index]) % len(wrapped)
    find = private.original_index(dataset)
    if find is not None:
        part, index = _as_pair(find(index))
        return _held(dataset)[part], index
    within = look_inside(dataset)
    if within is None:
        return None
    if within.indices is not None:
        index = int(within.indices[index])
    ends = list(accumulate(map(len, within.datasets)))
    part = bisect_right(ends, index)
    return within.datasets[part], index - (ends[part - 1] if part else 0)


def _transforms(dataset: Any) -> List[Any]:
    if private.sliced_dataset(dataset) is not None:
        return []  # it shows the attributes of what it cuts
    pipeline = getattr(dataset, 'pipeline', [])
    return list(getattr(pipeline, 'transforms', pipeline) or [])
