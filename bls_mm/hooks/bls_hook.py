"""The hook that scores samples and prunes a training run."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Dict, Mapping, Optional, Sequence, Union

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.utils import is_seq_of
from torch import Tensor

from bls_mm.checkpoint.state import load_state, pack_state, read_state
from bls_mm.checkpoint.validation import KEY
from bls_mm.checks import check_bool
from bls_mm.losses.backward import LossRescaler
from bls_mm.losses.batch_loss import batch_loss
from bls_mm.passes.planner import Beginning, PassPlanner
from bls_mm.registry import SCORES, build
from bls_mm.runner import loop, private
from bls_mm.runner.loop_watch import LoopWatch
from bls_mm.runner.pass_iterator import PassIterator
from bls_mm.runner.run_length import RunLength
from bls_mm.samplers.batch_lookup import BatchLookup, find_sampler
from bls_mm.samplers.bls_sampler import BLSSampler
from bls_mm.scores import Score
from bls_mm.scores.batch import Batch
from bls_mm.scores.buffer import ScoreBuffer


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
        self._run: Optional[_Run] = None

    @property
    def scores(self) -> Tensor:
        return torch.empty(0) if self._run is None else self._run.buffer.scores

    @property
    def planner(self) -> PassPlanner:
        return self._started.planner

    @property
    def visited(self) -> int:
        return self._started.planner.visited

    @property
    def visited_unpruned(self) -> int:
        return self._started.planner.unpruned

    @property
    def _started(self) -> '_Run':
        if self._run is None:
            raise RuntimeError(
                'BLSHook has no plan before the training of its runner starts.'
            )
        return self._run

    # Start and end of a run

    def after_load_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        """Keep the state of a resumed run until there is a place for it."""
        # Without `resume`, `load_from` starts a run of its own.
        if private.is_resumed(runner):
            self._resumed = read_state(checkpoint)

    def before_train(self, runner: Any) -> None:
        """Take over sampler, loop and optimizer; restore a resumed run."""
        if sum(isinstance(hook, BLSHook) for hook in runner.hooks) > 1:
            raise ValueError(
                '`custom_hooks` and `default_hooks` should have one BLSHook, '
                'but got several.'
            )
        self._run = run = self._make_run(runner)
        self._restore(runner, run)
        _warn_if_nothing_is_pruned(runner, run.planner)

    def _make_run(self, runner: Any) -> '_Run':
        train_loop = runner.train_loop
        loader = train_loop.dataloader
        sampler = find_sampler(loader)
        by_epoch = loop.is_epoch_based(train_loop)
        device = next(runner.model.parameters()).device
        watch = LoopWatch(
            train_loop,
            partial(self._follow_loader, runner),
            self._abort,
            None if by_epoch else partial(self._make_iterator, runner),
        )
        lookup = BatchLookup(loader, sampler, device)
        # The loop may have been built while the sampler of a run before, which
        # has ended in the middle, was in one of its passes.
        sampler.attach()
        steps = train_loop.max_iters
        if by_epoch:
            steps = train_loop.max_epochs * lookup.tracker.num_batches()
        planner = PassPlanner(
            sampler,
            lookup.tracker.num_batches,
            steps,
            lookup.batch_size,
            # mmdet's batch samplers regroup indices and cannot stream them.
            stream=lookup.plain and not by_epoch,
            by_epoch=by_epoch,
        )
        rescaler = LossRescaler(runner.optim_wrapper)
        buffer = self._make_buffer(runner, sampler, device)
        length = RunLength(runner, planner)
        return _Run(by_epoch, planner, lookup, buffer, rescaler, watch, length)

    def _make_buffer(
        self, runner: Any, sampler: BLSSampler, device: torch.device
    ) -> ScoreBuffer:
        # A compiled model would be compiled again with every hook on it, and
        # its losses may be overwritten by its next call.
        compiled = bool(runner.cfg.get('compile'))
        listens = self.per_sample and self.loss_keys == ['loss']
        return ScoreBuffer(
            self.score,
            sampler.samples.count,
            device,
            sampler.world_size > 1,
            runner.model if listens and not compiled else None,
            keeps_losses=not compiled,
        )

    def _make_iterator(self, runner: Any, loader: Any) -> PassIterator:
        return PassIterator(
            loader,
            partial(self._begin_pass, runner),
            partial(self._end_pass, runner),
        )

    # What a hook replaces in mid-run

    def _follow_loader(self, runner: Any, loader: Any) -> None:
        """Go on with another DataLoader."""
        run = self._started
        try:
            sampler = find_sampler(loader)
        except ValueError as error:
            raise ValueError(
                f'The training DataLoader was replaced in mid-run. {error}'
            ) from error
        sampler.attach()  # whoever sets its epoch need not know of us
        run.next_loader = loader
        # An epoch that has begun reads the DataLoader that it began with.
        if not run.by_epoch or run.batch is None:
            self._take_next_loader(runner)

    def _take_next_loader(self, runner: Any) -> None:
        run = self._started
        loader, run.next_loader = run.next_loader, None
        run.lookup.tracker.close()
        sampler, device = find_sampler(loader), run.buffer.device
        run.lookup = BatchLookup(loader, sampler, device)
        self._follow_sizes(runner)
        current = run.planner.current
        if current.done < current.length:
            self._begin_batches(run.planner.beginning(is_new=False))

    def _follow_sizes(self, runner: Any) -> None:
        """Follow a new sampler, batch size or number of samples."""
        run = self._started
        lookup = run.lookup
        run.planner.follow(
            lookup.sampler, lookup.tracker.num_batches, lookup.batch_size
        )
        before, count = run.buffer.state_dict(), lookup.sampler.samples.count
        kept = before['scores'][:count]
        if len(before['scores']) == count:
            return
        runner.logger.warning(
            f'BLS: the training data have {count} samples now, and had '
            f'{len(before["scores"])}. The first {len(kept)} keep their '
            'scores, others start at 0.'
        )
        run.buffer.close()
        run.buffer = self._make_buffer(runner, lookup.sampler, kept.device)
        scores = torch.cat([kept, kept.new_zeros(count - len(kept))])
        run.buffer.load_state_dict(dict(before, scores=scores))

    def _restore(self, runner: Any, run: '_Run') -> None:
        """Go on where the checkpoint of a resumed run was saved."""
        resumed, self._resumed = self._resumed, None
        if resumed is None:
            return
        planner = run.planner
        if resumed:
            load_state(resumed, run.buffer, planner, planner.sampler)
            owed = loop.steps_owed(runner, planner.current)
            if run.by_epoch:
                owed += planner.go_to_epoch(runner.epoch)
            self._step_schedulers(runner, owed)
            # Now, since a run that is over will not begin another pass.
            run.length.update(planner)
            return
        step = runner.iter
        if run.by_epoch:
            step = runner.epoch * planner.budget.numerator
        planner.skip_to(step)
        runner.logger.warning(
            'BLS: the checkpoint was saved without BLSHook. All scores start '
            'at 0.'
        )

    def _abort(self) -> None:
        """Leave everything as it was found: an exception ends the run."""
        run = self._started
        run.close()
        run.planner.sampler.reset()

    def after_train(self, runner: Any) -> None:
        """Report the saving; give the sampler and optimizer back."""
        run = self._started
        run.close()
        runner.logger.info(
            f'BLS: visited {self.visited} samples instead of '
            f'{self.visited_unpruned}, {run.planner.saved:.1%} saved.'
        )

    # Start and end of a pass

    def before_train_epoch(self, runner: Any) -> None:
        """Select what an epoch visits."""
        if self._started.by_epoch:
            self._begin_pass(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """End the pass; make the steps of batches that did not come."""
        self._end_pass(runner)
        run = self._started
        run.batch = None
        if run.by_epoch:
            self._step_schedulers(runner, run.planner.end())

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Merge the ranks: the best checkpoint may be saved next."""
        if self._run is not None:  # not before a training, where one validates
            self._run.merge()

    def _begin_pass(self, runner: Any) -> None:
        run = self._started
        if run.next_loader is not None:
            self._take_next_loader(runner)
        self._follow_sizes(runner)
        epoch = runner.epoch if run.by_epoch else None
        beginning = run.planner.begin(self.scores, epoch)
        self._begin_batches(beginning)
        run.length.update(run.planner)
        if beginning.is_new:
            _report(runner, run)

    def _begin_batches(self, beginning: Beginning) -> None:
        weights = beginning.weights if self.rescale_loss else None
        self._started.lookup.begin_pass(weights, beginning.skip)
        self._started.batch = None
        self._started.is_whole = not beginning.skip

    def _end_pass(self, runner: Any) -> None:
        run = self._started
        if not run.planner.current.length:
            return
        self._check_weights(run)
        run.lookup.end_pass()
        run.merge()
        count = run.buffer.take_not_finite()
        if count:
            runner.logger.warning(
                f'BLS: {count} loss(es) of this pass were not finite and '
                'changed no score.'
            )

    # An iteration

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Look up which samples are in the batch and what they weigh."""
        run = self._started
        run.batch = batch = run.lookup.find(data_batch)
        run.rescaler.follow(runner.optim_wrapper)
        run.rescaler.start(batch.weight)
        run.buffer.expect(len(batch.ids))
        run.in_hand = True

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Score the samples of the batch; keep the schedule in step."""
        run = self._started
        if run.in_hand:
            self._score(run, outputs)
        # MMEngine makes one step by itself.
        self._step_schedulers(runner, run.planner.advance(1) - 1)
        if run.parallel and loop.saves_now(runner):
            run.merge()

    def _score(self, run: '_Run', outputs: Any) -> None:
        run.in_hand = False
        loss = self._loss_of(run, outputs)
        if run.batch is not None and loss is not None:
            run.buffer.add(run.batch, loss)
            run.merged = False

    def _loss_of(self, run: '_Run', outputs: Any) -> Optional[Tensor]:
        """The loss of the batch in hand; None if its step was left out."""
        total = run.rescaler.loss
        if total is None and run.rescaler.used:
            # A `train_step` may leave out a batch, as one with a NaN.
            if not isinstance(outputs, Mapping):
                return None
            if any(key not in outputs for key in self.loss_keys):
                return None
        return batch_loss(self.loss_keys, total, outputs or {})

    def _check_weights(self, run: '_Run') -> None:
        """Refuse a model whose loss never comes to the optimizer wrapper."""
        if run.rescaler.used or not self.rescale_loss:
            return
        if not run.is_whole:  # it is too early to tell
            return
        if run.planner.sampler.pruner is not None:
            raise RuntimeError(
                'The model did not call `optim_wrapper.update_params` in a '
                'whole pass, so its loss cannot be weighted. Set '
                '`rescale_loss=False` in BLSHook.'
            )

    def _step_schedulers(self, runner: Any, steps: int) -> None:
        if self.align_schedule:
            loop.step_schedulers(runner, steps)

    # A checkpoint

    def before_save_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        """Add the key ``bls``. Called on rank 0 only."""
        if self._run is None:
            return
        run, planner = self._run, self._run.planner
        ahead, seen = 0, run.rescaler.loss is not None
        if run.in_hand and checkpoint['meta']['iter'] == runner.iter + 1:
            # Saved by a hook before this one, or before the batch is seen.
            ahead = int(seen or not run.rescaler.used)
            if seen and self.loss_keys == ['loss']:
                self._score(run, None)
        checkpoint[KEY] = pack_state(
            run.buffer, planner, planner.sampler, ahead
        )
        if run.parallel and not run.merged:
            runner.logger.warning(
                'BLS: a checkpoint was saved in the middle of a pass, and not '
                'by a CheckpointHook. It holds the scores of this pass from '
                'rank 0 only: the samples that other ranks have visited in it '
                'have those from before. To save all, use '
                'CheckpointHook(by_epoch=False).'
            )


@dataclass
class _Run:
    """What the hook makes when a training starts.

    Attributes:
        by_epoch (bool): Whether the training loop has epochs.
        planner (PassPlanner): Decides what each pass visits.
        lookup (BatchLookup): Finds the samples of a batch.
        buffer (ScoreBuffer): Scores them.
        rescaler (LossRescaler): Applies their weight.
        watch (LoopWatch): Hears of another DataLoader, and of a failure.
        length (RunLength): Tells the runner how long the run will be.
        batch (Batch, optional): The last batch of the pass in hand; None
            before its first.
        next_loader (DataLoader, optional): What the next pass will read.
        is_whole (bool): Whether the pass in hand has been trained on from
            its first batch; not where the run was resumed later in it.
        in_hand (bool): Whether that batch has yet to be scored.
        merged (bool): Whether all ranks know the same scores.
    """

    by_epoch: bool
    planner: PassPlanner
    lookup: BatchLookup
    buffer: ScoreBuffer
    rescaler: LossRescaler
    watch: LoopWatch
    length: RunLength
    batch: Optional[Batch] = None
    next_loader: Any = None
    is_whole: bool = False
    in_hand: bool = False
    merged: bool = True

    @property
    def parallel(self) -> bool:
        """Whether there are several ranks."""
        return self.planner.sampler.world_size > 1

    def close(self) -> None:
        """Give back what has been taken over."""
        self.watch.close()
        self.length.close()
        self.lookup.tracker.close()
        self.rescaler.close()
        self.buffer.close()
        self.planner.sampler.detach()

    def merge(self) -> None:
        """Let all ranks know the same scores."""
        if self.parallel:
            self.buffer.merge()
            self.merged = True


def _warn_if_nothing_is_pruned(runner: Any, planner: PassPlanner) -> None:
    if planner.sampler.pruner is None or planner.prunes:
        return
    runner.logger.warning(
        f'BLS prunes nothing: the run has {planner.budget.passes} '
        'pass(es) over the data, of which the first and those after '
        f'`delta` ({planner.delta}) of them are not pruned.'
    )


def _report(runner: Any, run: _Run) -> None:
    """Log what the pass that begins visits."""
    kept, full = run.planner.kept
    saved = run.planner.saved
    runner.message_hub.update_scalar('train/bls_kept', kept / full)
    runner.message_hub.update_scalar('train/bls_saved', saved)
    unit = 'epoch' if run.by_epoch else 'pass'
    runner.logger.info(
        f'BLS: {unit} {run.planner.current.number + 1} visits {kept} of '
        f'{full} samples ({kept / full:.1%}), {saved:.1%} of the '
        'visits saved so far.'
    )
