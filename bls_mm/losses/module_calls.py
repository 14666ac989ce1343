"""The losses of single samples, where a model computes them on its way."""

import logging
from collections import Counter
from typing import Any, Callable, Dict, List, Optional, Sequence, Set
from weakref import WeakSet

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from bls_mm.runner.private import versions_of

from .calls import NO_ROWS, Call, has_rows
from .copies import UnknownStateError, copy_state
from .effects import Snapshot
from .listened import listen_to, release
from .loss_modules import find_loss_modules, find_places, may_be_loss
from .random_state import RandomState
from .row_weights import weigh_rows
from .twin import Twin
from .unreduced import CHANGES_INPUTS, DRAWS, KEEPS_STATE, why_not
from .values import detach_tensors, is_plain, list_tensors, map_tensors

# Batches that have to fit before calls are trusted, and batches to try.
_ENOUGH = 2
_MOST_TRIALS = 8
# A module is left alone if it has as many misfits, and more than fits.
_MOST_MISFITS = 16

_LEFT_ALONE = (
    '. It is not called a second time for the losses of single samples; the '
    'loss of the batch is used instead.'
)


class SampleLosses:
    """Listen to the loss modules of a model for one loss per sample.

    Classifiers and segmenters compute a loss for each sample or pixel of a
    batch and return the mean. A module qualifies if it has a ``reduction``,
    as those of torch and OpenMMLab have, or the class of one that ends with
    ``Loss``, no parameters or buffers, and is called with predictions of shape
    (B,), (B, classes), (B, classes, H, W) or the like, or tuples of such.
    Its calls are written down, and made once more by a copy of it without the
    reduction, by :func:`losses_of_samples`, for many small batches at a time.
    That takes a few operations on the predictions and no forward pass. Where
    there is no reduction, each sample is a batch of its own: that counts only
    if the loss of the batch is their mean or sum.

    The training is never changed, unless weights of single samples are asked
    for, see :func:`weigh_rows`. A module that draws random numbers, changes
    its own attributes or its arguments is left alone, which is logged once.

    Detectors call their losses with one row per anchor or box, and no losses
    come from here. The first batch decides that for the run.

    Args:
        model (nn.Module): The model. Its loss modules get another class until
            :meth:`close`; a forward hook would cost twice as much. What an
            earlier run has left in it is undone.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._calls: List[Call] = []
        self._size: Optional[int] = None
        self._weights: Optional[Tensor] = None
        self._fits = False
        self._modules: List[nn.Module] = []
        self._twins: Dict[int, Twin] = {}
        self._places: List[Any] = []
        self._classes: Dict[Any, Any] = {}
        self._left_alone: Any = WeakSet()
        self._said: Set[str] = set()
        self._start_trial()
        for module in model.modules():
            release(module)
        self.refresh()

    def refresh(self, model: Optional[nn.Module] = None) -> None:
        """Find the loss modules that the model has now.

        Args:
            model (nn.Module, optional): The model, if it may be another one.
                Defaults to None, the same.
        """
        if model is not None:
            self._model = model
        known = {id(module) for module in self._modules}
        found = self._find(known)
        kept = {id(module) for module in found.values()}
        for module in self._modules:
            if id(module) not in kept:
                release(module)
        for module in found.values():
            if id(module) not in known:
                listen_to(module, self._call, self._classes)
        if kept - known:
            self._start_trial()
        self._modules = list(found.values())
        self._twins = {
            id(module): self._twins.get(id(module)) or Twin(module)
            for module in self._modules
        }
        self._places = [
            place for name in found for place in find_places(self._model, name)
        ]

    def _find(self, known: Set[int]) -> Dict[str, nn.Module]:
        """The loss modules by name, without those that cannot be copied."""
        found = find_loss_modules(self._model, self._left_alone)
        for name, module in list(found.items()):
            try:
                if id(module) not in known:
                    copy_state(module)
            except UnknownStateError as error:
                del found[name]
                self._left_alone.add(module)
                self._say(module, f'{error}{_LEFT_ALONE}')
        return found

    def begin(self, size: int, weights: Optional[Tensor] = None) -> None:
        """Listen for the losses of the next batch.

        Args:
            size (int): Samples in it.
            weights (Tensor, optional): What to multiply the gradient of each
                of them with, shape (size,). Defaults to None, nothing.
        """
        self._size = None  # that of a batch that was broken off
        # The loss of a batch of one needs no listening.
        if not self._modules or size == 1:
            return
        for held, name, module in self._places:
            if held.get(name) is not module:
                self.refresh()
                break
        self._calls, self._weights, self._fits = [], weights, True
        self._size = size if self._modules else None

    def take(self) -> Optional[List[Call]]:
        """The calls that were made for the batch; None if they do not fit."""
        if self._size is None:
            return None
        size, self._size = self._size, None
        self._batches += 1
        calls, self._calls = self._calls, []
        if not self._trusts and (calls or not self._fits):
            self._fits = self._try(calls, size)
        return calls if self._fits and calls else None

    def on_misfit(self, module: nn.Module, reason: str) -> None:
        """Note that a call did not tell the losses of its samples.

        Args:
            module (nn.Module): The module that was called.
            reason (str): Why.
        """
        self._misfits[id(module)] += 1
        often = self._misfits[id(module)]
        if reason != NO_ROWS or (
            often >= _MOST_MISFITS and 2 * often > self._batches
        ):
            self._leave_alone(module, reason)
        else:
            self._say(
                module,
                f'{reason}. The loss of the batch is used for those.',
            )

    @property
    def can_weigh(self) -> bool:
        """Whether gradients of single samples can be weighted so far."""
        return any(
            not twin.by_sample and not twin.time_first
            for twin in self._twins.values()
        )

    def close(self) -> None:
        """Stop listening."""
        for module in self._modules:
            release(module)
        self._modules = []
        self._places = []
        self._twins = {}

    def _start_trial(self) -> None:
        self._trusts = False
        self._trials = self._clean = 0
        self._without_rows: Any = WeakSet()
        self._effects: Counter = Counter()
        self._misfits: Counter = Counter()
        self._batches = 0

    def _call(
        self,
        module: nn.Module,
        forward: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Dict[str, Any],
    ) -> Any:
        """Make a call of a module that is listened to."""
        # What is computed without gradients, as where samplers of pixels look
        # for the hard ones, is no part of the loss.
        if self._size is None or not torch.is_grad_enabled():
            return forward(module, *args, **kwargs)
        twin, values = self._twins[id(module)], [*args, *kwargs.values()]
        if twin.by_sample and not all(map(is_plain, values)):
            # With what the parts of it may be called, which are heard next.
            self._left_alone.add(module)
            self._size = None
            self.refresh()
            return forward(module, *args, **kwargs)
        weighs = self._weights is not None and not twin.by_sample
        if weighs and not twin.time_first:
            args, kwargs = weigh_rows(args, kwargs, self._weights)
            values = [*args, *kwargs.values()]
        tensors = list_tensors(values)
        before = versions_of(tensors)
        if self._trusts:
            output = forward(module, *args, **kwargs)
        else:
            output = self._observed(module, forward, args, kwargs, tensors)
            if not may_be_loss(module, output):
                self._left_alone.add(module)
                self.refresh()
            if module in self._left_alone:
                return output
        kept = None
        if twin.by_sample and not self._trusts:
            kept = map_tensors(torch.detach, output)
        predictions: Any = tensors[0] if tensors else None
        if twin.time_first:
            shape = predictions.shape
            fits = len(shape) == 3 and shape[1] == self._size
        else:
            fits = has_rows(predictions, self._size)
        if fits:
            detached = [detach_tensors(value) for value in args]
            named = {k: detach_tensors(value) for k, value in kwargs.items()}
            self._calls.append(Call(twin, detached, named, before, kept))
        else:
            self._fits = False
            self._misfits[id(module)] += 1
        return output

    def _observed(
        self,
        module: nn.Module,
        forward: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Dict[str, Any],
        tensors: List[Tensor],
    ) -> Any:
        """Make a call and see what else it changes."""
        state = Snapshot(module, and_class=True)
        random = RandomState(tensors[0].device) if tensors else None
        output = forward(module, *args, **kwargs)
        if random is not None and random.is_changed():
            self._leave_alone(module, DRAWS)
        elif state.is_changed():
            self._effects[id(module)] += 1
            # What is made at the first call and kept does no harm.
            if self._effects[id(module)] > 1:
                self._leave_alone(module, KEEPS_STATE)
            else:
                self._fits = False
        return output

    def _try(self, calls: List[Call], size: int) -> bool:
        """Whether the calls of one of the first batches may be repeated."""
        self._trials += 1
        fits = self._fits
        for call in calls if fits else []:
            reason = why_not(call, size)
            if reason in (DRAWS, KEEPS_STATE, CHANGES_INPUTS):
                self._leave_alone(call.module, reason)
            if reason == NO_ROWS:
                self._without_rows.add(call.module)
            fits = fits and reason is None
        if fits:
            self._clean += 1
        if self._clean >= _ENOUGH:
            self._trusts = True
            for module in self._without_rows:
                self.on_misfit(module, NO_ROWS)
        elif self._trials >= _MOST_TRIALS or (
            # As in detectors, not as where something was left out.
            not self._clean and not self._fits and not self._effects
        ):
            self._trusts = True
            if not self._clean:
                for module in list(self._without_rows):
                    self._leave_alone(module, NO_ROWS)
                self._left_alone.update(self._modules)
                self.close()
        return fits

    def _leave_alone(self, module: nn.Module, reason: str) -> None:
        if module in self._left_alone:
            return
        self._left_alone.add(module)
        self._say(module, f'{reason}{_LEFT_ALONE}')
        self.refresh()

    def _say(self, module: nn.Module, what: str) -> None:
        message = f'BLS: the loss {type(module).__name__} {what}'
        if message not in self._said:
            self._said.add(message)
            print_log(message, logger='current', level=logging.WARNING)
