"""Hearing of what happens to a training loop.

Hooks rebuild its DataLoader in mid-run: for other augmentations in the last
epochs, as those of mmyolo and mmpose do, or for other data. And a run may end
with an exception, after which no hook is called.
"""

from functools import wraps
from inspect import getattr_static
from typing import Any, Callable

from mmengine.runner import EpochBasedTrainLoop

from .class_swap import release, watch
from .pass_iterator import PassIterator


class LoopWatch:
    """Watch a training loop.

    Args:
        loop (EpochBasedTrainLoop or IterBasedTrainLoop): The loop.
        on_replaced (callable): Called with a new DataLoader.
        on_failed (callable): Called when an exception ends the run.
        make_iterator (callable, optional): Makes the iterator of an
            iteration-based loop from its DataLoader. Defaults to None, the
            loop has epochs.
    """

    def __init__(
        self,
        loop: Any,
        on_replaced: Callable[[Any], None],
        on_failed: Callable[[], None],
        make_iterator: Any = None,
    ) -> None:
        self._loop = loop
        self._on_replaced = on_replaced
        self.on_failed = on_failed
        self._make_iterator = make_iterator
        watch(loop, self, _watching)
        if make_iterator is not None:
            iterator = self._replace(loop.dataloader_iterator, loop.dataloader)
            if iterator.draws_to_skip:
                iterator.ignore(loop.iter)
            loop.dataloader_iterator = iterator

    def close(self) -> None:
        """Stop watching."""
        release(self._loop)
        if self._make_iterator is not None:
            self._loop.dataloader_iterator.close()

    def replace_loader(self, loader: Any) -> None:
        """Follow an epoch-based loop, which reads its DataLoader anew."""
        if self._make_iterator is None:
            self._on_replaced(loader)

    def replace_iterator(self, iterator: Any) -> Any:
        """Follow an iteration-based loop, which reads one iterator.

        Args:
            iterator (object): What a hook has set.

        Returns:
            object: What the loop should read.

        Raises:
            ValueError: If the DataLoader behind it cannot be found.
        """
        if self._make_iterator is None or isinstance(iterator, PassIterator):
            return iterator
        loader = getattr(iterator, '_dataloader', None)
        if loader is None:
            raise ValueError(
                '`runner.train_loop.dataloader_iterator` was replaced by a '
                f'{type(iterator).__name__}, which BLSHook cannot follow. '
                'Replace it by an iterator of MMEngine, or set '
                '`runner.train_loop.dataloader` in an epoch-based run.'
            )
        self._loop.dataloader_iterator.close()
        self._on_replaced(loader)
        return self._replace(iterator, loader)

    def _replace(self, before: Any, loader: Any) -> PassIterator:
        """Make the iterator that takes the place of another one."""
        iterator = self._make_iterator(loader)
        if isinstance(before, PassIterator):  # of an earlier training
            iterator.draws_to_skip = before.draws_to_skip
        else:
            iterator.draws_to_skip = not hasattr(before, 'skip_iter')
        return iterator


class _Replaced:
    """Tell the watcher of a loop of a new DataLoader or iterator.

    Other attributes change in each iteration, and the DataLoader is read in
    each, so neither a ``__setattr__`` nor a property would do.

    Args:
        cls (type): The loop's own class.
        name (str): Name of the attribute.
    """

    def __init__(self, cls: Any, name: str) -> None:
        self._name = name
        self._own = getattr_static(cls, name, None)

    def __set__(self, loop: Any, value: Any) -> None:
        if self._name == 'dataloader_iterator':
            value = loop.bls_watcher.replace_iterator(value)
        if hasattr(self._own, '__set__'):
            self._own.__set__(loop, value)
        else:
            vars(loop)[self._name] = value
        if self._name == 'dataloader':
            loop.bls_watcher.replace_loader(value)


class _ReplacedProperty(_Replaced):
    """The same for an attribute that the class has made a property."""

    def __get__(self, loop: Any, cls: Any = None) -> Any:
        return self._own.__get__(loop, cls)


def _watching(cls: Any) -> type:
    """A subclass of a training loop class that reports to its watcher."""

    class Watching(cls):
        pass

    for name in ('dataloader', 'dataloader_iterator'):
        is_property = hasattr(getattr_static(cls, name, None), '__set__')
        kind = _ReplacedProperty if is_property else _Replaced
        setattr(Watching, name, kind(cls, name))

    # An epoch that MMEngine runs needs no help in each of its iterations.
    runs_epochs = getattr(cls, 'run', None) is EpochBasedTrainLoop.run
    for name in ('run_epoch',) if runs_epochs else ('run_epoch', 'run_iter'):
        if hasattr(cls, name):
            setattr(Watching, name, _watched(getattr(cls, name)))
    return Watching


def _watched(run: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a training loop that reports when it fails."""

    @wraps(run)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return run(self, *args, **kwargs)
        except BaseException:
            _tell_failure(self)
            raise

    return watched


def _tell_failure(loop: Any) -> None:
    """Tell the watcher of a loop that an exception ends the run."""
    if hasattr(loop, 'bls_watcher'):  # not twice
        loop.bls_watcher.on_failed()
