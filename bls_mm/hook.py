"""The hook that scores samples and prunes a training run."""

from typing import Any, Dict, Optional, Sequence, Union

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.utils import is_seq_of
from torch import Tensor
from torch.utils.data import DataLoader

from . import loop, state
from .dist import merge_scores
from .lookup import BatchLookup
from .planner import PassPlanner
from .registry import SCORES, build
from .rescale import LossRescaler
from .sampler import BLSSampler
from .schedule import Pass
from .scores import Score


@HOOKS.register_module()
class BLSHook(Hook):
    """Score samples by their batch losses and train on the worthwhile ones.

    Needs a :class:`BLSSampler` as ``train_dataloader.sampler``, whose pruner
    decides what is visited.

    Args:
        score (dict or Score): How a batch loss changes the scores of its
            samples. Defaults to ``dict(type='EMAScore', alpha=0.9)``.
        loss_key (str or list[str]): Key of the loss dict to score by, or
            keys to sum; ``'loss'`` is the total that goes to backward.
            Defaults to 'loss'.
        rescale_loss (bool): Whether the loss that goes to backward is
            multiplied by the mean weight that the pruner gives to the
            samples of the batch. Defaults to True.
        align_schedule (bool): Whether iteration-based parameter schedulers
            follow the progress through the data, so that they end where
            they would without pruning. Defaults to True.

    Attributes:
        scores (Tensor): Score of every distinct training sample, float32,
            shape (N,), on the training device; empty before training.
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

    def __init__(
        self,
        score: Any = dict(type='EMAScore', alpha=0.9),  # noqa: B006
        loss_key: Union[str, Sequence[str]] = 'loss',
        rescale_loss: bool = True,
        align_schedule: bool = True,
    ) -> None:
        self.score = build(score, SCORES, Score, 'BLSHook.score')
        if isinstance(loss_key, str):
            loss_key = [loss_key]
        if not is_seq_of(loss_key, str) or not loss_key:
            raise TypeError(
                '`BLSHook.loss_key` should be a key of the loss dict or a '
                f'list of keys, but got {loss_key!r}.'
            )
        self.loss_keys = list(loss_key)
        self.rescale_loss = rescale_loss
        self.align_schedule = align_schedule
        self._resumed: Optional[Dict[str, Any]] = None
        self._parallel = False
        self.scores = torch.empty(0)

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
            self._resumed = checkpoint.get(state.KEY, {})

    def before_train(self, runner: Any) -> None:
        """Take over sampler, loop and optimizer; restore a resumed run."""
        train_loop = runner.train_loop
        loader = train_loop.dataloader
        sampler = _find_sampler(loader)
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
        size = sampler.samples.count
        self.scores = torch.zeros(size, dtype=torch.float32, device=device)
        self._parallel = sampler.world_size > 1
        self._seen = torch.zeros(
            size if self._parallel else 0, dtype=torch.uint8, device=device
        )
        self._rescaler = LossRescaler(runner.optim_wrapper)
        self._restore(runner)
        self._warn_if_nothing_is_pruned(runner)
        if not self._by_epoch:
            loop.PassIterator.install(
                train_loop, lambda: self._begin_pass(runner)
            )

    def _restore(self, runner: Any) -> None:
        """Go on where the checkpoint of a resumed run was saved."""
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            return
        if resumed:
            state.unpack(resumed, self._planner, self.scores)
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
        """Merge the ranks; make the steps of batches that did not come."""
        self._merge()
        if self._by_epoch:
            current = self._planner.current
            self._step_to(runner, current, current.length)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Merge the ranks: the best checkpoint may be saved next."""
        self._merge()

    def _begin_pass(self, runner: Any) -> None:
        planner = self._planner
        is_new = planner.current.done >= planner.current.length
        if is_new:
            if not self._by_epoch and planner.current.length:
                self._merge()
            planner.next_pass(self.scores)
        current = planner.current
        weights = planner.batch_weights if self.rescale_loss else None
        self._lookup.begin_pass(weights, skip=current.done)
        loop.set_max_iters(
            runner, runner.iter - current.done + planner.iterations_left
        )
        if is_new:
            self._report(runner)

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
        if self._parallel:
            merge_scores(self.scores, self._seen)

    # An iteration

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Look up which samples are in the batch and what they weigh."""
        self._ids, self._rescaler.weight = self._lookup.next()
        self._rescaler.loss = None

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Score the samples of the batch; keep the schedule in step."""
        loss = self._loss(outputs or {})
        self.score.update(self.scores, self._ids, loss)
        current = self._planner.current
        self._step_to(runner, current, current.done + 1, own_steps=1)
        if self._parallel:
            self._seen[self._ids] = 1
            if loop.saves_now(runner):
                self._merge()

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

    def _loss(self, outputs: Dict[str, Tensor]) -> Tensor:
        """The loss to score by, shape ()."""
        total = self._rescaler.loss
        if total is None and self._weights_matter:
            raise RuntimeError(
                'The model does not call `optim_wrapper.update_params`, so '
                'its loss cannot be rescaled. Set `rescale_loss=False` in '
                'BLSHook.'
            )
        if total is not None and self.loss_keys == ['loss']:
            return total
        known = dict(outputs)
        if total is not None:
            # A model's own key of that name would hide the total.
            known['loss'] = total
        missing = [key for key in self.loss_keys if key not in known]
        if missing:
            raise ValueError(
                f'`BLSHook.loss_key` names {missing}, but the loss dict has '
                f'the keys {sorted(known)}.'
            )
        losses = [known[key].detach() for key in self.loss_keys]
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    @property
    def _weights_matter(self) -> bool:
        return self.rescale_loss and self._planner.sampler.pruner is not None

    # A checkpoint

    def before_save_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        """Add the key ``bls``. Called on rank 0 only."""
        if len(self.scores):
            checkpoint[state.KEY] = state.pack(self._planner, self.scores)


def _find_sampler(loader: DataLoader) -> BLSSampler:
    """The sampler below the batch sampler, however it was configured."""
    if loader.batch_sampler is None:
        raise ValueError(
            '`train_dataloader.dataset` is an IterableDataset, or has no '
            'batch sampler: its samples have no index to score.'
        )
    sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    if not isinstance(sampler, BLSSampler):
        raise ValueError(
            f'`train_dataloader.sampler` is a {type(sampler).__name__}, but '
            'BLSHook needs a BLSSampler. Set `train_dataloader = dict('
            "sampler=dict(type='BLSSampler'))`."
        )
    return sampler
