"""What a checkpoint holds of a pruned run, under one key."""

from typing import Any, Dict

from bls_mm.passes.planner import PassPlanner
from bls_mm.samplers.bls_sampler import BLSSampler
from bls_mm.scores.buffer import ScoreBuffer

from .validation import (
    KEY,
    VERSION,
    describe_error,
    upgrade_state,
    validate_state,
)


def pack_state(
    buffer: ScoreBuffer,
    planner: PassPlanner,
    sampler: BLSSampler,
    ahead: int = 0,
) -> Dict[str, Any]:
    """Collect the state of a run as tensors, numbers and strings.

    Args:
        buffer (ScoreBuffer): The scores.
        planner (PassPlanner): The plan.
        sampler (BLSSampler): The sampler.
        ahead (int): Iterations that are done, but that the planner has not
            counted yet. Defaults to 0.

    Returns:
        dict: ``version`` and the entries of the three ``state_dict``.
        Tensors are copies on the CPU.
    """
    return dict(
        version=VERSION,
        **buffer.state_dict(),
        **planner.state_dict(ahead),
        **sampler.state_dict(),
    )


def read_state(checkpoint: Dict[str, Any]) -> Dict[str, Any]:
    """The state in a checkpoint; empty if it was saved without BLSHook.

    Raises:
        TypeError: If what stands there is not a state.
    """
    state = checkpoint.get(KEY, {})
    if not isinstance(state, dict) or (KEY in checkpoint and not state):
        raise TypeError(describe_error('', 'a dict with entries', repr(state)))
    return state


def load_state(
    state: Dict[str, Any],
    buffer: ScoreBuffer,
    planner: PassPlanner,
    sampler: BLSSampler,
) -> None:
    """Put a run back to where :func:`pack_state` saw it.

    All of it is validated before anything is written. Only the planner can
    tell the length of the pass, so it goes first and may refuse that.

    Args:
        state (dict): What :func:`pack_state` returned, or what a file of any
            origin holds in its place.
        buffer (ScoreBuffer): The new scores.
        planner (PassPlanner): The new planner, before its first pass.
        sampler (BLSSampler): The new sampler.

    Raises:
        TypeError: If an entry is of the wrong type.
        ValueError: If the state is of another format or dataset size, an
            entry is missing or out of range, or it is of the middle of a
            pass with other batches.
    """
    state = upgrade_state(state)
    validate_state(state, len(buffer.scores), sampler.samples)
    current = {**planner.state_dict(), **sampler.state_dict()}
    alike = all(
        state[name] == current[name]
        for name in ('world_size', 'numerator', 'denominator')
    )
    if not alike and not (state['finished'] and planner.budget.is_whole):
        raise ValueError(
            'The checkpoint was saved in the middle of a pass with other '
            f'batches: {_describe(state)}, but this run has '
            f'{_describe(current)}. Resume with the same `train_dataloader`, '
            'kind of training loop and number of GPUs, or from the end of an '
            'epoch.'
        )
    before = sampler.state_dict()
    if alike:
        sampler.load_state_dict(state)
        try:
            planner.load_state_dict(state, buffer.device)
        except ValueError:
            sampler.load_state_dict(before)
            raise
    else:
        sampler.load_state_dict(dict(state, carried=before['carried']))
        planner.skip_to(planner.budget.end(state['number']))
        planner.visited = state['visited']
    buffer.load_state_dict(state)


def _describe(state: Dict[str, Any]) -> str:
    """The batches of a run, for an error."""
    batches = state['numerator'] / state['denominator']
    return f'{batches:g} a pass on {state["world_size"]} GPU(s)'
