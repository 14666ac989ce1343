"""Settings that count iterations from the start of a run.

``val_begin=55000`` of 60,000 iterations means the last twelfth of the
training. A pruned run has fewer iterations, so such a setting would come late
or never. It is translated at the start of each pass.
"""

import inspect
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, List, Optional, Set, Tuple

from .loop import is_epoch_based

# By the name of a class, which its subclasses inherit. Attributes that count
# something else, such as the first iterations to profile, are left out.
_KNOWN = {
    'EMAHook': ('begin_iter',),  # mmengine
    'CheckpointHook': ('save_begin',),
    'ProfilerHook': (),
    'NPUProfilerHook': (),
    'DenseCLHook': ('start_iters',),  # mmpretrain
    'SwAVHook': ('frozen_layers_cfg',),
    'ExponentialMovingAverageHook': ('start_iter',),  # mmagic
}
# Of hooks that are not known, if they ask for the iteration.
_NAMES = re.compile(
    '_?(begin|start|end|stop|switch|change|warm_?up|(un)?freeze|(un)?frozen|'
    'burn_?in|delay|enable|disable|activate|milestone)(ing)?'
    '(_?(at|from|after|until))?_?(iter|iteration|step)s?|_?milestones?'
)
_INTERVALS = re.compile('interval|every|period|freq|window|queue|batch|size')
# A hook with more numbers than that has written down what happened.
_MOST_NUMBERS = 32
_ASKS = {'iter', '_iter', 'cur_iter', 'every_n_train_iters'}


@dataclass
class Threshold:
    """An attribute that counts iterations.

    Attributes:
        owner (object): What has it.
        name (str): Its name.
        original (int, list, tuple or dict): What the config says.
        value (int, list, tuple or dict): What it has been set to.
        is_set (bool): Whether it has been set at all.
    """

    owner: Any
    name: str
    original: Any
    value: Any = field(init=False)
    is_set: bool = False

    def __post_init__(self) -> None:
        self.value = self.original

    def __str__(self) -> str:
        return f'{type(self.owner).__name__}.{self.name}={self.original}'


class Thresholds:
    """Keep the settings of a run that count iterations where they belong.

    Args:
        runner (Runner): The runner, with its hooks.

    Attributes:
        found (list[Threshold]): What is translated.
        unknown (list[Threshold]): What may count iterations as well.
    """

    def __init__(self, runner: Any) -> None:
        self.found: List[Threshold] = list(_of_loop(runner.train_loop))
        self.unknown: List[Threshold] = []
        for hook in runner.hooks:
            found, unknown = _of_hook(hook)
            self.found += found
            self.unknown += unknown

    def between(self, first: int, last: int) -> List[str]:
        """What is not translated, though it may count iterations.

        Args:
            first (int): Iterations that are the same without pruning.
            last (int): Iterations of the unpruned run.

        Returns:
            list[str]: ``Class.attribute=value`` of each that lies between.
        """
        return [
            str(each)
            for each in self.unknown
            if any(first < n <= last for n in _numbers(each.original))
        ]

    def translate(
        self, iteration_at: Callable[[int], int], passed: int
    ) -> None:
        """Set all of them anew.

        Args:
            iteration_at (callable): Iteration of this run that a number of
                steps of the unpruned one is.
            passed (int): Steps that earlier passes have made. What has been
                set for them stays.
        """

        def translated(step: int, before: int, is_set: bool) -> int:
            if step <= 0 or (is_set and step <= passed):
                return before
            return iteration_at(int(step))

        for each in self._ours():
            each.value = _map(
                translated, each.original, each.value, each.is_set
            )
            each.is_set = True
            setattr(each.owner, each.name, each.value)

    def close(self) -> None:
        """Put back what the config says."""
        for each in self._ours():
            setattr(each.owner, each.name, each.original)
        self.found = []

    def _ours(self) -> List[Threshold]:
        """Those that nobody else has changed in the meantime."""
        self.found = [
            each
            for each in self.found
            if getattr(each.owner, each.name, None) == each.value
        ]
        return self.found


def _of_loop(loop: Any) -> Iterator[Threshold]:
    if not is_epoch_based(loop):
        yield Threshold(loop, 'val_begin', loop.val_begin)
        yield Threshold(loop, 'dynamic_milestones', loop.dynamic_milestones)


def _of_hook(hook: Any) -> Tuple[List[Threshold], List[Threshold]]:
    """Attributes that count iterations, and those that may."""
    names = _known(hook)
    if names is not None:
        known = [Threshold(hook, n, getattr(hook, n, None)) for n in names]
        return [each for each in known if _is_flat(each.original)], []
    if type(hook).__module__.partition('.')[0] in ('mmengine', 'bls_mm'):
        return [], []
    found, unknown = [], []
    read = _read_with_iter(hook)
    for name, value in vars(hook).items():
        if not read or not _numbers(value) or _INTERVALS.search(name):
            continue
        if _NAMES.fullmatch(name) and _is_flat(value):
            found.append(Threshold(hook, name, value))
        elif name in read and len(_numbers(value)) <= _MOST_NUMBERS:
            unknown.append(Threshold(hook, name, value))
    return found, unknown


def _known(hook: Any) -> Optional[Tuple[str, ...]]:
    for cls in type(hook).__mro__:
        if cls.__name__ in _KNOWN:
            if cls.__name__ == 'CheckpointHook' and hook.by_epoch:
                return ()
            return _KNOWN[cls.__name__]
    return None


def _read_with_iter(hook: Any) -> Set[str]:
    """Names in those methods of a hook that ask for the iteration."""
    names: Set[str] = set()
    for cls in type(hook).__mro__:
        if cls.__module__.partition('.')[0] in ('mmengine', 'builtins'):
            continue
        for function in filter(callable, vars(cls).values()):
            code = getattr(inspect.unwrap(function), '__code__', None)
            if code is not None and _ASKS & set(code.co_names):
                names.update(code.co_names)
    return names


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _is_flat(value: Any) -> bool:
    """Whether a setting is a number, or some of them, and nothing else."""
    if isinstance(value, dict):
        value = list(value.values())
    if type(value) in (list, tuple):
        return bool(value) and all(map(_is_number, value))
    return _is_number(value)


def _numbers(value: Any) -> List[int]:
    """All numbers in a setting, keys too."""
    if _is_number(value):
        return [int(value)]
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return [number for each in value for number in _numbers(each)]
    return []


def _map(
    function: Callable[[int, int, bool], int],
    original: Any,
    value: Any,
    is_set: bool,
) -> Any:
    """Apply a function to each integer of a setting."""
    if isinstance(original, dict):
        return {
            key: function(step, value[key], is_set)
            for key, step in original.items()
        }
    if isinstance(original, (list, tuple)):
        return type(original)(
            function(step, before, is_set)
            for step, before in zip(original, value)
        )
    return function(original, value, is_set)
