"""Calls of loss modules, made once more without the reduction."""

from typing import Any, Callable, List, Optional, Sequence

import torch
from torch import Tensor, nn

from bls_mm.runner.private import versions_of

from .calls import NO_ROWS, Call, has_rows, join_calls
from .outside import add_outside
from .random_state import RandomState
from .values import list_tensors, map_tensors

# Why a module cannot be called once more, or not to any use.
DRAWS = 'draws random numbers'
KEEPS_STATE = 'changes its own attributes'
CHANGES_INPUTS = 'has arguments that are changed in place'

OnMisfit = Callable[[nn.Module, str], None]


def ignore_misfit(module: nn.Module, reason: str) -> None:
    """Do nothing about it."""


@torch.no_grad()
def losses_of_samples(
    batches: Sequence[List[Call]],
    losses: Tensor,
    size: int,
    on_misfit: OnMisfit = ignore_misfit,
) -> Tensor:
    """Tell the losses of the samples of some batches.

    The mean over a batch is always its loss, see :func:`add_outside`. The
    loss of a batch stands in for those of its samples where a module has none
    for each of them. Neither a module nor the generators of random numbers are
    changed.

    Args:
        batches (list): The calls that were made for each of K batches.
        losses (Tensor): Loss of each batch, shape (K,).
        size (int): Samples in a batch.
        on_misfit (callable, optional): Called with a module and why it cannot
            tell, once a batch. Defaults to nothing.

    Returns:
        Tensor: Float32, shape (K, size).
    """
    fits = [_is_as_made(calls, on_misfit) for calls in batches]
    chosen = [calls for calls, fit in zip(batches, fits) if fit]
    rows: Optional[Tensor] = None
    if chosen:
        random = RandomState(losses.device, of_torch_only=True)
        rows = _together(chosen, size, on_misfit)
        if rows is None:
            found = [_alone(calls, size, on_misfit) for calls in chosen]
            known = [row for row in found if row is not None]
            rows = torch.cat(known) if known else None
            of_chosen = iter(found)
            fits = [fit and next(of_chosen) is not None for fit in fits]
        if random.is_changed():
            random.restore()
            for call in chosen[0]:
                on_misfit(call.module, DRAWS)
    if rows is not None and all(fits):
        return add_outside(rows, losses)
    # Without an index, which would have to come from the host.
    result = list(losses.float()[:, None].expand(-1, size))
    if rows is not None:
        where = [i for i, fit in enumerate(fits) if fit]
        told = add_outside(rows, torch.stack([losses[i] for i in where]))
        for i, row in zip(where, told):
            result[i] = row.float()
    return torch.stack(result)


def _is_as_made(calls: Sequence[Call], on_misfit: OnMisfit) -> bool:
    for call in calls:
        if not call.is_as_made:
            on_misfit(call.module, CHANGES_INPUTS)
            return False
    return True


def _together(
    batches: Sequence[List[Call]], size: int, on_misfit: OnMisfit
) -> Optional[Tensor]:
    """Losses of the samples of batches, (K, size); None if not alike."""
    if len({len(calls) for calls in batches}) > 1:
        return None
    try:
        # The first calls of all batches, the second ones, and so on.
        rows = [_rows(calls, size, on_misfit) for calls in zip(*batches)]
    except Exception:  # whatever a module raises where it does not fit
        return None
    return torch.stack(rows).sum(0) if len(rows) > 1 else rows[0]


def _alone(
    calls: List[Call], size: int, on_misfit: OnMisfit
) -> Optional[Tensor]:
    """Losses of the samples of one batch, (1, size); None if it has none."""
    rows = _together([calls], size, on_misfit)
    if rows is None:
        on_misfit(calls[0].module, NO_ROWS)
    return rows


def _rows(calls: Sequence[Call], size: int, on_misfit: OnMisfit) -> Tensor:
    """Losses of samples from one call for each batch, shape (K, size).

    Raises:
        ValueError: If the calls do not go together, or not to a loss for each
            sample.
    """
    if len(calls) > 1:
        try:
            losses = _checked(
                join_calls(calls, size), len(calls) * size, on_misfit
            )
        except Exception:
            each = [_rows([call], size, on_misfit) for call in calls]
            return torch.cat(each)
    else:
        losses = _checked(calls[0], size, on_misfit)
    losses = losses.float()
    if losses.ndim == 1:
        return losses.view(len(calls), size)
    return losses.reshape(len(calls), size, -1).mean(2)


def _checked(call: Call, size: int, on_misfit: OnMisfit) -> Tensor:
    losses = _unreduced(call, on_misfit)
    if not has_rows(losses, size):
        raise ValueError('Not a loss for each sample.')
    return losses


@torch.no_grad()
def why_not(call: Call, size: int) -> Optional[str]:
    """Why a module cannot be called without its reduction; None if it can.

    Args:
        call (Call): A call that was just made.
        size (int): Samples in the batch.
    """
    if not call.is_as_made:
        return CHANGES_INPUTS
    reasons: List[str] = []
    args = map_tensors(torch.clone, call.args)
    kwargs = {k: map_tensors(torch.clone, v) for k, v in call.kwargs.items()}
    of_copies = versions_of(list_tensors([*args, *kwargs.values()]))
    copied = Call(call.twin, args, kwargs, of_copies)
    random = RandomState(call.predictions.device)
    try:
        losses = _checked(copied, size, lambda _, why: reasons.append(why))
        if call.twin.by_sample and not _adds_up(losses, call.output):
            reasons.append(NO_ROWS)
    except Exception:  # not every module can do without
        reasons.append(NO_ROWS)
    if random.is_changed():
        random.restore()
        reasons.append(DRAWS)
    if not copied.is_as_made:
        reasons.append(CHANGES_INPUTS)
    # The last is the cause of those before it.
    return reasons[-1] if reasons else None


def _adds_up(losses: Tensor, output: Any) -> bool:
    """Whether the loss of a batch is the mean or the sum of these."""
    if not isinstance(output, Tensor) or output.ndim or losses.ndim != 1:
        return False
    output = output.to(losses)
    sums = torch.stack([losses.mean(), losses.sum()])
    return bool(torch.isclose(sums, output, rtol=1e-3, atol=1e-7).any())


def _unreduced(call: Call, on_misfit: OnMisfit) -> Any:
    """What a copy of a loss module returns without its reduction."""
    losses = call.twin(call.args, call.kwargs)
    if call.twin.is_changed():
        on_misfit(call.module, KEEPS_STATE)
    return losses
