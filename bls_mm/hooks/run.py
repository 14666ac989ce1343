"""A training as BLSHook sees it, from its start to its end."""

from contextlib import nullcontext
from functools import partial
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterator,
    NamedTuple,
    Optional,
    Sequence,
)

import torch

from bls_mm.passes.next_pass import Beginning
from bls_mm.passes.planner import PassPlanner
from bls_mm.pruners.weights import mean_weight
from bls_mm.runner.loop import is_epoch_based
from bls_mm.runner.loop_watch import LoopWatch
from bls_mm.runner.pass_iterator import PassIterator
from bls_mm.runner.run_length import RunLength
from bls_mm.runner.schedules import ScheduleHooks
from bls_mm.samplers.batch_lookup import BatchLookup, find_sampler
from bls_mm.samplers.bls_sampler import BLSSampler
from bls_mm.scores import Score
from bls_mm.scores.buffer import ScoreBuffer

from .iteration import Iteration


class Left(NamedTuple):
    """What a training was when it ended.

    Attributes:
        iteration (int): Iterations that it has made.
        max_iters (int): Those that the loop was told it would make.
        sampler (dict): ``state_dict`` of the sampler.
    """

    iteration: int
    max_iters: int
    sampler: Dict[str, Any]


class Run:
    """Follow a training: its batches, their losses, and who changes what.

    Args:
        runner (Runner): The runner, before its first pass.
        score (Score): The score rule.
        loss_keys (list[str]): Losses to score by.
        per_sample (bool): Whether to listen for the losses of samples.
        rescale_loss (bool): Whether the loss is weighted.
        begin_pass (callable): Called before each pass of an iteration-based
            loop, which has no hook point there, as :class:`PassIterator`
            calls it.
        end_pass (callable): Called after it.
        steps (int, optional): Iterations of the unpruned run, if an
            iteration-based loop does not have that number any more.
            Defaults to None.

    Attributes:
        by_epoch (bool): Whether the training loop has epochs.
        planner (PassPlanner): Decides what each pass visits.
        lookup (BatchLookup): Finds the samples of a batch.
        buffer (ScoreBuffer): Their scores.
        iteration (Iteration): Weighs their losses and scores them.
        length (RunLength): Tells the runner how long the run will be.
        schedules (ScheduleHooks, optional): Keeps the schedules in step; None
            where nobody has set it.
        parallel (bool): Whether there are several ranks.
        left (Left, optional): What the run was when it ended; None before.

    Raises:
        TypeError: If the training loop is of an unknown kind.
        ValueError: If the DataLoader has no BLSSampler or yields no batch, a
            hook would replace the sampler, or the pruner has a target that
            the run cannot reach.
    """

    def __init__(
        self,
        runner: Any,
        score: Score,
        loss_keys: Sequence[str],
        per_sample: bool,
        rescale_loss: bool,
        begin_pass: Callable[[bool], bool],
        end_pass: Callable[[], None],
        steps: Optional[int] = None,
    ) -> None:
        self._runner = runner
        self._score = score
        self._rescale_loss = rescale_loss
        self._next_loader: Any = None
        self._warned = False
        self._is_whole = False  # trained on from its first batch
        self.schedules: Optional[ScheduleHooks] = None
        self.left: Optional[Left] = None

        self._loop = loop = runner.train_loop
        _check_hooks(runner.hooks)
        sampler = find_sampler(loop.dataloader)
        self.parallel = sampler.world_size > 1
        self.by_epoch = is_epoch_based(loop)
        make_iterator = partial(
            PassIterator,
            begin_pass=begin_pass,
            end_pass=end_pass,
            read=self.read_passes,
            is_over=self.pass_is_over,
            on_failed=self._abort,
        )
        self._watch = LoopWatch(
            loop,
            self._follow_loader,
            self._abort,
            None if self.by_epoch else make_iterator,
        )
        self._device = next(runner.model.parameters()).device
        self.lookup = BatchLookup(loop.dataloader, sampler, self._device)
        # The loop may have been built while the sampler of a run before, which
        # has ended in the middle, was in one of its passes.
        sampler.attach()
        steps = loop.max_iters if steps is None else steps
        if self.by_epoch:
            steps = loop.max_epochs * self.lookup.tracker.num_batches()
        self.planner = PassPlanner(
            sampler,
            self.lookup.tracker.num_batches,
            steps,
            self.lookup.batch_size,
            # mmdet's batch samplers regroup indices and cannot stream them.
            stream=self.lookup.plain and not self.by_epoch,
            by_epoch=self.by_epoch,
        )
        self.iteration = Iteration(runner, loss_keys, per_sample, rescale_loss)
        self.buffer = self._make_buffer(sampler)
        self.length = RunLength(runner, self.planner)

    def _make_buffer(self, sampler: BLSSampler) -> ScoreBuffer:
        return ScoreBuffer(
            self._score,
            sampler.samples.count,
            self._device,
            self.parallel,
            not self.iteration.compiled,
            self.iteration.on_misfit,
        )

    # A pass

    def begin_pass(self, holds_batch: bool = False) -> Beginning:
        """Begin the next pass, or go on in one that was loaded.

        Args:
            holds_batch (bool): Whether a batch of a later pass has been read.
                Defaults to False.

        Returns:
            Beginning: How the pass begins.
        """
        lookup = self.lookup
        if self._next_loader is not None:
            self._take_next_loader()
        epoch = self._runner.epoch if self.by_epoch else None
        if not self.planner.has_begun(epoch):
            self._follow_sizes()
        beginning = self.planner.begin(self.buffer.scores, epoch)
        if not holds_batch or self.lookup is not lookup:
            beginning = beginning._replace(reads_on=False)
        self._begin_batches(beginning)
        self.length.update(self.planner)
        self.iteration.refresh()
        return beginning

    def _begin_batches(self, beginning: Beginning) -> None:
        weights = beginning.weights if self._rescale_loss else None
        pruner = self.planner.sampler.pruner
        each = bool(pruner and pruner.weighs_samples)
        if each and weights is not None and self.planner.weights is not None:
            # Then the weighted gradients of a pass have the mean of all data,
            # and the learning rate keeps its meaning.
            weights = weights / mean_weight(self.planner.weights)
            self._warn_of_batch_weights()
        self.lookup.begin_pass(
            weights,
            beginning.skip,
            self.planner.current.number,
            beginning.reads_on,
            each,
        )
        self._is_whole = not beginning.skip
        self.iteration.batch = None

    def _warn_of_batch_weights(self) -> None:
        """Say once if weights of samples become those of their batches."""
        single = self.lookup.batch_size == 1
        if self._warned or single or self.iteration.weighs_samples:
            return
        self._warned = True
        rule = type(self.planner.sampler.pruner).__name__
        self._runner.logger.warning(
            f'BLS: {rule} weighs single samples, which this run cannot: the '
            'model has no loss modules with a `reduction` over samples, or is '
            'compiled, or `BLSHook.per_sample` or `loss_key` rule it out. The '
            'loss of a batch is weighted by the mean of its samples.'
        )

    def read_passes(self) -> Iterator[Any]:
        """Read the DataLoader of an iteration-based loop.

        With workers, batches of later passes follow those of the pass in
        hand, and each pass is selected when the workers ask for its first.
        """
        tracker = self.lookup.tracker
        if not tracker.loader.num_workers:
            return iter(tracker.loader)
        return tracker.read_passes(self._read_on)

    def _read_on(
        self, number: int, enters: bool
    ) -> Optional[ContextManager[None]]:
        """What to be in to draw batches of a pass, see :data:`ReadOn`."""
        planner = self.planner
        if number == planner.current.number:
            return nullcontext()
        planned = planner.ahead.find_indices(number)
        if planned is None and enters and number == planner.next_number:
            if not planner.may_plan(self.lookup.batch_size):
                return None
            self.merge()
            planner.plan(self.buffer.scores)
            planned = planner.ahead.find_indices(number)
        return None if planned is None else planner.sampler.during(planned)

    def pass_is_over(self) -> bool:
        """Whether the batch read last is of a later pass."""
        return self.lookup.tracker.latest_pass > self.planner.current.number

    def end_pass(self) -> None:
        """Merge the ranks, and check what only a whole pass can show.

        Raises:
            RuntimeError: If the model has never called ``update_params``.
            ValueError: If batches are not made of what was selected.
        """
        if self._is_whole and self.planner.sampler.pruner is not None:
            self.iteration.check_weights()
        self.lookup.end_pass()
        self.merge()

    def merge(self) -> None:
        """Let all ranks know the same scores."""
        if self.parallel:
            self.buffer.merge()

    # What others replace in mid-run

    def _follow_loader(self, loader: Any) -> None:
        """Go on with another DataLoader."""
        try:
            sampler = find_sampler(loader)
        except ValueError as error:
            raise ValueError(
                f'The training DataLoader was replaced in mid-run. {error}'
            ) from error
        if sampler is not self.planner.sampler:
            sampler.attach()  # whoever sets its epoch need not know of us
        self._next_loader = loader
        # An epoch that has begun reads the DataLoader that it began with.
        if not self.by_epoch or self.iteration.batch is None:
            self._take_next_loader()

    def _take_next_loader(self) -> None:
        loader, self._next_loader = self._next_loader, None
        self.lookup.tracker.close()
        self.lookup = BatchLookup(loader, find_sampler(loader), self._device)
        self._follow_sizes()
        current = self.planner.current
        if current.done < current.length:
            self._begin_batches(self.planner.beginning(is_new=False))

    def follow_inner(self, state: Dict[str, Any]) -> None:
        """Let an inner sampler make the passes that a resumed run has made.

        It may have yielded more in each, or items that were not there before.

        Args:
            state (dict): The state of the run, not validated yet.
        """
        planner = self.planner
        number, seed = state.get('number'), state.get('seed')
        if not isinstance(number, int) or not isinstance(seed, int):
            return  # which is told when all of it is validated
        if not planner.sampler.may_change:
            return
        planner.sampler.seed = seed
        for each in range(number + 1):
            if each >= planner.budget.passes:
                break
            planner.skip_to(planner.budget.end(each - 1) if each else 0)
            self._follow_sizes(tell=False)

    def _follow_sizes(self, tell: bool = True) -> None:
        """Follow a new sampler, batch size or number of samples."""
        lookup = self.lookup
        self.planner.follow(
            lookup.sampler, lookup.tracker.num_batches, lookup.batch_size
        )
        count = lookup.sampler.samples.count
        if self.buffer.size == count:
            return
        scores = self.buffer.scores
        kept = scores[:count]
        if tell:
            self._runner.logger.warning(
                f'BLS: the training data have {count} samples now, and had '
                f'{len(scores)}. The first {len(kept)} keep their scores, '
                'others start at 0.'
            )
        state = self.buffer.state_dict()
        new = kept.new_zeros(count - len(kept))
        state['scores'] = torch.cat([kept, new])
        self.buffer = self._make_buffer(lookup.sampler)
        self.buffer.load_state_dict(state)

    # The end

    def close(self) -> None:
        """Give back what has been taken over, once."""
        if self.left is not None:
            return
        self.left = Left(
            self._loop.iter,
            self._loop.max_iters,
            self.planner.sampler.state_dict(),
        )
        self._watch.close()
        self.length.close()
        if self.schedules is not None:
            self.schedules.close()
        self.lookup.tracker.close()
        self.iteration.close()
        self.planner.sampler.reset()

    def goes_on_in(self, runner: Any) -> bool:
        """Whether a training goes on where this one ended.

        So it does where ``runner.train()`` is called once more, after an
        exception or with a longer loop.

        Args:
            runner (Runner): The runner of that training.
        """
        return (
            self.left is not None
            and self._loop is runner.train_loop
            and self.left.iteration == runner.iter > 0
        )

    @property
    def steps(self) -> Optional[int]:
        """Iterations of the unpruned run; None if the loop tells them."""
        if self.left is None or self.left.max_iters != self._loop.max_iters:
            return None
        return self.planner.budget.steps

    @property
    def sampler_state(self) -> Dict[str, Any]:
        """``state_dict`` of the sampler, also after the end."""
        if self.left is None:
            return self.planner.sampler.state_dict()
        return self.left.sampler

    def _abort(self) -> None:
        """Leave everything as it was found: an exception ends the run."""
        self.close()
        self.planner.sampler.reset()


def _check_hooks(hooks: Sequence[Any]) -> None:
    """Refuse a hook that is known to replace the sampler."""
    for hook in hooks:
        if type(hook).__name__ == 'PGGANFetchDataHook':
            raise ValueError(
                '`custom_hooks` has a PGGANFetchDataHook, which makes a new '
                'DataLoader for each size of images and gives it a sampler '
                'of MMEngine: BLSSampler would be gone.'
            )
