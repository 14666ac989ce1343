"""A sampler that filters another one, and stands for both of them.

Whoever reaches for the sampler of a DataLoader gets the outer one: batch
samplers ask for its type, hooks set its attributes and call its methods.
"""

from functools import lru_cache, partial
from typing import Any, Dict, FrozenSet, Tuple

# Attributes of the outer sampler that have an effect on the inner one only.
_SET_INSIDE = ('num_samples', 'shuffle')


def become_both(sampler: Any, inner_type: Any) -> None:
    """Give a sampler the type, attributes and methods of its inner one.

    A name that the outer one has is the outer one's. Setting an attribute
    that it has not sets that of the inner sampler.

    Args:
        sampler (BLSSampler): The outer sampler, complete.
        inner_type (type): Class of the inner one, which is
            ``sampler._inner.sampler``.
    """
    outer: Any = type(sampler)
    own = frozenset(vars(sampler)) | frozenset(dir(outer))
    sampler.__class__ = _class_of_both(outer, inner_type, own)


@lru_cache(maxsize=None)
def _class_of_both(outer: Any, inner_type: Any, own: FrozenSet[str]) -> type:
    def get_inside(self: Any, name: str) -> Any:
        # Half-made, in a copy, or asked by pickle.
        if name.startswith('__') or '_inner' not in vars(self):
            raise AttributeError(name)
        return getattr(vars(self)['_inner'].sampler, name)

    def set_anywhere(self: Any, name: str, value: Any) -> None:
        inner = vars(self)['_inner']
        inside = name in _SET_INSIDE and hasattr(inner.sampler, name)
        if inside or name not in own:
            inner.set(name, value)
        else:
            object.__setattr__(self, name, value)

    def reduce(self: Any) -> Tuple:
        return _remake, (outer, inner_type, own), vars(self).copy()

    names: Dict[str, Any] = {
        name: property(partial(get_inside, name=name))
        for name in dir(inner_type)
        if name not in own and not name.startswith('__')
    }
    names.update(
        __module__=outer.__module__,
        __getattr__=get_inside,
        __setattr__=set_anywhere,
        __reduce__=reduce,
    )
    return type(outer.__name__, (outer, inner_type), names)


def _remake(outer: type, inner_type: type, own: FrozenSet[str]) -> Any:
    cls: Any = _class_of_both(outer, inner_type, own)
    return object.__new__(cls)
