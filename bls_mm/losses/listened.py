"""Listening to a module by a class of its own, and undoing that."""

import functools
from abc import ABCMeta
from typing import Any, Callable, Dict, Type

import torch
from torch import nn

# Names the class that a module had before.
_ORIGINAL = 'bls_original'
# Names the attributes that the class was made with.
_NAMES = 'bls_names'


def can_listen(module: nn.Module) -> bool:
    """Whether the class of a module can be exchanged for a subclass.

    It cannot where ``forward`` is not that of the class, but was replaced by
    someone; where the class wants to know its subclasses; or where the module
    is compiled.
    """
    return (
        'forward' not in vars(module)
        and type(type(module)) in (type, ABCMeta)
        and not isinstance(module, torch.jit.ScriptModule)
        and not any(
            '__init_subclass__' in vars(cls)
            for cls in type(module).__mro__[:-1]
        )
    )


def listen_to(
    module: nn.Module, calls: Callable[..., Any], known: Dict[Any, Any]
) -> None:
    """Let every call of the ``forward`` of a module go through a function.

    A class of its own costs a call less than a forward hook, and is no part of
    what is saved: a copy or a pickle of the module has the original class.

    Args:
        module (nn.Module): One of which :func:`can_listen` is true.
        calls (callable): Called with the module, its ``forward``, and the
            arguments of the call. What it returns is returned.
        known (dict): The classes made so far for ``calls``. Changed in place.
    """
    original = type(module)
    if original not in known:
        known[original] = _listened_class(original, calls)
    module.__class__ = known[original]


def release(module: nn.Module) -> None:
    """Give a module its class back. Nothing happens if it has it."""
    held = vars(type(module))
    original = held.get(_ORIGINAL)
    if original is not None:
        # What the module has set with `type(self).name = ...`.
        for name in [name for name in held if name not in held[_NAMES]]:
            setattr(original, name, held[name])
        module.__class__ = original


def original_class(module: nn.Module) -> Type[nn.Module]:
    """The class that a module has without anyone listening."""
    return vars(type(module)).get(_ORIGINAL, type(module))


def _listened_class(
    original: Any, calls: Callable[..., Any]
) -> Type[nn.Module]:
    @functools.wraps(original.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return calls(self, original.forward, args, kwargs)

    def reduce_ex(self: nn.Module, protocol: Any) -> Any:
        def plain(value: Any) -> Any:
            return original if value is listened else value

        reduced = original.__reduce_ex__(self, protocol)
        if isinstance(reduced, str):
            return reduced
        make, args, *state = reduced
        if getattr(make, '__name__', None) == '__newobj__':
            make = original.__new__  # or pickle insists on the other class
        return (plain(make), tuple(map(plain, args)), *state)

    names = dict(
        forward=forward,
        __reduce_ex__=reduce_ex,
        __module__=original.__module__,
        __qualname__=original.__qualname__,
        __doc__=original.__doc__,
    )
    names[_ORIGINAL] = original
    if hasattr(original, '__deepcopy__'):
        names['__deepcopy__'] = _deepcopy
    make = type(original)  # `ABCMeta`, where it is one
    listened = make(original.__name__, (original,), names)
    setattr(listened, _NAMES, {*vars(listened), _NAMES})
    return listened


def _deepcopy(self: nn.Module, memo: Any) -> Any:
    """Copy by the method of the original class."""
    original: Any = original_class(self)
    copied = original.__deepcopy__(self, memo)
    release(copied)
    return copied
