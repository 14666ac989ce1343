"""What a user's own hooks, loops and loaders do to a training with BLSHook."""

import copy
import pickle

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, DataLoader
from toy import VALIDATED, ToyDataset, hook_of, make_config, make_runner

from bls_mm import BLSHook, BLSSampler


class At(Hook):
    """Do something at a hook point, when a condition holds."""

    def __init__(self, point, when, action, priority='NORMAL'):
        self.priority = priority

        def act(runner, *args, **kwargs):
            if when(runner):
                action(runner)

        setattr(self, point, act)


def epoch_is(number):
    return lambda runner: runner.epoch == number


def iter_is(number):
    return lambda runner: runner.iter == number


def train_with(work_dir, *hooks, **changes):
    """Train with hooks; every batch has to be the one that is scored."""
    runner = make_runner(work_dir, **changes)
    for hook in hooks:
        runner.register_hook(hook, hook.priority)
    check = Alignment()
    runner.register_hook(check, 'LOWEST')
    runner.train()
    assert check.iterations
    return runner


class Alignment(Hook):
    """Compare the samples in a batch with those that BLSHook takes it for."""

    def __init__(self):
        self.iterations = 0
        self.factors = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        run = hook_of(runner)._run
        assert list(run.iteration.batch.ids) == data_batch['number'].tolist()
        weights = run.planner.beginning(is_new=False).weights
        if weights is not None:
            chosen = weights[data_batch['number']]
            weight = torch.where(chosen > 0, chosen, 1.0).mean()
            assert float(run.iteration.batch.weight) == pytest.approx(
                float(weight)
            )
        self.iterations += 1


def new_loader(**changes):
    cfg = dict(make_config('.')['train_dataloader'], **changes)
    return Runner.build_dataloader(cfg)


def rebuild_loader(runner, **changes):
    workers = runner.train_dataloader.num_workers
    runner.train_loop.dataloader = new_loader(num_workers=workers, **changes)


# The DataLoader

PRIORITIES = ['VERY_HIGH', 'NORMAL', 'VERY_LOW']
# Fewer epochs for workers, which are started anew in each.
WORKERS = {
    0: dict(),
    2: dict(train_dataloader__num_workers=2, train_cfg__max_epochs=5),
}


@pytest.fixture(scope='module', params=WORKERS)
def loader(request):
    return WORKERS[request.param]


@pytest.fixture(scope='module')
def undisturbed(loader, tmp_path_factory):
    """A run without hooks of anybody's own."""
    return train_with(tmp_path_factory.mktemp('undisturbed'), **loader)


@pytest.mark.parametrize('priority', PRIORITIES)
def test_rebuilt_loader_is_followed(tmp_path, priority, loader, undisturbed):
    hook = At('before_train_epoch', epoch_is(3), rebuild_loader, priority)
    runner = train_with(tmp_path, hook, **loader)
    assert_same_end(runner, undisturbed)


def assert_same_end(runner, undisturbed):
    assert (runner.epoch, runner.iter) == (undisturbed.epoch, undisturbed.iter)
    assert hook_of(runner).visited == hook_of(undisturbed).visited
    assert torch.equal(hook_of(runner).scores, hook_of(undisturbed).scores)


def test_loader_rebuilt_in_mid_epoch_is_read_from_the_next_epoch_on(tmp_path):
    hook = At('after_train_iter', iter_is(23), rebuild_loader)
    runner = train_with(tmp_path, hook)
    assert runner.epoch == 8
    assert runner.iter == runner.max_iters


def test_loader_with_another_batch_size_changes_the_plan(tmp_path):
    hook = At(
        'before_train_epoch',
        epoch_is(4),
        lambda runner: rebuild_loader(runner, batch_size=8),
    )
    runner = train_with(tmp_path, hook)
    planner = hook_of(runner).planner
    assert planner.budget.steps == 4 * 10 + 4 * 5
    assert planner.current.step == planner.budget.steps
    assert runner.iter == runner.max_iters
    assert planner.unpruned == 320


def test_rebuilt_loader_with_another_sampler_is_refused(tmp_path):
    plain = dict(type='DefaultSampler', shuffle=True)
    hook = At(
        'before_train_epoch',
        epoch_is(2),
        lambda runner: rebuild_loader(runner, sampler=plain),
    )
    with pytest.raises(ValueError, match='replaced in mid-run.*Default'):
        train_with(tmp_path, hook)


def test_iterator_of_an_iteration_based_loop_is_followed(tmp_path):
    def replace(runner):
        runner.train_loop.dataloader_iterator = infinite(new_loader())

    hook = At('after_train_iter', iter_is(17), replace)
    changes = dict(train_cfg=dict(by_epoch=False, max_iters=80))
    runner = train_with(tmp_path, hook, **changes)
    planner = hook_of(runner).planner
    assert planner.current.step == planner.budget.steps == 80


def infinite(loader):
    from mmengine.runner.loops import _InfiniteDataloaderIterator

    return _InfiniteDataloaderIterator(loader)


def test_iterator_that_nobody_knows_is_refused(tmp_path):
    def replace(runner):
        runner.train_loop.dataloader_iterator = iter([])

    hook = At('after_train_iter', iter_is(3), replace)
    changes = dict(train_cfg=dict(by_epoch=False, max_iters=80))
    with pytest.raises(ValueError, match='dataloader_iterator.*cannot follow'):
        train_with(tmp_path, hook, **changes)


# Batches


@pytest.mark.parametrize('point', ['before_train_epoch', 'after_train_iter'])
@pytest.mark.parametrize('priority', PRIORITIES)
def test_peeking_at_a_batch_changes_nothing(
    tmp_path, point, priority, loader, undisturbed
):
    def peek(runner):
        next(iter(runner.train_dataloader))

    when = epoch_is(3) if point == 'before_train_epoch' else iter_is(25)
    runner = train_with(tmp_path, At(point, when, peek, priority), **loader)
    assert_same_end(runner, undisturbed)


@pytest.mark.parametrize('pruner', [None, dict(type='InfoBatch')])
def test_peeking_with_persistent_workers_begins_the_epoch_anew(
    tmp_path, pruner
):
    """As without BLSHook: such workers serve one reader."""
    sampler = dict(type='BLSSampler', pruner=pruner)
    runner = train_with(
        tmp_path,
        At(
            'after_train_iter',
            iter_is(25),
            lambda runner: next(iter(runner.train_dataloader)),
        ),
        train_dataloader__num_workers=2,
        train_dataloader__persistent_workers=True,
        train_dataloader__sampler=sampler,
    )
    if pruner is None:  # six iterations of an epoch, and nine after the peek
        assert runner.iter == 80 + 6 + 9 - 10
    assert runner.epoch == 8


@pytest.mark.parametrize('loader', [0], indirect=True)
def test_whole_extra_pass_over_the_loader_changes_nothing(
    tmp_path, loader, undisturbed
):
    def read(runner):
        assert len(list(runner.train_dataloader))

    runner = train_with(tmp_path, At('after_train_iter', iter_is(25), read))
    assert_same_end(runner, undisturbed)


@LOOPS.register_module(force=True)
class OddLoop(EpochBasedTrainLoop):
    """Leaves out every third batch, and trains twice on every fourth."""

    def run_epoch(self):
        self.runner.call_hook('before_train_epoch')
        for i, batch in enumerate(self.dataloader):
            if i % 3 == 1:
                continue
            self.run_iter(i, batch)
            if i % 4 == 0:
                self.run_iter(i, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module(force=True)
class ReadAheadLoop(EpochBasedTrainLoop):
    """Reads two batches ahead, as a loop that copies to a GPU may."""

    def run_epoch(self):
        self.runner.call_hook('before_train_epoch')
        read = []
        for batch in self.dataloader:
            read.append(batch)
            if len(read) > 2:
                self.run_iter(0, read.pop(0))
        for batch in read:
            self.run_iter(0, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module(force=True)
class CopyingLoop(EpochBasedTrainLoop):
    """Trains on a copy of each batch."""

    def run_iter(self, idx, data_batch):
        super().run_iter(idx, dict(data_batch))


@pytest.mark.parametrize('loop', ['OddLoop', 'ReadAheadLoop', 'CopyingLoop'])
@pytest.mark.parametrize('workers', WORKERS)
def test_loop_of_ones_own_scores_what_it_trains_on(tmp_path, loop, workers):
    train_with(
        tmp_path,
        train_cfg=dict(type=loop, max_epochs=4),
        train_dataloader__num_workers=workers,
    )


def test_batch_from_elsewhere_is_refused_in_that_iteration(tmp_path):
    @LOOPS.register_module(name='OwnBatches', force=True)
    class OwnBatches(EpochBasedTrainLoop):
        def run_epoch(self):
            self.runner.call_hook('before_train_epoch')
            dataset = self.dataloader.dataset
            self.run_iter(0, torch.utils.data.default_collate([dataset[0]]))

    runner = make_runner(
        tmp_path, train_cfg=dict(type='OwnBatches', max_epochs=4)
    )
    with pytest.raises(RuntimeError, match='does not know which samples'):
        runner.train()


def test_batch_size_changed_in_mid_epoch_is_noticed(tmp_path):
    def enlarge(runner):
        runner.train_dataloader.batch_sampler.batch_size = 5

    train_with(tmp_path, At('after_train_iter', iter_is(33), enlarge))


# Batch samplers


@DATA_SAMPLERS.register_module(force=True)
class FixedBatches(BatchSampler):
    """Asks its sampler for the dataset alone."""

    def __iter__(self):
        size = len(self.sampler.dataset)
        yield from torch.arange(size).view(-1, self.batch_size).tolist()


@DATA_SAMPLERS.register_module(force=True)
class FirstTooOften(BatchSampler):
    """Draws from its sampler, and adds sample 0 to every batch."""

    def __iter__(self):
        for batch in super().__iter__():
            yield [*batch, 0]


def use(name):
    batches = dict(type=name, drop_last=False)
    return dict(train_dataloader__batch_sampler=batches)


def test_batch_sampler_that_ignores_its_sampler_is_refused(tmp_path):
    runner = make_runner(tmp_path, **use('FixedBatches'))
    with pytest.raises(ValueError, match='FixedBatches does not draw from'):
        runner.train()
    assert runner.iter == 0


def test_batch_sampler_that_adds_samples_is_refused_after_a_pass(tmp_path):
    runner = make_runner(tmp_path, **use('FirstTooOften'))
    with pytest.raises(ValueError, match='FirstTooOften takes samples'):
        runner.train()
    assert runner.epoch == 0


@pytest.mark.parametrize('name', ['FixedBatches', 'FirstTooOften'])
def test_any_batch_sampler_is_scored_without_a_pruner(tmp_path, name):
    sampler = dict(type='BLSSampler', pruner=None)
    train_with(tmp_path, train_dataloader__sampler=sampler, **use(name))


# Optimizer wrapper, dataset


@pytest.mark.parametrize('point', ['before_train_epoch', 'before_train_iter'])
def test_replaced_optimizer_is_weighted(tmp_path, point):
    def replace(runner):
        parameters = runner.model.parameters()
        runner.optim_wrapper = OptimWrapper(torch.optim.SGD(parameters, 0.1))

    hook = At(point, iter_is(20), replace, 'VERY_HIGH')
    runner = make_runner(tmp_path, custom_hooks=[dict(type='BLSHook')])
    runner.register_hook(hook, 'VERY_HIGH')
    weights = []
    runner.register_hook(
        At(
            'after_train_iter',
            lambda _: True,
            lambda r: weights.append(hook_of(r)._run.iteration.rescaler.loss),
        ),
        'LOWEST',
    )
    runner.train()
    assert all(loss is not None for loss in weights)


def test_dataset_that_has_grown_is_trained_on(tmp_path):
    def grow(runner):
        dataset = runner.train_dataloader.dataset
        dataset.points = torch.cat([dataset.points, dataset.points[:8]])

    hook = At('after_train_epoch', epoch_is(3), grow)
    runner = train_with(tmp_path, hook)
    assert len(hook_of(runner).scores) == 48
    assert (hook_of(runner).scores > 0).all()
    planner = hook_of(runner).planner
    assert planner.unpruned == 4 * 40 + 4 * 48
    assert runner.iter == runner.max_iters


def test_workers_that_are_kept_learn_that_the_dataset_has_grown(tmp_path):
    def grow(runner):
        dataset = runner.train_loop.dataloader.dataset
        dataset.points = torch.cat([dataset.points, dataset.points[:8]])

    runner = train_with(
        tmp_path,
        At('after_train_iter', lambda runner: runner.iter == 24, grow),
        train_cfg=dict(by_epoch=False, max_iters=80),
        train_dataloader__num_workers=2,
    )
    assert (hook_of(runner).scores > 0).all()
    assert len(hook_of(runner).scores) == 48


# The end of a run


def interrupt(runner):
    raise KeyboardInterrupt


@pytest.mark.parametrize('by_epoch', [True, False])
def test_run_after_an_interrupted_one_is_like_a_first_one(tmp_path, by_epoch):
    def cell(name, loader, *hooks):
        torch.manual_seed(0)
        parts = make_runner(tmp_path / name)
        length = dict(max_epochs=8) if by_epoch else dict(max_iters=80)
        runner = Runner(
            parts.model,
            str(tmp_path / name),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=by_epoch, **length),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            custom_hooks=[BLSHook(), dict(type='Recorder')],
            experiment_name=f'{name}{by_epoch}',
        )
        for hook in hooks:
            runner.register_hook(hook)
        try:
            runner.train()
        except KeyboardInterrupt:
            assert hooks
        return runner

    def loader():
        dataset = ToyDataset()
        return DataLoader(dataset, 4, sampler=BLSSampler(dataset, seed=1))

    again = loader()
    fresh = cell('fresh', loader())
    cell('cut', again, At('before_train_iter', iter_is(33), interrupt))
    assert type(again) is DataLoader
    assert type(again.batch_sampler) is BatchSampler
    assert len(again) == 10
    second = cell('second', again)
    for runner in (fresh, second):
        assert 'update_params' not in vars(runner.optim_wrapper)
    assert (
        hook_of(second, 'Recorder').numbers
        == hook_of(fresh, 'Recorder').numbers
    )
    assert torch.equal(hook_of(second).scores, hook_of(fresh).scores)


class Once(Hook):
    """End a run by an exception when it first comes to a point."""

    def __init__(self, point, iteration):
        self.left = 1

        def act(runner, *args, **kwargs):
            if runner.iter >= iteration and self.left:
                self.left = 0
                raise KeyboardInterrupt

        setattr(self, point, act)


def train_twice(work_dir, once, between=None, **changes):
    """Train until an exception, and go on with the same runner."""
    runner = make_runner(work_dir, **changes)
    runner.register_hook(once)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    if between is not None:
        between(runner)
    runner.train()
    return runner


BY_ITERATION = dict(train_cfg=dict(by_epoch=False, max_iters=60))


@pytest.mark.parametrize(
    ('point', 'changes'),
    [
        ('before_train_iter', {}),
        ('before_train_iter', BY_ITERATION),
        (
            'before_train_iter',
            dict(BY_ITERATION, train_dataloader__num_workers=1),
        ),
        ('before_val', dict(VALIDATED, train_cfg__val_interval=3)),
    ],
)
def test_run_goes_on_when_it_is_called_again(tmp_path, point, changes):
    settings = dict(
        train_dataloader__dataset__size=24,
        train_dataloader__sampler__pruner=dict(
            type='Importance', target_saving=0.3
        ),
        param_scheduler=dict(type='PolyLR', by_epoch=False, end=40),
        **changes,
    )
    whole = make_runner(tmp_path / 'whole', **settings)
    whole.train()
    runner = train_twice(tmp_path / 'cut', Once(point, 17), **settings)
    done, expected = (hook_of(each, 'Recorder') for each in (runner, whole))
    assert done.numbers == expected.numbers
    assert done.rates == expected.rates
    # But for rounding, since other batches were scored together.
    assert done.losses == pytest.approx(expected.losses, rel=1e-4)
    assert runner.max_iters == whole.max_iters
    assert hook_of(runner).planner.saved == hook_of(whole).planner.saved


def test_interrupted_run_can_be_saved_by_hand(tmp_path):
    settings = dict(BY_ITERATION, train_dataloader__dataset__size=26)
    whole = make_runner(tmp_path / 'whole', **settings)
    whole.train()
    broken = make_runner(tmp_path / 'cut', **settings)
    broken.register_hook(Once('before_train_iter', 17))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    assert len(hook_of(broken).planner.carried_weights)
    broken.save_checkpoint(str(tmp_path), 'by_hand.pth', by_epoch=False)
    resumed = make_runner(
        tmp_path / 'cut',
        resume=True,
        load_from=str(tmp_path / 'by_hand.pth'),
        **settings,
    )
    resumed.train()
    rest = hook_of(whole, 'Recorder').numbers[17:]
    assert hook_of(resumed, 'Recorder').numbers == rest


@pytest.mark.parametrize('changes', [{}, BY_ITERATION])
def test_run_that_is_over_goes_on_when_its_loop_becomes_longer(
    tmp_path, changes
):
    settings = dict(
        train_dataloader__dataset__size=24,
        train_dataloader__sampler__pruner=dict(
            type='RandomPrune', target_saving=0.3
        ),
        **changes,
    )
    runner = make_runner(tmp_path, **settings)
    runner.train()
    visits = hook_of(runner).visited
    runner.train()  # nothing is left to do
    assert hook_of(runner).visited == visits
    assert hook_of(runner).planner.saved == pytest.approx(0.3, abs=0.02)
    runner.train_loop._max_epochs, runner.train_loop._max_iters = 12, 84
    runner.train()
    numbers = hook_of(runner, 'Recorder').numbers
    hook = hook_of(runner)
    assert hook.visited == sum(map(len, numbers)) > visits
    assert hook.planner.saved == pytest.approx(0.3, abs=0.02)
    assert hook.visited_unpruned == (84 * 4 if changes else 12 * 24)


def test_run_that_goes_on_with_other_batches_keeps_its_place(tmp_path):
    messages = []

    def replace(runner):
        runner.logger.warning = messages.append
        runner.train_loop.dataloader = new_loader(batch_size=2)

    once = Once('before_train_iter', 33)
    runner = train_twice(tmp_path, once, between=replace)
    assert any('data have changed. All scores' in m for m in messages)
    planner = hook_of(runner).planner
    assert planner.current.number == 7
    assert runner.epoch == 8
    assert planner.unpruned == 8 * 40


def test_loader_in_training_is_copied_and_pickled_as_a_plain_one(tmp_path):
    copies = []

    def copy_it(runner):
        loader = runner.train_dataloader
        sampler = loader.batch_sampler
        copies.append(pickle.loads(pickle.dumps(sampler)))
        copies.append(copy.deepcopy(sampler))
        copies.append(copy.copy(loader))

    train_with(tmp_path, At('after_train_iter', iter_is(25), copy_it))
    kinds = [type(c) for c in copies]
    assert kinds == [BatchSampler, BatchSampler, DataLoader]
    assert not any(hasattr(c, 'bls_watcher') for c in copies)


def test_step_that_is_left_out_does_not_end_the_run(tmp_path):
    def leave_out(runner):
        model = runner.model
        step = model.train_step

        def train_step(data, optim_wrapper):
            if runner.iter % 7 == 2:
                return dict(loss=torch.tensor(float('nan')))
            return step(data, optim_wrapper)

        model.train_step = train_step

    train_with(tmp_path, At('before_train', lambda _: True, leave_out))


def test_model_that_never_steps_is_refused_after_a_pass(tmp_path):
    def never_step(runner):
        runner.model.train_step = lambda data, optim_wrapper: dict(
            loss=torch.tensor(1.0)
        )

    runner = make_runner(tmp_path)
    runner.register_hook(At('before_train', lambda _: True, never_step))
    with pytest.raises(RuntimeError, match='`optim_wrapper.update_params`'):
        runner.train()
    assert runner.epoch == 0
