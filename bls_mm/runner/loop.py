"""What has to be set in MMEngine's loops, schedulers and optimizers.

MMEngine fixes the length of a run when it is built. Private attributes are
used where it offers no other way; tests fail when one goes away.
"""
# ruff: noqa: SLF001

from typing import Any, List

from mmengine.hooks import CheckpointHook, ParamSchedulerHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop


def is_epoch_based(loop: Any) -> bool:
    """Whether a training loop has epochs.

    Raises:
        TypeError: If it is neither epoch- nor iteration-based.
    """
    if isinstance(loop, EpochBasedTrainLoop):
        return True
    if isinstance(loop, IterBasedTrainLoop):
        return False
    raise TypeError(
        '`train_cfg.type` should be an EpochBasedTrainLoop or an '
        f'IterBasedTrainLoop with BLSHook, but got {type(loop).__name__}.'
    )


def set_max_iters(runner: Any, max_iters: int) -> None:
    """Correct the number of iterations that a run is expected to have.

    The loop, the ETA, the last checkpoint and the last step of gradient
    accumulation depend on it.

    Args:
        runner (Runner): The runner in training.
        max_iters (int): Iterations from the start of training to its end.
    """
    runner.train_loop._max_iters = max_iters  # it has no setter
    runner.message_hub.update_info('max_iters', max_iters)
    wrapper = runner.optim_wrapper
    wrappers: List[Any] = [wrapper]
    if isinstance(wrapper, OptimWrapperDict):
        wrappers = list(wrapper.values())
    for each in wrappers:
        _set_max_counts(each, max_iters)


def _set_max_counts(wrapper: Any, max_iters: int) -> None:
    """Tell an optimizer wrapper which accumulation of gradients is its last.

    The losses of the last one, the remainder, are divided by their own
    number. If it has begun while the end was predicted to be elsewhere, what
    has been accumulated is corrected.
    """
    counts = getattr(wrapper, '_accumulative_counts', 1)
    before = _divisor(wrapper) if counts > 1 else 1
    # `initialize_count_status` would also reset the count so far.
    wrapper._max_counts = max_iters
    wrapper._remainder_counts = max_iters % counts
    if counts == 1 or _divisor(wrapper) == before:
        return
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            if parameter.grad is not None:
                parameter.grad.mul_(before / _divisor(wrapper))


def _divisor(wrapper: Any) -> int:
    """What the losses since the last step of a wrapper were divided by."""
    counts, last = wrapper._accumulative_counts, wrapper.inner_count - 1
    remainder = wrapper._remainder_counts
    if (last + 1) % counts and last >= wrapper._max_counts - remainder:
        return remainder or counts
    return counts


def step_schedulers(runner: Any, times: int) -> None:
    """Step the iteration-based schedulers beyond their step an iteration.

    All of them in turn, as often as needed: stepping each ``times`` times
    is another schedule where two of them overlap.

    Args:
        runner (Runner): The runner in training.
        times (int): Number of steps.
    """
    if not times:
        return
    hooks = [h for h in runner.hooks if isinstance(h, ParamSchedulerHook)]
    for _ in range(times):
        for hook in hooks:
            hook.after_train_iter(runner, batch_idx=runner.iter)


def saves_now(runner: Any) -> bool:
    """Whether a checkpoint will be saved after this iteration."""
    return any(
        hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
        or (hook.save_last and hook.is_last_train_iter(runner))
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook) and not hook.by_epoch
    )
