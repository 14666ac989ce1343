"""The hook that scores samples and prunes a training run."""

from typing import Any, Dict, Optional, Sequence, Union

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.utils import is_seq_of
from torch import Tensor

from bls_mm.checkpoint import state
from bls_mm.checks import check_bool
from bls_mm.losses.backward import LossRescaler
from bls_mm.losses.batch_loss import batch_loss
from bls_mm.passes.budget import Pass
from bls_mm.passes.planner import PassPlanner
from bls_mm.registry import SCORES, build
from bls_mm.runner import loop
from bls_mm.runner.pass_iterator import PassIterator
from bls_mm.samplers.batch_lookup import BatchLookup, find_sampler
from bls_mm.scores import Score
from bls_mm.scores.buffer import Scoring


@HOOKS.register_module()
class BLSHook(Hook):
    """Score samples by their batch losses and train on the worthwhile ones.

    Needs a :class:`BLSSampler` as ``train_dataloader.sampler``, whose pruner
    decides what is visited.

    Args:
        score (dict or Score): How a batch loss changes the scores of its
            samples. Defaults to ``dict(type='MARTScore')``.
        loss_key (str or list[str]): Key of the loss dict to score by, or
            keys to sum; ``'loss'`` is the total that goes to backward.
            Defaults to 'loss'.
        per_sample (bool): Whether to score by the losses of single samples
            where the model computes them on its way, as classifiers and
            segmenters do, see :class:`SampleLosses`. Elsewhere, and with
            any other ``loss_key`` than 'loss', the batch loss stands in for
            them. Defaults to True.
        rescale_loss (bool): Whether the loss that goes to backward is
            multiplied by the mean weight that the pruner gives to the
            samples of the batch. Defaults to True.
        align_schedule (bool): Whether iteration-based parameter schedulers
            follow the progress through the data, so that they end where
            they would without pruning. Defaults to True.

    Attributes:
        scores (Tensor): Score of every distinct training sample, float32,
            shape (N,), on the training device; empty before training.
        planner (PassPlanner): What decides over the current pass, from the
            start of training on.
        visited (int): Samples visited by the end of the current pass, all
            ranks together.
        visited_unpruned (int): Samples that the unpruned run would have
            visited by then.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the score is unknown or a setting is out of range.
    """

    priority = 'NORMAL'

    # Made in `before_train`, with what a runner has built by then.
    _planner: PassPlanner
    _lookup: BatchLookup
    _rescaler: LossRescaler
    _scoring: Scoring

    def __init__(
        self,
        score: Any = dict(type='MARTScore'),  # noqa: B006
        loss_key: Union[str, Sequence[str]] = 'loss',
        per_sample: bool = True,
        rescale_loss: bool = True,
        align_schedule: bool = True,
    ) -> None:
        self.score = build(score, SCORES, Score, 'BLSHook.score')
        if isinstance(loss_key, str):
            loss_key = [loss_key]
        if not is_seq_of(loss_key, str) or not loss_key or '' in loss_key:
            raise TypeError(
                '`BLSHook.loss_key` should be a key of the loss dict or a '
                f'list of keys, but got {loss_key!r}.'
            )
        check_bool('BLSHook.per_sample', per_sample)
        check_bool('BLSHook.rescale_loss', rescale_loss)
        check_bool('BLSHook.align_schedule', align_schedule)
        self.loss_keys = list(loss_key)
        self.per_sample = per_sample
        self.rescale_loss = rescale_loss
        self.align_schedule = align_schedule
        self._resumed: Optional[Dict[str, Any]] = None
        self._parallel = False

    @property
    def scores(self) -> Tensor:
        if not hasattr(self, '_scoring'):
            return torch.empty(0)
        return self._scoring.scores

    @property
    def planner(self) -> PassPlanner:
        return self._planner

    @property
    def visited(self) -> int:
        return self._planner.visited

    @property
    def visited_unpruned(self) -> int:
        return self._planner.unpruned

    # Start and end of a run

    def after_load_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        """Keep the state of a resumed run until there is a place for it."""
        # Without `resume`, `load_from` starts a run of its own.
        if runner._resume:  # noqa: SLF001  MMEngine has no public name
            self._resumed = state.find(checkpoint)

    def before_train(self, runner: Any) -> None:
        """Take over sampler, loop and optimizer; restore a resumed run."""
        if sum(isinstance(hook, BLSHook) for hook in runner.hooks) > 1:
            raise ValueError(
                '`custom_hooks` and `default_hooks` should have one BLSHook, '
                'but got several.'
            )
        train_loop = runner.train_loop
        loader = train_loop.dataloader
        sampler = find_sampler(loader)
        self._by_epoch = loop.is_epoch_based(train_loop)
        device = next(runner.model.parameters()).device
        self._lookup = BatchLookup(loader, sampler, device)
        self._planner = PassPlanner(
            sampler,
            self._lookup.tracker.num_batches,
            train_loop.max_iters,
            self._lookup.batch_size,
            # mmdet's batch samplers regroup indices and cannot stream them.
            stream=self._lookup.plain and not self._by_epoch,
        )
        self._parallel = sampler.world_size > 1
        # A compiled model would be compiled again with every hook on it, and
        # its losses may be overwritten by its next call.
        compiled = bool(runner.cfg.get('compile'))
        listens = self.per_sample and self.loss_keys == ['loss']
        self._scoring = Scoring(
            self.score,
            sampler.samples.count,
            device,
            self._parallel,
            runner.model if listens and not compiled else None,
            keeps_losses=not compiled,
        )
        self._rescaler = LossRescaler(runner.optim_wrapper)
        self._restore(runner)
        self._warn_if_nothing_is_pruned(runner)
        if not self._by_epoch:
            PassIterator.install(train_loop, lambda: self._begin_pass(runner))

    def _restore(self, runner: Any) -> None:
        """Go on where the checkpoint of a resumed run was saved."""
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            return
        if resumed:
            state.unpack(resumed, self._planner, self.scores, self.score)
            # Now, since a run that is over will not begin another pass.
            self._set_max_iters(runner)
            return
        step = runner.iter
        if self._by_epoch:
            step = runner.epoch * self._planner.budget.numerator
        self._planner.skip_to(step)
        runner.logger.warning(
            'BLS: the checkpoint was saved without BLSHook. All scores start '
            'at 0.'
        )

    def _warn_if_nothing_is_pruned(self, runner: Any) -> None:
        planner = self._planner
        if planner.sampler.pruner is None or planner.prunes:
            return
        runner.logger.warning(
            f'BLS prunes nothing: the run has {planner.budget.passes} '
            'pass(es) over the data, of which the first and those after '
            f'`delta` ({planner.delta}) of them are not pruned.'
        )

    def after_train(self, runner: Any) -> None:
        """Report the saving; give the sampler and optimizer back."""
        self._lookup.tracker.close()
        self._rescaler.close()
        self._scoring.close()
        runner.logger.info(
            f'BLS: visited {self.visited} samples instead of '
            f'{self.visited_unpruned}, {self._saved:.1%} saved.'
        )

    # Start and end of a pass

    def before_train_epoch(self, runner: Any) -> None:
        """Select what an epoch visits."""
        if self._by_epoch:
            self._begin_pass(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """End the pass; make the steps of batches that did not come."""
        self._end_pass(runner)
        if self._by_epoch:
            current = self._planner.current
            self._step_to(runner, current, current.length)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Merge the ranks: the best checkpoint may be saved next."""
        self._merge()

    def _begin_pass(self, runner: Any) -> None:
        planner = self._planner
        # Saved by iteration at the end of an epoch, a run still has to end it.
        resumed = self._by_epoch and planner.current.number == runner.epoch
        is_new = not resumed and planner.current.done >= planner.current.length
        if is_new:
            if not self._by_epoch and planner.current.length:
                self._end_pass(runner)
            planner.next_pass(self.scores)
        current = planner.current
        weights = planner.batch_weights if self.rescale_loss else None
        skip = current.done
        if resumed and not current.length:  # with other batches than before
            skip = self._lookup.tracker.num_batches()
        self._lookup.begin_pass(weights, skip)
        self._set_max_iters(runner)
        if is_new:
            self._report(runner)

    def _end_pass(self, runner: Any) -> None:
        self._merge()
        count = self._scoring.take_not_finite()
        if count:
            runner.logger.warning(
                f'BLS: {count} loss(es) of this pass were not finite and '
                'changed no score.'
            )

    def _set_max_iters(self, runner: Any) -> None:
        start = runner.iter - self._planner.current.done
        loop.set_max_iters(runner, start + self._planner.iterations_left)

    @property
    def _saved(self) -> float:
        return 1 - self.visited / max(1, self.visited_unpruned)

    def _report(self, runner: Any) -> None:
        kept, full = self._planner.kept
        hub = runner.message_hub
        hub.update_scalar('train/bls_kept', kept / full)
        hub.update_scalar('train/bls_saved', self._saved)
        unit = 'epoch' if self._by_epoch else 'pass'
        runner.logger.info(
            f'BLS: {unit} {self._planner.current.number + 1} visits {kept} of '
            f'{full} samples ({kept / full:.1%}), {self._saved:.1%} of the '
            'visits saved so far.'
        )

    def _merge(self) -> None:
        if self._parallel:  # not before a training, as where one validates
            self._scoring.merge()

    # An iteration

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Look up which samples are in the batch and what they weigh."""
        ids, self._rescaler.weight = self._lookup.next()
        self._rescaler.clear()
        self._scoring.begin(ids)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Score the samples of the batch; keep the schedule in step."""
        total = self._rescaler.loss
        if total is None:
            self._check_weights()
        loss = batch_loss(self.loss_keys, total, outputs or {})
        self._scoring.end(loss, self._lookup.group)
        current = self._planner.current
        self._step_to(runner, current, current.done + 1, own_steps=1)
        if self._parallel and loop.saves_now(runner):
            self._merge()

    def _check_weights(self) -> None:
        """Refuse a model whose loss never comes to the optimizer wrapper."""
        if self.rescale_loss and self._planner.sampler.pruner is not None:
            raise RuntimeError(
                'The model does not call `optim_wrapper.update_params`, so '
                'its loss cannot be rescaled. Set `rescale_loss=False` in '
                'BLSHook.'
            )

    def _step_to(
        self, runner: Any, current: Pass, done: int, own_steps: int = 0
    ) -> None:
        """Count iterations as done and make the steps that they stand for.

        ``own_steps`` are those that MMEngine makes by itself.
        """
        before = current.step
        current.done = done
        if self.align_schedule:
            loop.step_schedulers(runner, current.step - before - own_steps)

    # A checkpoint

    def before_save_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        """Add the key ``bls``. Called on rank 0 only."""
        if len(self.scores):
            checkpoint[state.KEY] = state.pack(
                self._planner, self.scores, self.score
            )
