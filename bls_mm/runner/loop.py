"""What has to be set in MMEngine's loops, schedulers and optimizers."""

from dataclasses import replace
from typing import Any, List, Optional

from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from bls_mm.passes.budget import Pass
from bls_mm.runner import private

from .schedules import list_schedulers


def is_epoch_based(loop: Any) -> bool:
    """Whether a training loop has epochs.

    Raises:
        TypeError: If it is neither epoch- nor iteration-based, or trains on
            several DataLoaders at a time.
    """
    if hasattr(loop, 'multi_loaders'):
        raise TypeError(
            f'`train_cfg.type`: {type(loop).__name__} trains on batches of '
            f'{len(loop.multi_loaders)} DataLoaders in each iteration, but '
            'BLSHook prunes the data of one: their common loss is no score '
            'for its samples.'
        )
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
    before = runner.train_loop.max_iters
    private.set_loop_length(runner.train_loop, max_iters)
    runner.message_hub.update_info('max_iters', max_iters)
    wrapper = runner.optim_wrapper
    wrappers: List[Any] = [wrapper]
    if isinstance(wrapper, OptimWrapperDict):
        wrappers = list(wrapper.values())
    for each in wrappers:
        # Left alone where MMEngine has not set the end of the run, as in an
        # `OptimWrapperDict`, or somebody has set another number.
        if before != max_iters and private.accumulation_end(each) == before:
            # A model that goes backward several times in an iteration is
            # beyond its iterations: no end in iterations is its end.
            counts_iters = each.inner_count <= runner.iter
            _set_accumulation_end(each, max_iters if counts_iters else None)


def _set_accumulation_end(wrapper: Any, end: Optional[int]) -> None:
    """Tell an optimizer wrapper which accumulation of gradients is its last.

    The losses of the last one, the remainder, are divided by their own
    number. If it has begun while the end was predicted to be elsewhere, what
    has been accumulated is corrected.
    """
    accumulates = private.accumulative_counts(wrapper) > 1
    before = private.accumulation_divisor(wrapper) if accumulates else 1
    private.set_accumulation_end(wrapper, end)
    if not accumulates:
        return
    factor = before / private.accumulation_divisor(wrapper)
    if factor == 1:
        return
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)


def steps_owed(runner: Any, current: Pass) -> int:
    """Steps that the schedulers of a resumed run have not made.

    A hook of one's own may save between an optimizer step and the scheduler
    steps of that iteration.

    Args:
        runner (Runner): The runner that resumes.
        current (Pass): The pass in hand.

    Returns:
        int: At most those of an iteration; 0 if there is no iteration-based
        scheduler, or it was not saved.
    """
    made = [
        private.scheduler_steps(each)
        for each in list_schedulers(runner)
        if not each.by_epoch
    ]
    before = replace(current, done=max(0, current.done - 1))
    owed = current.step - made[0] if made else 0
    return owed if 0 < owed <= current.step - before.step else 0


def saves_now(runner: Any) -> bool:
    """Whether a checkpoint will be saved after this iteration."""
    return any(
        hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
        or (hook.save_last and hook.is_last_train_iter(runner))
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook) and not hook.by_epoch
    )
