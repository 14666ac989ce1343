"""What the log says of a pruned run."""

from typing import Any

from bls_mm.passes.forecast import describe
from bls_mm.passes.planner import PassPlanner


def announce_run(runner: Any, planner: PassPlanner, by_epoch: bool) -> None:
    """Log what will be pruned and what the run will cost and save."""
    pruner = planner.sampler.pruner
    if pruner is not None and not planner.prunes:
        runner.logger.warning(
            f'BLS prunes nothing: of the {planner.budget.passes} pass(es) of '
            'this run, the first is never pruned, nor are those after `delta` '
            f'({planner.delta}).'
        )
        return
    unit = 'epoch' if by_epoch else 'pass'
    for line in describe(planner.forecast(), pruner, unit):
        runner.logger.info(f'BLS: {line}')


def report_pass(runner: Any, planner: PassPlanner, by_epoch: bool) -> None:
    """Log what the pass that begins visits."""
    kept, full = planner.kept
    saved = planner.saved
    runner.message_hub.update_scalar('train/bls_kept', kept / full)
    runner.message_hub.update_scalar('train/bls_saved', saved)
    unit = 'epoch' if by_epoch else 'pass'
    runner.logger.info(
        f'BLS: {unit} {planner.current.number + 1} visits {kept} of '
        f'{full} samples ({kept / full:.1%}), {saved:.1%} of the '
        'visits saved so far.'
    )


def report_run(runner: Any, planner: PassPlanner) -> None:
    """Log what a run has visited."""
    runner.logger.info(
        f'BLS: visited {planner.visited} samples instead of '
        f'{planner.unpruned}, {planner.saved:.1%} saved.'
    )
