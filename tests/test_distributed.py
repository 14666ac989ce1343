"""Real processes that train together."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from toy import hook_of, make_runner

WRAPPER = dict(type='MMDistributedDataParallel', device_ids=None)


def work(rank, world_size, folder, changes):
    """One rank: train, and store what it saw and knows."""
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size)
    )
    # MMEngine's own start of a process group asks for a GPU.
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=world_size,
    )
    runner = make_runner(
        folder / 'work',
        launcher='pytorch',
        cfg=dict(model_wrapper_cfg=WRAPPER),
        **changes,
    )
    counts = count_collectives(runner)
    runner.train()
    recorder = hook_of(runner, 'Recorder')
    result = dict(
        scores=hook_of(runner).scores,
        numbers=recorder.numbers,
        losses=recorder.losses,
        epochs=recorder.epochs,
        iters=(runner.iter, runner.max_iters),
        visited=hook_of(runner).visited,
        merges=counts,
        weights=[p.detach() for p in runner.model.parameters()],
    )
    torch.save(result, folder / f'{rank}.pth')
    dist.destroy_process_group()


def count_collectives(runner):
    """Note the iteration of each merge of the hook."""
    hook, merges = hook_of(runner), []
    merge = hook._merge

    def noted():
        merges.append(runner.iter)
        merge()

    hook._merge = noted
    return merges


def train_on(world_size, folder, **changes):
    """Results of all ranks."""
    folder.mkdir()
    mp.spawn(work, (world_size, folder, changes), nprocs=world_size)
    return [
        torch.load(folder / f'{rank}.pth', weights_only=False)
        for rank in range(world_size)
    ]


SAVING = dict(
    default_hooks=dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=7)
    )
)
CASES = {
    'even, 2 ranks': (2, dict()),
    'uneven, 3 ranks': (
        3,
        dict(train_dataloader__dataset=dict(type='ToyDataset', size=41)),
    ),
    'uneven, 4 ranks': (
        4,
        dict(
            train_dataloader__dataset=dict(type='ToyDataset', size=37),
            train_dataloader__batch_size=2,
        ),
    ),
    'iterations, 2 ranks': (
        2,
        dict(train_cfg=dict(by_epoch=False, max_iters=40), **SAVING),
    ),
}


@pytest.mark.parametrize('name', CASES)
def test_ranks_agree_and_share_the_data(tmp_path, name):
    world_size, changes = CASES[name]
    results = train_on(world_size, tmp_path / 'run', **changes)
    first = results[0]
    for result in results:
        assert torch.equal(result['scores'], first['scores'])
        assert result['iters'] == first['iters']
        assert result['iters'][0] == result['iters'][1]
        assert result['visited'] == first['visited']
        for ours, theirs in zip(result['weights'], first['weights']):
            assert torch.equal(ours, theirs)
    if 'train_cfg' not in changes:
        assert_each_once(results, len(first['scores']), world_size)


def assert_each_once(results, size, world_size):
    """Each epoch, no sample is visited twice, padding apart."""
    kept = []
    for epoch in range(8):
        visited = [
            number
            for result in results
            for numbers, e in zip(result['numbers'], result['epochs'])
            if e == epoch
            for number in numbers
        ]
        assert len(visited) % world_size == 0
        assert len(visited) - len(set(visited)) < world_size
        kept.append(len(set(visited)))
    assert kept[0] == kept[-1] == size
    assert max(kept[1:-1]) < size


@pytest.fixture(scope='module')
def two_ranks(tmp_path_factory):
    """Two ranks in 8 epochs, with checkpoints in mid-epoch."""
    folder = tmp_path_factory.mktemp('ranks') / 'run'
    return train_on(2, folder, **SAVING), folder


def test_scores_follow_the_losses_of_the_ranks(two_ranks):
    """Against a plain loop over what all ranks logged."""
    results, _ = two_ranks
    scores, visits = [0.0] * 40, [set() for _ in range(40)]
    logs = [zip(r['numbers'], r['losses'], r['epochs']) for r in results]
    padding = set()
    for iteration in zip(*logs):
        for numbers, loss, epoch in iteration:
            for number in numbers:
                if epoch in visits[number]:
                    padding.add(number)  # gets the mean of two ranks
                visits[number].add(epoch)
                scores[number] = 0.9 * scores[number] + 0.1 * loss
    alone = [number for number in range(40) if number not in padding]
    assert len(alone) > 30
    expected = torch.tensor(scores)[alone]
    torch.testing.assert_close(results[0]['scores'][alone], expected)


def test_ranks_speak_once_a_pass_and_for_each_checkpoint(two_ranks):
    results, folder = two_ranks
    checkpoints = len(list((folder / 'work').glob('iter_*.pth')))
    assert checkpoints > 3
    for result in results:
        assert len(result['merges']) == 8 + checkpoints


def test_checkpoint_in_mid_pass_holds_the_scores_of_all_ranks(two_ranks):
    _, folder = two_ranks
    path = folder / 'work' / 'iter_7.pth'
    state = torch.load(path, weights_only=False)['bls']
    # 7 iterations of 2 ranks with batches of 4: a pass and part of the next.
    assert (state['scores'] > 0).all()
    assert state['done'] == 2
