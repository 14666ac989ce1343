"""What the original mmengine needs to resume on a current torch."""

from typing import Any, List

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

# The functions that a HistoryBuffer and a scheduler keep by reference.
_FUNCTIONS = {
    HistoryBuffer: ('current', 'max', 'mean', 'min'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def trust_mmengine_classes() -> None:
    """Let ``torch.load`` read the classes in checkpoints of MMEngine.

    From version 2.6 on torch reads tensors and plain values alone, which the
    original mmengine (0.10.7) does not expect: it saves its message hub too,
    and could not resume from any checkpoint of its own. Allowed are that
    buffer, numpy arrays and numbers, and the functions that are named above,
    nothing that runs code of the file. Does nothing on an older torch.
    """
    add = getattr(torch.serialization, 'add_safe_globals', None)
    if add is None:
        return
    dtypes = {type(np.dtype(kind)) for kind in '?bBhHiIlLqQefd'}
    examples: List[Any] = [np.zeros(1), np.float64()]
    functions = [example.__reduce__()[0] for example in examples]
    # numpy 1 and 2 keep them in different places.
    arrays = [
        (function, f'numpy.{core}.multiarray.{function.__name__}')
        for function in functions
        for core in ('core', '_core')
    ]
    add(
        [
            HistoryBuffer,
            OneCycleParamScheduler,
            np.ndarray,
            np.dtype,
            *dtypes,
            *arrays,
            (_known_function, 'builtins.getattr'),
        ]
    )


def _known_function(owner: Any, name: str) -> Any:
    """``getattr`` for the functions that are known to be there, no others."""
    if name not in _FUNCTIONS.get(owner, ()):
        raise TypeError(f'A checkpoint should not ask for {owner}.{name}.')
    return getattr(owner, name)
