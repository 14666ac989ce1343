"""Private names of OpenMMLab and torch that have no public twin.

Each was checked with mmengine 0.10.7 and onedl-mmengine 0.10.12, mmdet 3.3.0
and onedl-mmdetection 3.5.1, mmpose 1.3.2, and torch 2.0 to 2.14. A test per
name fails when one goes away.
"""
# ruff: noqa: SLF001

from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Optional, Tuple


def is_resumed(runner: Any) -> bool:
    """Whether a runner resumes a run, rather than loading its weights."""
    return bool(runner._resume)


def set_loop_length(loop: Any, max_iters: int) -> None:
    """Set the iterations of a training loop; ``max_iters`` has no setter."""
    loop._max_iters = max_iters


def accumulative_counts(wrapper: Any) -> int:
    """Calls of ``backward`` between two steps of an optimizer wrapper."""
    return getattr(wrapper, '_accumulative_counts', 1)


def accumulation_end(wrapper: Any) -> Optional[int]:
    """Calls of ``backward`` after which a wrapper steps for the last time.

    Returns:
        int or None: None if it knows of no end: MMEngine tells it to the
        optimizer wrapper of a run, but to none of an ``OptimWrapperDict``.
    """
    end = getattr(wrapper, '_max_counts', -1)
    return None if end == -1 else end


def accumulation_divisor(wrapper: Any) -> int:
    """What the losses since the last step of a wrapper were divided by."""
    counts, last = wrapper._accumulative_counts, wrapper.inner_count - 1
    end, remainder = accumulation_end(wrapper), wrapper._remainder_counts
    if end is None or not (last + 1) % counts or last < end - remainder:
        return counts
    return remainder or counts


def set_accumulation_end(wrapper: Any, end: Optional[int]) -> None:
    """Tell a wrapper which accumulation is its last; None if none is.

    ``initialize_count_status`` would also reset the count so far.
    """
    counts = accumulative_counts(wrapper)
    if end is None:
        wrapper._max_counts = wrapper._remainder_counts = -1
        return
    wrapper._max_counts = end
    # A remainder of 0 divides by nothing up to the end, and fails after it.
    wrapper._remainder_counts = end % counts or counts


def scheduler_steps(scheduler: Any) -> int:
    """Steps that a parameter scheduler has made, before it began as well."""
    return scheduler._global_step


def sliced_dataset(dataset: Any) -> Optional[Any]:
    """What MMEngine's ``num_batch_per_epoch`` cut short, or None.

    The class is local to a function and passes every attribute on to what it
    holds, so only its own instance dict tells it apart.
    """
    if type(dataset).__name__ == '_SlicedDataset':
        return vars(dataset)['_dataset']
    return None


def original_index(dataset: Any) -> Optional[Callable[[int], Any]]:
    """The method by which a wrapper finds what is behind an index, or None.

    All of OpenMMLab's wrappers that take samples from one dataset or several
    have it: ``RepeatDataset``, ``ConcatDataset``, mmdet3d's ``CBGSDataset``.
    """
    holds = hasattr(dataset, 'dataset') or hasattr(dataset, 'datasets')
    find = getattr(dataset, '_get_ori_dataset_idx', None)
    return find if holds and callable(find) else None


def combined_lengths(dataset: Any) -> Optional[List[Tuple[int, int]]]:
    """How many indices and samples mmpose's ``CombinedDataset`` has of each.

    They differ with a ``sample_ratio_factor``. None for any other dataset.
    """
    names = [cls.__name__ for cls in type(dataset).__mro__]
    if 'CombinedDataset' not in names or not hasattr(dataset, '_lens'):
        return None
    parts = getattr(dataset, '_lens_ori', dataset._lens)
    return list(zip(dataset._lens, parts))


def empty_buckets(batch_sampler: Any) -> None:
    """Empty the buckets of mmdet's batch samplers.

    They keep them from one iteration to the next, with what an iteration that
    was broken off has left in them.
    """
    for name in ('_aspect_ratio_buckets', '_buckets'):
        buckets = getattr(batch_sampler, name, None)
        if buckets is not None:
            setattr(batch_sampler, name, [[] for _ in buckets])


def submodules(module: Any) -> Any:
    """The dict of a module's children; ``getattr`` takes 1 us for one."""
    return module._modules


def versions_of(tensors: Any) -> List[int]:
    """How often tensors, or those that share their memory, were changed.

    0 for tensors of inference mode, which do not count.
    """
    try:
        return [tensor._version for tensor in tensors]
    except RuntimeError:
        return [0 if t.is_inference() else t._version for t in tensors]


@contextmanager
def keeping_workers(loader: Any) -> Iterator[None]:
    """Let iterations that begin meanwhile use one set of workers.

    What ``persistent_workers`` does, which cannot be set any more once a
    DataLoader has been made. Whoever else reads it has workers of its own.
    """
    vars(loader)['persistent_workers'] = True
    try:
        yield
    finally:
        vars(loader)['persistent_workers'] = False


def drop_workers(loader: Any) -> None:
    """Let go of the workers that a DataLoader has kept, which end then."""
    loader._iterator = None
