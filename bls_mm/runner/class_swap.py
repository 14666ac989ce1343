"""Watching an object by a subclass of its class.

The object stays the same one, so whoever holds on to it is watched too, and
isinstance checks keep working.
"""

from typing import Any, Callable

_ORIGINAL = 'bls_original_class'
_WATCHER = 'bls_watcher'


def watch(target: Any, watcher: Any, subclass: Callable[[type], type]) -> None:
    """Replace the class of an object by a subclass that knows a watcher.

    Whatever watched the object before is dropped: it belongs to a training
    that an exception has ended.

    Args:
        target (object): The object; ``target.bls_watcher`` is the watcher
            from now on.
        watcher (object): Who watches.
        subclass (callable): Makes a subclass of the object's own class.
    """
    release(target)
    original = type(target)
    watching = subclass(original)
    watching.__name__ = original.__name__
    watching.__qualname__ = original.__qualname__
    watching.__module__ = original.__module__
    setattr(watching, _ORIGINAL, original)
    setattr(watching, '__reduce_ex__', _reduce_unwatched)  # noqa: B010
    target.__class__ = watching
    setattr(target, _WATCHER, watcher)


def release(target: Any) -> None:
    """Give an object its own class back, if it is watched."""
    original = vars(type(target)).get(_ORIGINAL)
    if original is not None:
        target.__class__ = original
        vars(target).pop(_WATCHER, None)


def original_class(target: Any) -> type:
    """The class that an object has when nobody watches it."""
    return vars(type(target)).get(_ORIGINAL, type(target))


def _reduce_unwatched(target: Any, protocol: Any) -> Any:
    """Pickle or copy the object as if nobody watched it."""
    original = vars(type(target))[_ORIGINAL]
    plain = object.__new__(original)
    vars(plain).update(vars(target))
    vars(plain).pop(_WATCHER, None)
    return _same, (plain,)


def _same(target: Any) -> Any:
    return target
