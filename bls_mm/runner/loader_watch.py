"""Hearing of a DataLoader that takes the place of a training loop's own.

Hooks rebuild it in mid-run: for other augmentations in the last epochs, as
those of mmyolo and mmpose do, or for other data.
"""

from typing import Any, Callable

from .class_swap import release, watch
from .pass_iterator import PassIterator


class LoaderWatch:
    """Watch the DataLoader of a training loop.

    Args:
        loop (EpochBasedTrainLoop or IterBasedTrainLoop): The loop.
        on_replaced (callable): Called with the new DataLoader.
        make_iterator (callable, optional): Makes the iterator of an
            iteration-based loop from its DataLoader. Defaults to None, the
            loop has epochs.
    """

    def __init__(
        self,
        loop: Any,
        on_replaced: Callable[[Any], None],
        make_iterator: Any = None,
    ) -> None:
        self._loop = loop
        self._on_replaced = on_replaced
        self._make_iterator = make_iterator
        watch(loop, self, _watching)
        if make_iterator is not None:
            iterator = make_iterator(loop.dataloader)
            if not hasattr(loop.dataloader_iterator, 'skip_iter'):
                # mmengine 0.10.7 skips by drawing as many batches.
                iterator.ignore(loop.iter)
            loop.dataloader_iterator = iterator

    def close(self) -> None:
        """Stop watching."""
        release(self._loop)

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
        self._on_replaced(loader)
        return self._make_iterator(loader)


def _watching(cls: Any) -> type:
    """A subclass of a training loop class that reports to its watcher."""

    class Watching(cls):
        @property
        def dataloader(self) -> Any:
            return vars(self)['dataloader']

        @dataloader.setter
        def dataloader(self, loader: Any) -> None:
            self.__dict__['dataloader'] = loader
            self.bls_watcher.replace_loader(loader)

        @property
        def dataloader_iterator(self) -> Any:
            return vars(self)['dataloader_iterator']

        @dataloader_iterator.setter
        def dataloader_iterator(self, iterator: Any) -> None:
            iterator = self.bls_watcher.replace_iterator(iterator)
            self.__dict__['dataloader_iterator'] = iterator

    return Watching
