"""Schedules that count the iterations of a run on their own.

A hook may set the learning rate by ``runner.iter`` and
``len(runner.train_dataloader)``, as mmyolo's do, and a scheduler may ask the
message hub for the iteration, as mmagic's ``LinearLrInterval`` does. In a
pruned run they are to see the numbers of the unpruned one, the length of the
run included.
"""

from contextlib import contextmanager
from typing import Any, Callable, Iterator, List

from mmengine.hooks import ParamSchedulerHook

from bls_mm.passes.planner import PassPlanner

_METHODS = ('before_train_iter', 'after_train_iter')


class View:
    """An object of which some attributes are seen with other values.

    All others are read and set on the object itself.

    Args:
        seen (object): The object.
        **values: The attributes that are seen otherwise.
    """

    def __init__(self, seen: Any, **values: Any) -> None:
        vars(self).update(values, _seen=seen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seen, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._seen, name, value)


class LoaderView(View):
    """A DataLoader with another length.

    Args:
        seen (DataLoader): The DataLoader.
        length (int): The length.
    """

    def __init__(self, seen: Any, length: int) -> None:
        super().__init__(seen, length=length)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        return iter(self._seen)


class ScheduleHooks:
    """Let the hooks and schedulers of a run see the unpruned one.

    Those of MMEngine need no help: they count their own steps.

    Args:
        runner (Runner): The runner in training.
        planner (PassPlanner): The plan.
    """

    def __init__(self, runner: Any, planner: PassPlanner) -> None:
        self._planner = planner
        self._left = 0
        self._hooks = [
            hook
            for hook in runner.hooks
            if isinstance(hook, ParamSchedulerHook)
        ]
        self._stepped = [
            hook for hook in self._hooks if _is_inherited(hook, _METHODS[1])
        ]
        others = any(map(_is_foreign, list_schedulers(runner)))
        for hook in self._hooks:
            for name in _METHODS:
                if others or not _is_inherited(hook, name):
                    method = getattr(hook, name)
                    vars(hook)[name] = self._wrapped(method, name)

    def step(self, runner: Any, times: int, follow: int = 0) -> None:
        """Step the iteration-based schedulers beyond their step an iteration.

        All of them in turn, as often as needed: stepping each ``times`` times
        is another schedule where two of them overlap. A hook with a rule of
        its own for when to step is left to it.

        Args:
            runner (Runner): The runner in training.
            times (int): Number of steps.
            follow (int): Steps that MMEngine makes after them itself, for
                the same iterations. Defaults to 0.
        """
        for left in reversed(range(times)):
            self._left = left + follow
            for hook in self._stepped:
                hook.after_train_iter(runner, batch_idx=runner.iter)
        self._left = 0

    def close(self) -> None:
        """Let them see the run as it is."""
        for hook in self._hooks:
            for name in _METHODS:
                vars(hook).pop(name, None)

    def _wrapped(self, method: Callable, name: str) -> Callable:
        # Then the planner has counted the steps of the iteration already.
        made = int(name == 'after_train_iter')

        def seen(runner: Any, *args: Any, **kwargs: Any) -> Any:
            if self._planner.sampler.pruner is None:
                return method(runner, *args, **kwargs)
            iteration = self._planner.current.step - made - self._left
            budget = self._planner.budget
            length = -(-budget.numerator // budget.denominator)
            numbers = dict(iter=iteration, max_iters=budget.steps)
            loader = LoaderView(runner.train_dataloader, length=length)
            view = View(runner, train_dataloader=loader, **numbers)
            with _told(runner.message_hub, **numbers):
                return method(view, *args, **kwargs)

        return seen


@contextmanager
def _told(message_hub: Any, **numbers: int) -> Iterator[None]:
    """Let a message hub have other numbers for a while."""
    before = {name: message_hub.get_info(name) for name in numbers}
    for name, number in numbers.items():
        message_hub.update_info(name, number)
    try:
        yield
    finally:
        for name, number in before.items():
            message_hub.update_info(name, number)


def list_schedulers(runner: Any) -> List[Any]:
    """All parameter schedulers of a runner, of all of its optimizers."""
    schedulers = runner.param_schedulers or []
    if isinstance(schedulers, dict):
        return [each for some in schedulers.values() for each in some]
    return list(schedulers)


def _is_foreign(scheduler: Any) -> bool:
    """Whether a scheduler may look for the iteration elsewhere."""
    return not type(scheduler).__module__.startswith('mmengine.')


def _is_inherited(hook: Any, name: str) -> bool:
    return getattr(type(hook), name) is getattr(ParamSchedulerHook, name)
