"""Which distinct sample is behind an index of a wrapped dataset."""

from dataclasses import dataclass
from typing import Any, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from .wrappers import look_inside


@dataclass(frozen=True)
class SampleIds:
    """Sample ids of a dataset.

    Attributes:
        count (int): Number of distinct samples.
        of_index (Tensor, optional): Id in [0, count) of the sample behind
            each index, int64, shape (len(dataset),), on the CPU. None where
            the index itself is the id, which costs no memory.
    """

    count: int
    of_index: Optional[Tensor] = None


def sample_ids(dataset: Any) -> SampleIds:
    """Find the distinct samples of a dataset.

    Follows the wrappers of torch, MMEngine and its packages, see
    :func:`bls_mm.datasets.wrappers.look_inside`. Of any other dataset each
    index is a sample.

    Args:
        dataset (Sized): The dataset that the DataLoader sees.

    Returns:
        SampleIds: Their number and the map from index to id.

    Raises:
        ValueError: If a wrapper names a sample that is not there.
    """
    inside = look_inside(dataset)
    if inside is None:
        return SampleIds(len(dataset))
    within = _concatenated(inside.datasets)
    if inside.indices is None:
        return within
    return _taken(within, inside.indices, len(dataset))


def _taken(inner: SampleIds, indices: Tensor, size: int) -> SampleIds:
    """Ids of a dataset that takes ``indices`` of another one."""
    if inner.of_index is not None:
        return compact(inner.of_index[indices])
    if torch.equal(indices, torch.arange(size)):
        return SampleIds(size)
    return compact(indices)


def compact(ids: Tensor) -> SampleIds:
    """Number the ids that occur from 0, in their order."""
    distinct, of_index = ids.unique(return_inverse=True)
    return SampleIds(len(distinct), of_index)


def _concatenated(datasets: Sequence[Any]) -> SampleIds:
    parts = [sample_ids(part) for part in datasets]
    if all(part.of_index is None for part in parts):
        return SampleIds(sum(part.count for part in parts))
    ids, count = [], 0
    for part in parts:
        of_index = part.of_index
        if of_index is None:
            of_index = torch.arange(part.count)
        ids.append(of_index + count)
        count += part.count
    return SampleIds(count, torch.cat(ids))


def one_round(ids: SampleIds) -> Optional[Tensor]:
    """The fewest indices that visit every sample in the same ratio.

    ``RepeatDataset`` makes an epoch longer by visiting every sample k times.
    An iteration-based run has no epochs: there a pass is one round.

    Args:
        ids (SampleIds): The samples of the dataset.

    Returns:
        Tensor or None: Int64, shape (R,); None where it would be all
        indices.
    """
    if ids.of_index is None:
        return None
    visits = torch.bincount(ids.of_index, minlength=ids.count)
    rounds = int(np.gcd.reduce(visits.numpy()))
    if rounds == 1:
        return None
    return _first_visits(ids.of_index, visits // rounds)


def _first_visits(of_index: Tensor, wanted: Tensor) -> Tensor:
    """Indices of the first ``wanted[i]`` visits of each sample i."""
    order = of_index.argsort(stable=True)
    ordered = of_index[order]
    start = torch.searchsorted(ordered, ordered)
    nth = torch.arange(len(ordered)) - start
    return order[nth < wanted[ordered]].sort().values


def first_indices(samples: SampleIds) -> np.ndarray:
    """The first index of each sample of a dataset.

    Args:
        samples (SampleIds): The samples.

    Returns:
        ndarray: Int64, shape (number of samples,).
    """
    if samples.of_index is None:
        return np.arange(samples.count)
    return np.unique(samples.of_index.numpy(), return_index=True)[1]


def index_of(samples: SampleIds, sample: int) -> int:
    """The first index of one sample."""
    if samples.of_index is None:
        return sample
    found = samples.of_index == sample
    return int(found.int().argmax())
