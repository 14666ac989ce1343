"""A pickle module for ``torch.load`` that runs nothing that a file brings.

Allowed are dense tensors, plain Python values, numeric numpy arrays and what
MMEngine keeps beside them. Unlike the ``weights_only`` of torch, it reads the
checkpoints of MMEngine in every supported version of torch.
"""

import pickle
import re
from collections import Counter, OrderedDict
from typing import Any, Callable, Dict, Tuple

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

# The methods that a HistoryBuffer and a scheduler keep by reference.
_METHODS: Dict[Any, Tuple[str, ...]] = {
    HistoryBuffer: ('current', 'max', 'mean', 'min'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
_DTYPE = re.compile(r'[biuf]\d{1,2}')
# What pickle writes of a plain dtype, after its version and byte order.
_PLAIN_DTYPE = (None, None, None, -1, -1, 0)


def known_method(owner: Any, name: str) -> Callable:
    """``getattr`` for the methods that MMEngine pickles, and no others.

    Args:
        owner (type): The class.
        name (str): The name of its method.

    Raises:
        pickle.UnpicklingError: If it is any other attribute.
    """
    if name not in _METHODS.get(owner, ()):
        raise pickle.UnpicklingError(
            f'A checkpoint should not ask for {owner}.{name}.'
        )
    return getattr(owner, name)


def _bytes(text: str, encoding: str) -> bytes:
    """Bytes, as the protocol that torch uses writes them."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'Unsupported encoding {encoding!r}.')
    return text.encode('latin1')


def _dtype(name: str, align: bool = False, copy: bool = True) -> np.dtype:
    if not _DTYPE.fullmatch(name):
        raise pickle.UnpicklingError(f'Unsupported dtype {name!r}.')
    # Always a copy: the byte order is set in place.
    return np.dtype(name, False, True)


def _empty_array(kind: type, shape: Any, code: bytes) -> np.ndarray:
    if kind is not np.ndarray:
        raise pickle.UnpicklingError(f'Unsupported kind of array {kind}.')
    return np.empty(0)


def _scalar(dtype: np.dtype, raw: bytes) -> Any:
    return np.frombuffer(raw, dtype)[0]


def _both_spellings(name: str, function: Callable) -> Dict[str, Callable]:
    """A function that numpy 1 and 2 keep in different modules."""
    return {
        f'numpy.{core}.multiarray.{name}': function
        for core in ('core', '_core')
    }


def _rebuilding(value: torch.Tensor) -> Dict[str, Callable]:
    """The function by which torch rebuilds such a tensor."""
    function = value.__reduce_ex__(2)[0]
    return {f'{function.__module__}.{function.__name__}': function}


# What a file may call, by the name that it has there.
_CALLED: Dict[str, Callable] = {
    'collections.OrderedDict': OrderedDict,
    'collections.Counter': Counter,  # of MultiStepLR
    '_codecs.encode': _bytes,
    '__builtin__.getattr': known_method,
    'builtins.getattr': known_method,
    '__builtin__.set': set,
    'builtins.set': set,
    'torch.Size': torch.Size,
    'torch.device': torch.device,
    'numpy.dtype': _dtype,
    **_rebuilding(torch.empty(0)),
    **_rebuilding(torch.nn.Parameter(torch.empty(0))),
    **_both_spellings('_reconstruct', _empty_array),
    **_both_spellings('scalar', _scalar),
}
# What a file may name as an argument.
_NAMED: Dict[str, Any] = {
    'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
    'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler': (
        OneCycleParamScheduler
    ),
    'numpy.ndarray': np.ndarray,
    'torch.storage.UntypedStorage': torch.UntypedStorage,
}
_BUILT = (OrderedDict, HistoryBuffer, np.ndarray, np.dtype)
# They call what a file names, in ways that no checkpoint needs.
_FORBIDDEN = (
    pickle.INST
    + pickle.OBJ
    + pickle.NEWOBJ_EX
    + pickle.EXT1
    + pickle.EXT2
    + pickle.EXT4
)


# Not `pickle.Unpickler`, which is C code: it cannot be told which objects
# may be called or given a state. torch reads with Python code too.
_Base: Any = pickle._Unpickler  # noqa: SLF001


class Unpickler(_Base):
    """Rebuild the values of a checkpoint, and nothing else.

    Raises:
        pickle.UnpicklingError: If the file asks for anything else.
    """

    dispatch = dict(_Base.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """The allowed object of this name."""
        path = f'{module}.{name}'
        if module == 'torch':
            dtype = getattr(torch, name, None)
            if isinstance(dtype, torch.dtype):
                return dtype
        for allowed in (_CALLED, _NAMED):
            if path in allowed:
                return allowed[path]
        raise pickle.UnpicklingError(f'Unsupported class {path}.')

    def load_reduce(self) -> None:
        """Call a function that is allowed to be called."""
        function = self.stack[-2]
        if not any(function is allowed for allowed in _CALLED.values()):
            raise pickle.UnpicklingError(f'Unsupported call of {function}.')
        super().load_reduce()

    def load_newobj(self) -> None:
        """Make the one kind of object that is made this way."""
        kind = self.stack[-2]
        if kind is not HistoryBuffer:
            raise pickle.UnpicklingError(f'Unsupported object of {kind}.')
        super().load_newobj()

    def load_build(self) -> None:
        """Give an object its state, unless that would harm the process."""
        value, state = self.stack[-2:]
        if not isinstance(value, _BUILT):
            raise pickle.UnpicklingError(f'Unsupported state of {value}.')
        if isinstance(value, np.dtype) and state[2:] != _PLAIN_DTYPE:
            raise pickle.UnpicklingError(f'Unsupported dtype {state}.')
        super().load_build()

    def load_forbidden(self) -> None:
        """Refuse what no checkpoint needs."""
        raise pickle.UnpicklingError('Unsupported instruction.')

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build
    dispatch.update(dict.fromkeys(_FORBIDDEN, load_forbidden))
