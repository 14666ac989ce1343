"""One iteration of a training: its batch, what that weighs, its loss."""

from typing import Any, Mapping, Optional, Sequence

from torch import Tensor

from bls_mm.losses.backward import LossRescaler
from bls_mm.losses.batch_loss import batch_loss
from bls_mm.losses.module_calls import SampleLosses
from bls_mm.losses.unreduced import OnMisfit, ignore_misfit
from bls_mm.scores.batch import Batch
from bls_mm.scores.buffer import ScoreBuffer


class Iteration:
    """Weigh the loss of each batch, and score the batch by it.

    Args:
        runner (Runner): The runner in training.
        loss_keys (list[str]): Losses to score by.
        per_sample (bool): Whether to listen for the losses of samples.
        rescale_loss (bool): Whether the loss is weighted.

    Attributes:
        batch (Batch, optional): The last batch of the pass in hand; None
            before its first.
        in_hand (bool): Whether that batch has yet to be scored.
        rescaler (LossRescaler): Applies its weight.
        compiled (bool): Whether the model is compiled. Its losses may then be
            overwritten by its next call.
    """

    def __init__(
        self,
        runner: Any,
        loss_keys: Sequence[str],
        per_sample: bool,
        rescale_loss: bool,
    ) -> None:
        self._runner = runner
        self._loss_keys = list(loss_keys)
        self._of_total = self._loss_keys == ['loss']
        self._rescale_loss = rescale_loss
        self.batch: Optional[Batch] = None
        self.in_hand = False
        self.rescaler = LossRescaler(runner.optim_wrapper)
        self.compiled = bool(runner.cfg.get('compile'))
        self._heard: Optional[SampleLosses] = None
        # A compiled model would be compiled again with every hook on it.
        if per_sample and self._of_total and not self.compiled:
            self._heard = SampleLosses(runner.model)

    @property
    def on_misfit(self) -> OnMisfit:
        """What to call if the losses of samples cannot be told."""
        return ignore_misfit if self._heard is None else self._heard.on_misfit

    @property
    def weighs_samples(self) -> bool:
        """Whether weights of single samples reach their gradients."""
        return self._heard is not None and self._heard.can_weigh

    def refresh(self) -> None:
        """Look again for what to listen to. To be called once a pass."""
        if self._heard is not None:
            self._heard.refresh(self._runner.model)

    def begin(self, batch: Batch) -> None:
        """Begin the iteration of a batch."""
        self.batch = batch
        self.rescaler.start(self._runner.optim_wrapper, batch.weight)
        if self._heard is not None:
            self._heard.begin(batch.size, batch.of_samples)
        self.in_hand = True

    def score(self, buffer: ScoreBuffer, outputs: Any = None) -> None:
        """Score the batch in hand, unless it has been.

        Args:
            buffer (ScoreBuffer): The scores.
            outputs (dict, optional): What the training step returned.
                Defaults to None, not known.
        """
        if not self.in_hand or self.batch is None:
            return
        self.in_hand = False
        loss = self.rescaler.loss
        if loss is None or not self._of_total:
            loss = self._other_loss(loss, outputs)
        if loss is not None:
            heard = self._heard
            calls = None if heard is None else heard.take()
            buffer.add(self.batch, loss, calls)

    def score_early(self, buffer: ScoreBuffer) -> int:
        """Score the batch in hand before its iteration ends, if it can be.

        Args:
            buffer (ScoreBuffer): The scores.

        Returns:
            int: Iterations that have been made and are not counted yet.
        """
        seen = self.rescaler.loss is not None
        if seen and self._of_total:
            self.score(buffer)
        return int(seen or not self.rescaler.used)

    def _other_loss(
        self, total: Optional[Tensor], outputs: Any
    ) -> Optional[Tensor]:
        """A loss by its keys; None if the step of the batch was left out."""
        if total is None and (self.rescaler.used or self._rescale_loss):
            # A `train_step` may leave out a batch, as one with a NaN. That a
            # model never steps is told at the end of the first pass.
            if not isinstance(outputs, Mapping):
                return None
            if any(key not in outputs for key in self._loss_keys):
                return None
        return batch_loss(self._loss_keys, total, outputs or {})

    def check_weights(self) -> None:
        """Refuse a model whose loss never came to the optimizer wrapper.

        To be called at the end of a whole pass of a pruned run.

        Raises:
            RuntimeError: If it has never called ``update_params``.
        """
        if self._rescale_loss and not self.rescaler.used:
            raise RuntimeError(
                'The model did not call `optim_wrapper.update_params` in a '
                'whole pass, so its loss cannot be weighted. Set '
                '`rescale_loss=False` in BLSHook.'
            )

    def close(self) -> None:
        """Give model and optimizer back."""
        self.rescaler.close()
        if self._heard is not None:
            self._heard.close()
