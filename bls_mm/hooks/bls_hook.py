"""The hook that scores samples and prunes a training run."""

from functools import partial
from typing import Any, Dict, Optional, Sequence, Union

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.utils import is_seq_of
from torch import Tensor

from bls_mm.checkpoint.state import read_state
from bls_mm.checkpoint.validation import KEY
from bls_mm.checks import check_bool
from bls_mm.passes.planner import PassPlanner
from bls_mm.registry import SCORES, build
from bls_mm.runner import loop, private
from bls_mm.runner.schedules import ScheduleHooks
from bls_mm.scores import Score

from .messages import announce_run, report_pass, report_run
from .resume import go_on, leave, pack_run, resume
from .run import Run


@HOOKS.register_module()
class BLSHook(Hook):
    """Keep a score per training sample and prune the data of each epoch.

    Requires a :class:`BLSSampler` as ``train_dataloader.sampler``; its pruner
    decides which samples an epoch visits.

    Args:
        score (dict or Score): The rule that updates sample scores from losses.
            Defaults to ``dict(type='MARTScore')``.
        loss_key (str or list[str]): Key of the loss dict to score by, or a
            list of keys to sum. ``'loss'`` is the total loss that goes to
            backward. Defaults to 'loss'.
        per_sample (bool): Whether to score by per-sample losses if the model
            computes them, as classifiers and segmenters do, see
            :class:`SampleLosses`. Otherwise, and for any ``loss_key`` other
            than 'loss', the batch loss is used. Defaults to True.
        rescale_loss (bool): Whether the loss that goes to backward is
            multiplied by the mean weight that the pruner gives to the
            samples of the batch. Defaults to True.
        align_schedule (bool): Whether iteration-based parameter schedulers
            follow the progress through the data, so that they end where
            they would without pruning. Defaults to True.

    Attributes:
        scores (Tensor): Score of every distinct training sample, float32,
            shape (N,), on the training device; empty before training.
        planner (PassPlanner): The plan of the run; available once training has
            started.
        visited (int): Number of samples visited by the end of the current
            pass, over all ranks.
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
        self._loaded: Optional[Dict[str, Any]] = None
        self._run: Optional[Run] = None

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
    def _started(self) -> Run:
        if self._run is None:
            raise RuntimeError(
                'The plan of BLSHook is available only once training has '
                'started.'
            )
        return self._run

    # Start and end of a run

    def after_load_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        """Keep the state of a run until it is known to be resumed."""
        self._loaded = {k: v for k, v in checkpoint.items() if k == KEY}

    def before_train(self, runner: Any) -> None:
        """Take over sampler, loop and optimizer; restore a resumed run."""
        if sum(isinstance(hook, BLSHook) for hook in runner.hooks) > 1:
            raise ValueError(
                '`custom_hooks` and `default_hooks` should have one BLSHook, '
                'but got several.'
            )
        before = self._run
        left = None if before is None else leave(runner, before)
        self._run = run = Run(
            runner,
            self.score,
            self.loss_keys,
            self.per_sample,
            self.rescale_loss,
            partial(self._begin_pass, runner),
            partial(self._end_early, runner),
            None if left is None or before is None else before.steps,
        )
        if self.align_schedule:
            run.schedules = ScheduleHooks(runner, run.planner)
        loaded, self._loaded = self._loaded, None
        # `runner.resume(file)` sets the iteration alone. What `load_from`
        # loads starts a run of its own.
        is_resumed = private.is_resumed(runner) or runner.iter > 0
        if left is not None:
            go_on(runner, run, left)
        elif loaded is not None and is_resumed:
            resume(runner, run, read_state(loaded))
        announce_run(runner, run.planner, run.by_epoch)

    def after_train(self, runner: Any) -> None:
        """Report the saving; give the sampler and optimizer back."""
        run = self._started
        run.close()
        report_run(runner, run.planner)

    # Start and end of a pass

    def before_train_epoch(self, runner: Any) -> None:
        """Select what an epoch visits."""
        if self._started.by_epoch:
            self._begin_pass(runner)

    def after_train_epoch(self, runner: Any) -> None:
        """End the pass; make the steps of batches that did not come."""
        self._end_pass(runner)
        run = self._started
        run.iteration.batch = None
        if run.by_epoch:
            steps = run.planner.end()
            # Without pruning, the steps of batches that did not come are not
            # made either.
            is_pruned = run.planner.sampler.pruner is not None
            if is_pruned and run.schedules is not None:
                run.schedules.step(runner, steps)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Merge the ranks: the best checkpoint may be saved next."""
        if self._run is not None:  # not before a training, where one validates
            self._run.merge()

    def _begin_pass(self, runner: Any, holds_batch: bool = False) -> bool:
        run = self._started
        beginning = run.begin_pass(holds_batch)
        if beginning.is_new:
            report_pass(runner, run.planner, run.by_epoch)
        return beginning.reads_on

    def _end_pass(self, runner: Any) -> None:
        run = self._started
        if not run.planner.current.length:
            return
        run.end_pass()
        count = run.buffer.take_not_finite()
        if count:
            runner.logger.warning(
                f'BLS: ignored {count} non-finite loss(es) in this pass.'
            )

    def _end_early(self, runner: Any) -> None:
        """End a pass of an iteration-based run, of which no batch is left."""
        self._end_pass(runner)
        self._started.planner.end_early()

    # An iteration

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Look up which samples are in the batch and what they weigh."""
        run: Any = self._run  # `_started` would take time
        run.iteration.begin(run.lookup.find(data_batch))

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Tensor]] = None,
    ) -> None:
        """Score the samples of the batch; keep the schedule in step."""
        run: Any = self._run
        run.iteration.score(run.buffer, outputs)
        # MMEngine makes one step itself.
        steps = run.planner.current.advance(1) - 1
        if steps > 0 and run.schedules is not None:
            run.schedules.step(runner, steps, 1)
        if run.parallel and loop.saves_now(runner):
            run.merge()

    # A checkpoint

    def before_save_checkpoint(
        self, runner: Any, checkpoint: Dict[str, Any]
    ) -> None:
        """Add the key ``bls``. Called on rank 0 only."""
        if self._run is None:
            return
        run, ahead = self._run, 0
        is_next = checkpoint['meta']['iter'] == runner.iter + 1
        if run.iteration.in_hand and is_next:
            # Saved by a hook before this one, or before the batch is seen.
            ahead = run.iteration.score_early(run.buffer)
        checkpoint[KEY] = pack_run(run, ahead)
        if run.parallel and not run.buffer.merged:
            runner.logger.warning(
                'BLS: a checkpoint was saved in the middle of a pass, and not '
                'by a CheckpointHook. It holds the scores of this pass from '
                'rank 0 only: the samples that other ranks have visited in it '
                'keep their earlier scores. To save all, use '
                'CheckpointHook(by_epoch=False).'
            )
