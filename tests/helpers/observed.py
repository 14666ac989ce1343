"""What a training run does, seen through names that stay public.

A record holds plain lists, numbers and strings, so that it can be kept as
JSON. Its floats lose nothing: a float32 is written with the digits that lead
back to its bits.
"""

import json
import math
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn
from toy import ToyModel, hook_of

Record = Dict[str, Any]


@MODELS.register_module(force=True)
class ObservedModel(ToyModel):
    """The toy model with a loss module; notes what backward begins with.

    The gradient that arrives at the loss is all that its total was multiplied
    by on the way: the weight of the batch, and one over the number of batches
    whose gradients are accumulated.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.CrossEntropyLoss()
        self.weights: List[float] = []

    def forward(self, inputs, label, number, mode='tensor'):
        loss = self.loss(self.linear(inputs), label)
        loss.register_hook(lambda weight: self.weights.append(weight.item()))
        return dict(loss=loss)


@HOOKS.register_module(force=True)
class Observer(Hook):
    """Note the batches, and the scores that each pass begins with."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.numbers: List[List[int]] = []
        self.losses: List[float] = []
        self.rates: List[float] = []
        self.iters: List[int] = []
        self.pass_starts: List[int] = []
        self.scores: List[List[float]] = []
        self._passes = 0

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        passes = len(scalars(runner, 'train/bls_kept'))
        if passes > self._passes:  # or a run is resumed in the middle of one
            self._passes = passes
            self.pass_starts.append(runner.iter)
            self.scores.append(floats(hook_of(runner).scores))
        self.numbers.append(data_batch['number'].tolist())
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])
        self.iters.append(runner.iter)

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        self.losses.append(outputs['loss'].item())


def scalars(runner: Runner, name: str) -> List[float]:
    """Everything that has been logged under a name."""
    return runner.message_hub.get_scalar(name).data[0].tolist()


def floats(values: Any) -> List[float]:
    """Float32 values of any shape, each by its shortest exact digits."""
    flat = np.asarray(getattr(values, 'cpu', lambda: values)(), np.float32)
    return [float(str(value)) for value in flat.ravel()]


def seen_by_rank(runner: Runner) -> Record:
    """What this rank did in a run that is over."""
    observer = hook_of(runner, 'Observer')
    model = runner.model
    if is_model_wrapper(model):
        model = model.module
    return dict(
        numbers=observer.numbers,
        weights=floats(model.weights),
        losses=floats(observer.losses),
    )


def seen_by_all(runner: Runner) -> Record:
    """What is the same on all ranks of a run that is over."""
    observer, hook = hook_of(runner, 'Observer'), hook_of(runner)
    parameters = [floats(p.detach()) for p in runner.model.parameters()]
    return dict(
        iters=[observer.iters[0], runner.iter, runner.max_iters],
        pass_starts=observer.pass_starts,
        rates=observer.rates,
        scores=[*observer.scores, floats(hook.scores)],
        parameters=parameters,
        visited=[hook.visited, hook.visited_unpruned],
        kept=scalars(runner, 'train/bls_kept'),
        saved=scalars(runner, 'train/bls_saved'),
    )


def first_difference(
    ours: Any, theirs: Any, tolerance: float = 0.0, where: str = ''
) -> Optional[str]:
    """Where two records differ first; None if they do not.

    Args:
        ours (Any): A record, or a part of one.
        theirs (Any): Another.
        tolerance (float): Relative difference of floats that counts as none,
            and absolute difference, divided by ten. 0 compares bits.
            Defaults to 0.0.
        where (str): Name of the part. Defaults to ''.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = list(dict.fromkeys([*ours, *theirs]))
        pairs = [(key, ours.get(key), theirs.get(key)) for key in keys]
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return f'{where}: {len(ours)} values, but {len(theirs)}'
        pairs = [(i, *both) for i, both in enumerate(zip(ours, theirs))]
    elif isinstance(ours, float) and isinstance(theirs, float) and tolerance:
        close = math.isclose(
            ours, theirs, rel_tol=tolerance, abs_tol=tolerance / 10
        )
        return None if close else f'{where}: {ours!r}, but {theirs!r}'
    else:  # as text, which tells 0.0 from -0.0 and 1 from 1.0
        same = repr(ours) == repr(theirs)
        return None if same else f'{where}: {ours!r}, but {theirs!r}'
    for key, mine, yours in pairs:
        found = first_difference(mine, yours, tolerance, f'{where}/{key}')
        if found:
            return found
    return None


def write_records(path: Path, records: Dict[str, Record]) -> None:
    """Write records by name, a line for each entry of each."""
    texts = []
    for name, record in records.items():
        lines = [
            f'  {json.dumps(key)}: {json.dumps(value, separators=(",", ":"))}'
            for key, value in record.items()
        ]
        texts.append(f'{json.dumps(name)}: {{\n' + ',\n'.join(lines) + '\n}')
    path.write_text('{\n' + ',\n'.join(texts) + '\n}\n')


def read_records(path: Path) -> Dict[str, Record]:
    """Read what :func:`write_records` wrote."""
    return json.loads(path.read_text())
