"""What the hook asks of device, host and network, counted, not timed."""

import gc
from collections import deque
from functools import wraps

import odd_losses  # noqa: F401  registers a model
import pytest
import torch
from mmengine.registry import MODELS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import BatchSampler
from toy import hook_of, make_runner, train

from bls_mm import BLSHook
from bls_mm.samplers.batch_tracker import Drawn
from bls_mm.scores.pending import BATCHES_AT_A_TIME, ScoreUpdates

# Operations that the hook dispatches in an iteration of a pruned pass, views
# included, on the average, since most of its work is done for many batches at
# once.
MOST_OPERATIONS = 4
# Ways to read a tensor on the host, which waits for the device.
READS = (
    'item', 'tolist', 'cpu', 'numpy', 'nonzero', '__bool__', '__float__',
    '__int__', '__index__', '__array__',
)  # fmt: skip
# What these and functions of torch come down to; sizes that depend on values
# have to be read too.
READING_OPERATIONS = {
    '_local_scalar_dense', 'equal', 'is_nonzero', 'nonzero', 'masked_select',
    '_unique2', 'unique_dim',
}  # fmt: skip
BY_ITERATION = dict(type='LinearLR', by_epoch=False, begin=0, end=80)


class OtherBatchSampler(BatchSampler):
    """One that might regroup indices, so that those of each batch travel."""


BATCHES = {
    'plain': dict(),
    'regrouped': dict(
        train_dataloader__batch_sampler=dict(
            type=OtherBatchSampler, drop_last=False
        )
    ),
}


@MODELS.register_module(name='WatchedLoss', force=True)
class Loss(torch.nn.CrossEntropyLoss):
    """A loss module that a test can watch."""


def with_score(**score):
    """Settings of a run with a score and a schedule by iteration."""
    return dict(
        param_scheduler=BY_ITERATION,
        custom_hooks=[
            dict(type='BLSHook', score=score),
            dict(type='Recorder'),
        ],
    )


SCORED = {
    'zero': with_score(type='EMAScore'),
    'first': with_score(type='EMAScore', init='first'),
    'mart': with_score(type='MARTScore'),
    'samples': dict(
        model=dict(type='ToyHead', loss='WatchedLoss'),
        **with_score(type='MARTScore'),
    ),
}


class Watch:
    """Know whether the program is in the hook's own part of an iteration.

    Between its methods that is what it puts around ``update_params`` of the
    optimizer wrapper and around the loss module of the model.

    Attributes:
        inside (bool): Whether it is.
        on_change (callable): Called with ``inside`` when it changes.
    """

    def __init__(self, monkeypatch):
        self.inside = False
        self.on_change = lambda inside: None
        for owner, name in (
            (BLSHook, 'before_train_iter'),
            (BLSHook, 'after_train_iter'),
            # In few of the iterations, and at the end of a pass.
            (ScoreUpdates, 'flush'),
        ):
            method = self.setting(True, getattr(owner, name))
            monkeypatch.setattr(owner, name, method)
        before_train = BLSHook.before_train

        def watched(hook, runner):
            wrapper = runner.optim_wrapper
            # What the hook calls in turn is MMEngine's: backward and step.
            inner = self.setting(False, wrapper.update_params)
            wrapper.update_params = inner
            before_train(hook, runner)
            wrapper.update_params = self.setting(True, wrapper.update_params)
            module = getattr(runner.model, 'loss', None)
            if module is not None and 'forward' in vars(module):
                module.forward = self.setting(True, module.forward)

        monkeypatch.setattr(BLSHook, 'before_train', watched)
        forward = Loss.forward

        def watched_forward(module, *args):
            ours = module.reduction == 'none'
            return self.setting(ours, forward)(module, *args)

        monkeypatch.setattr(Loss, 'forward', watched_forward)

    def setting(self, inside, function):
        """The function, with ``self.inside`` set while it runs."""

        @wraps(function)
        def watched(*args, **kwargs):
            before = self.inside
            self._set(inside)
            try:
                return function(*args, **kwargs)
            finally:
                self._set(before)

        return watched

    def _set(self, inside):
        self.inside = inside
        self.on_change(inside)


@pytest.fixture
def watch(monkeypatch):
    return Watch(monkeypatch)


class Operations(TorchDispatchMode):
    """Write down the operations that the hook dispatches."""

    def __init__(self, watch):
        super().__init__()
        self._watch = watch
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        # Some versions of torch dispatch each `detach` twice.
        twice = name == 'detach' and self.names[-1:] == [name]
        if self._watch.inside and not twice:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def as_rank_of(world_size, monkeypatch):
    """Be the first of several ranks, which all know the same.

    Returns:
        list[Tensor]: Fills with what is handed to collectives.
    """
    reduced = []
    monkeypatch.setattr(
        'bls_mm.samplers.bls_sampler.get_dist_info', lambda: (0, world_size)
    )
    monkeypatch.setattr(
        'bls_mm.scores.merge.get_world_size', lambda: world_size
    )
    monkeypatch.setattr('bls_mm.scores.merge.all_reduce', reduced.append)
    return reduced


def operations_by_iteration(watch, tmp_path, **changes):
    """Names of the operations of each iteration, by epoch."""
    runner = make_runner(tmp_path, **changes)
    mode, epochs = Operations(watch), {}
    recorder = hook_of(runner, 'Recorder')  # comes after the hook

    def after_train_iter(runner, *args, **kwargs):
        epochs.setdefault(runner.epoch, []).append(mode.names)
        mode.names = []

    recorder.after_train_iter = after_train_iter
    with mode:
        runner.train()
    return epochs


@pytest.mark.parametrize('world_size', [1, 2])
@pytest.mark.parametrize('batches', BATCHES)
@pytest.mark.parametrize('scored', SCORED)
def test_iteration_reads_no_tensor(
    tmp_path, monkeypatch, watch, scored, batches, world_size
):
    if world_size > 1:
        as_rank_of(world_size, monkeypatch)
    reads = count_reads(monkeypatch, watch)
    epochs = operations_by_iteration(
        watch, tmp_path, **BATCHES[batches], **SCORED[scored]
    )
    assert len(epochs) == 8
    assert reads['inside'] == []
    assert reads['elsewhere'] > 0  # the patches do count
    names = {n for its in epochs.values() for it in its for n in it}
    assert names & {'index_put_', 'index_copy_', 'scatter_'}
    assert ('_log_softmax' in names) == (scored == 'samples')
    assert not names & READING_OPERATIONS


def count_reads(monkeypatch, watch):
    """Patch the methods that read a tensor, so that they are counted."""
    reads = dict(inside=[], elsewhere=0)

    def counted(name):
        method = getattr(torch.Tensor, name)

        @wraps(method)
        def read(*args, **kwargs):
            if watch.inside:
                reads['inside'].append(name)
            else:
                reads['elsewhere'] += 1
            return method(*args, **kwargs)

        return read

    for name in READS:
        monkeypatch.setattr(torch.Tensor, name, counted(name))
    return reads


@pytest.mark.parametrize('name', READS)
def test_reads_are_counted(monkeypatch, watch, name):
    reads = count_reads(monkeypatch, watch)
    watch.inside = True
    getattr(torch.tensor(1), name)()
    assert name in reads['inside']


@pytest.mark.parametrize('world_size', [1, 2])
@pytest.mark.parametrize('batches', BATCHES)
@pytest.mark.parametrize('scored', ['mart', 'samples'])
def test_iteration_dispatches_few_operations(
    tmp_path, monkeypatch, watch, scored, batches, world_size
):
    if world_size > 1:
        as_rank_of(world_size, monkeypatch)
    epochs = operations_by_iteration(
        watch,
        tmp_path,
        train_dataloader__dataset=dict(
            type='ToyDataset', size=4000 * world_size
        ),
        train_cfg__max_epochs=3,
        train_dataloader__sampler__pruner=dict(type='InfoBatch', delta=1.0),
        **BATCHES[batches],
        **SCORED[scored],
    )
    counts = {e: [len(names) for names in its] for e, its in epochs.items()}
    means = {epoch: sum(its) / len(its) for epoch, its in counts.items()}
    assert means[0] < means[1] <= MOST_OPERATIONS, epochs[1]
    assert means[2] == pytest.approx(means[1], rel=0.1)


@pytest.mark.parametrize('batches', BATCHES)
def test_number_of_operations_depends_on_neither_batch_nor_data(
    tmp_path, watch, batches
):
    small = operations_by_iteration(watch, tmp_path, **BATCHES[batches])
    large = operations_by_iteration(
        watch,
        tmp_path,
        train_dataloader__batch_size=64,
        train_dataloader__dataset=dict(type='ToyDataset', size=1000),
        **BATCHES[batches],
    )
    assert large[1][1] == small[1][1]


def test_iteration_has_no_collective(tmp_path, monkeypatch, watch):
    reduced = as_rank_of(2, monkeypatch)
    before = []
    watch.on_change = lambda inside: before.append(len(reduced))
    train(tmp_path)
    # Entered and left in pairs, between which nothing was reduced.
    assert before[0::2] == before[1::2]
    assert len(reduced) == 3 * 8  # scores, counts, memory, once an epoch


@pytest.mark.parametrize('size', [40, 1001])
def test_merge_hands_over_5_bytes_a_sample(tmp_path, monkeypatch, size):
    reduced = as_rank_of(2, monkeypatch)
    train(
        tmp_path,
        train_dataloader__dataset=dict(type='ToyDataset', size=size),
        train_dataloader__batch_size=20,
        train_cfg__max_epochs=3,
    )
    handed = sum(t.numel() * t.element_size() for t in reduced)
    assert handed == 3 * (5 * size + 12)  # and three numbers of MARTScore


def test_nothing_grows_with_iterations(tmp_path, monkeypatch):
    as_rank_of(2, monkeypatch)
    runner = make_runner(
        tmp_path,
        train_dataloader__dataset=dict(type='ToyDataset', size=3600),
        train_cfg__max_epochs=3,
    )
    recorder, sizes = hook_of(runner, 'Recorder'), {}

    def after_train_iter(runner, *args, **kwargs):
        size = elements_of(hook_of(runner))
        sizes.setdefault(runner.epoch, []).append(size)

    recorder.after_train_iter = after_train_iter
    runner.train()
    assert len(sizes) == 3
    for of_epoch in sizes.values():
        half = len(of_epoch) // 2
        assert half > BATCHES_AT_A_TIME  # more than ever wait
        assert max(of_epoch[half:]) <= max(of_epoch[:half])
    # Scores, marks, weights, order: a few numbers for each of the samples.
    assert max(max(of_epoch) for of_epoch in sizes.values()) < 8 * 3600


def elements_of(hook):
    """Elements of all containers and tensors of the hook and its parts."""
    count = 0
    for value in owned(hook):
        if isinstance(value, torch.Tensor):
            count += value.numel()
        elif isinstance(value, (dict, list, tuple, set, deque)):
            count += len(value)
    return count


def owned(hook):
    """All that can be reached from the hook over objects of bls_mm."""
    found, new = {}, [hook]
    while new:
        value = new.pop()
        if id(value) not in found:
            found[id(value)] = value
            if type(value).__module__.startswith('bls_mm.'):
                new += getattr(value, '__dict__', {}).values()
    return list(found.values())


def test_batches_written_down_are_those_on_their_way(tmp_path):
    runner = make_runner(
        tmp_path,
        train_dataloader__num_workers=2,
        train_dataloader__prefetch_factor=2,
        train_dataloader__batch_size=1,
        train_cfg__max_epochs=2,
    )
    recorder, waiting = hook_of(runner, 'Recorder'), []
    gc.collect()
    others = number_of(Drawn)  # of trainings before

    def after_train_iter(runner, *args, **kwargs):
        if runner.iter % 7 == 0:  # a look at all objects takes time
            waiting.append(number_of(Drawn) - others)

    recorder.after_train_iter = after_train_iter
    runner.train()
    assert len(waiting) > 2 * 4
    # Those that two workers prepare, and the one that is trained on.
    assert 1 < max(waiting) <= 2 * 2 + 1


def number_of(cls):
    """How many objects of a class there are."""
    return sum(type(value) is cls for value in gc.get_objects())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('world_size', [1, 2])
@pytest.mark.parametrize('batches', BATCHES)
@pytest.mark.parametrize('scored', SCORED)
def test_iteration_does_not_wait_for_the_gpu(
    tmp_path, monkeypatch, watch, scored, batches, world_size
):
    if world_size > 1:
        as_rank_of(world_size, monkeypatch)
    modes = {True: 'error', False: 'default'}
    watch.on_change = lambda inside: torch.cuda.set_sync_debug_mode(
        modes[inside]
    )
    try:
        changes = {**BATCHES[batches], **SCORED[scored]}
        runner = train(tmp_path, **changes)
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert hook_of(runner).scores.is_cuda
