"""Reading checkpoints of MMEngine without trusting the file."""

import inspect
import zipfile
from pathlib import Path
from typing import Any, List, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

from . import unpickler


def load_checkpoint(path: Union[str, Path]) -> Any:
    """Read a checkpoint to the CPU; nothing that it brings is run.

    Reads what ``torch.load(weights_only=True)`` reads of a checkpoint after
    :func:`trust_mmengine_classes`, in every version of torch, and changes no
    list of that process. From torch 2.1 on tensors stay on disk until used.

    Args:
        path (str or Path): A file of ``torch.save``.

    Returns:
        Any: What was saved, usually a dict.

    Raises:
        ValueError: If the file is damaged or TorchScript, or holds anything
            but dense tensors, plain values, numeric arrays and what MMEngine
            keeps beside them.
    """
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.rpartition('/')[2] for name in file.namelist()]
    except Exception as error:  # damage can raise anything
        raise ValueError('is damaged') from error
    if 'constants.pkl' in names:  # torch.load would run it
        raise ValueError('cannot be loaded safely (it is TorchScript)')
    options = {}
    if 'mmap' in inspect.signature(torch.load).parameters:
        options = dict(mmap=True)
    try:
        return torch.load(
            str(path),
            map_location='cpu',
            weights_only=False,  # which would refuse a pickle module
            pickle_module=unpickler,
            **options,
        )
    except Exception as error:  # a pickle can raise anything
        reason = str(error).strip().partition('\n')[0]
        raise ValueError(f'cannot be loaded safely ({reason})') from error


def trust_mmengine_classes() -> None:
    """Let ``torch.load`` read the classes in checkpoints of MMEngine.

    From version 2.6 on torch reads tensors and plain values alone, which the
    original mmengine (0.10.7) does not expect: it saves its message hub too,
    and could not resume from any checkpoint of its own. This allows that
    buffer, numpy arrays and numbers, and the methods that it keeps by
    reference: nothing that runs code of the file. It does nothing on an older
    torch, where MMEngine reads its checkpoints without this. (The list of
    torch 2.4 and 2.5 takes no names.)
    """
    version = tuple(int(part) for part in torch.__version__.split('.')[:2])
    if version < (2, 6):
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
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            OneCycleParamScheduler,
            np.ndarray,
            np.dtype,
            *dtypes,
            *arrays,
            (unpickler.known_method, 'builtins.getattr'),
        ]
    )
