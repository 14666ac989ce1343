"""Passes of iteration-based runs that are out of batches before their end."""

import pytest
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import Sampler
from toy import hook_of, train

ITERATIONS = 80


@DATA_SAMPLERS.register_module()
class Buckets(Sampler):
    """Makes batches of a kind, and knows only the most that there may be."""

    def __init__(self, sampler, batch_size):
        self.sampler, self.batch_size = sampler, batch_size

    def __iter__(self):
        batches = {True: [], False: []}
        for index in self.sampler:
            batch = batches[index % 3 == 0]
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch.copy()
                batch.clear()

    def __len__(self):
        return len(self.sampler) // self.batch_size


@LOOPS.register_module()
class SkippingLoop(IterBasedTrainLoop):
    """Leaves out the batches with a sample that it does not like."""

    def run_iter(self, data_batch):
        if 7 not in data_batch['number']:
            super().run_iter(data_batch)


@LOOPS.register_module()
class AheadLoop(IterBasedTrainLoop):
    """Reads a batch before it trains on the one before."""

    held = None

    def run_iter(self, data_batch):
        held, self.held = self.held, data_batch
        if held is not None:
            super().run_iter(held)


BUCKETS = dict(train_dataloader__batch_sampler=dict(type='Buckets'))


@pytest.mark.parametrize('pruner', [None, dict(type='InfoBatch')])
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize(
    ('loop', 'changes'),
    [
        ('IterBasedTrainLoop', BUCKETS),
        ('SkippingLoop', {}),
        ('AheadLoop', {}),
        ('AheadLoop', BUCKETS),
    ],
)
def test_run_goes_on_with_the_next_pass(
    tmp_path, loop, changes, workers, pruner
):
    runner = train(
        tmp_path,
        train_cfg=dict(type=loop, max_iters=ITERATIONS),
        train_dataloader__sampler__pruner=pruner,
        train_dataloader__num_workers=workers,
        **changes,
    )
    hook, numbers = hook_of(runner), hook_of(runner, 'Recorder').numbers
    assert runner.iter == runner.max_iters == len(numbers)
    assert hook.visited_unpruned == 4 * ITERATIONS
    if pruner is None:
        assert runner.iter == ITERATIONS
    else:
        assert 0.5 * ITERATIONS < runner.iter < 0.95 * ITERATIONS
    if loop != 'AheadLoop':
        assert hook.visited == 4 * runner.iter
