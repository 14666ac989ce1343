"""Going on with a training: from a checkpoint, or in the same process."""

from typing import Any, Dict, Optional

from bls_mm.checkpoint.state import load_state, pack_state
from bls_mm.runner.loop import steps_owed

from .run import Run


def pack_run(run: Run, ahead: int = 0) -> Dict[str, Any]:
    """What a checkpoint holds of a training, also after an interruption.

    Args:
        run (Run): The training.
        ahead (int): As for :func:`pack_state`. Defaults to 0.
    """
    planner = run.planner
    state = pack_state(run.buffer, planner, planner.sampler, ahead)
    return dict(state, **run.sampler_state)


def resume(runner: Any, run: Run, state: Dict[str, Any]) -> None:
    """Go on where the checkpoint of a resumed training was saved.

    Args:
        runner (Runner): The runner.
        run (Run): The training, before its first pass.
        state (dict): What :func:`pack_run` returned, not validated; empty if
            the checkpoint was saved without BLSHook.

    Raises:
        TypeError: If an entry is of the wrong type.
        ValueError: If the state is not of such a training.
    """
    if not state:
        reason = 'the checkpoint was saved without BLSHook'
        _start_scores(runner, run, runner.iter, reason)
        return
    planner, rule = run.planner, run.buffer.rule
    run.follow_inner(state)
    load_state(state, run.buffer, planner, planner.sampler)
    if len(state['memory']) > len(rule.memory):
        runner.logger.warning(
            'BLS: the checkpoint has scores of another rule than '
            f'{type(rule).__name__}. Samples keep them until they are '
            'visited, so the first selections compare numbers of two kinds.'
        )
    owed = steps_owed(runner, planner.current)
    if run.by_epoch:
        owed += planner.go_to_epoch(runner.epoch)
    if run.schedules is not None:
        run.schedules.step(runner, owed)
    # Now, since a run that is over will not begin another pass.
    run.length.update(planner)


def leave(runner: Any, before: Run) -> Optional[Dict[str, Any]]:
    """What a training leaves to one that goes on in its loop.

    To be called before that begins, since both have one score rule.

    Args:
        runner (Runner): The runner of the new one.
        before (Run): The training that has ended.

    Returns:
        dict or None: As in a checkpoint, and the ``step`` that it had come
        to; None if the new one is another training.
    """
    # If a validation has ended it, there was no iteration or epoch to do
    # that.
    before.close()
    if not before.goes_on_in(runner):
        return None
    before.merge()
    return dict(pack_run(before), step=before.planner.current.step)


def go_on(runner: Any, run: Run, left: Dict[str, Any]) -> None:
    """Go on where the last training of the same loop has ended.

    Args:
        runner (Runner): The runner.
        run (Run): The new training, before its first pass.
        left (dict): What :func:`leave` returned.
    """
    try:
        resume(runner, run, left)
    except ValueError:
        reason = 'the training data have changed'
        _start_scores(runner, run, left['step'], reason)


def _start_scores(runner: Any, run: Run, step: int, reason: str) -> None:
    """Go on in a training of which no scores can be had.

    Args:
        runner (Runner): The runner.
        run (Run): Its training.
        step (int): Steps that have been made, if it has no epochs.
        reason (str): Why there are no scores.
    """
    if run.by_epoch:
        step = runner.epoch * run.planner.budget.numerator
    run.planner.skip_to(step)
    runner.logger.warning(f'BLS: {reason}. All scores start at 0.')
