"""Real processes that train together."""

import pytest
import torch
from ranks import train_on, work_sharded
from toy import StopAt, hook_of, make_runner
from toy import train as train_alone

SAVING = dict(
    default_hooks=dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=7)
    )
)
SAVING_BOTH = dict(
    SAVING,
    custom_hooks=[
        # Its scores do not depend on each other, which a plain loop can tell.
        dict(type='BLSHook', score=dict(type='EMAScore')),
        dict(type='Recorder'),
        dict(type='CheckpointHook', by_epoch=True, interval=3),
    ],
)


def test_uneven_ranks_agree_and_share_the_data(tmp_path):
    results = train_on(
        4,
        tmp_path / 'run',
        train_dataloader__dataset=dict(type='ToyDataset', size=37),
        train_dataloader__batch_size=2,
    )
    assert_ranks_agree(results)
    assert_each_once(results, 37, 4)


def test_ranks_of_an_iteration_based_run_agree(tmp_path):
    loop = dict(by_epoch=False, max_iters=40)
    results = train_on(2, tmp_path / 'run', train_cfg=loop, **SAVING)
    assert_ranks_agree(results)


def assert_ranks_agree(results):
    first = results[0]
    for result in results:
        assert torch.equal(result['scores'], first['scores'])
        assert result['iters'] == first['iters']
        assert result['iters'][0] == result['iters'][1]
        assert result['visited'] == first['visited']
        for ours, theirs in zip(result['weights'], first['weights']):
            assert torch.equal(ours, theirs)


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
    """Two ranks in 8 epochs, with checkpoints in mid-epoch and after 3."""
    folder = tmp_path_factory.mktemp('ranks') / 'run'
    return train_on(2, folder, **SAVING_BOTH), folder


def test_two_ranks_agree_and_share_the_data(two_ranks):
    results, _ = two_ranks
    assert_ranks_agree(results)
    assert_each_once(results, 40, 2)


def test_scores_follow_the_losses_of_the_ranks(two_ranks):
    """Against a plain loop over what all ranks logged."""
    results, _ = two_ranks
    assert_scores_follow(results, torch.zeros(40))


def assert_scores_follow(results, scores):
    """From these scores on, the losses lead to those that all ranks hold."""
    scores, visits = scores.tolist(), [set() for _ in range(40)]
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
    for result in results:
        torch.testing.assert_close(result['scores'][alone], expected)


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


def test_own_checkpoint_in_mid_pass_says_what_it_lacks(tmp_path):
    """Only CheckpointHook saves when all ranks know that it will."""
    hooks = [
        dict(type='BLSHook', score=dict(type='EMAScore')),
        dict(type='Recorder'),
        dict(
            type='SavesAt', iteration=7, save=dict(by_epoch=False), stops=False
        ),
    ]
    folder = tmp_path / 'run'
    results = train_on(2, folder, custom_hooks=hooks)
    log = ''.join(path.read_text() for path in folder.rglob('*.log'))
    assert log.count('scores of this pass from rank 0 only') == 1
    scores = scores_in(folder / 'work' / 'preempted.pth')
    # 7 iterations: 5 of the first pass, which all ranks know, and 2.
    first, second = (sum(r['numbers'][:5], []) for r in results)
    assert (scores[first + second] > 0).all()
    mine = sum(results[0]['numbers'][5:7], [])
    others = sum(results[1]['numbers'][5:7], [])
    known = replay(results, 5)
    torch.testing.assert_close(scores[others], known[others])
    assert not torch.isclose(scores[mine], known[mine]).any()


def replay(results, iterations):
    """Scores after the first iterations, by a plain loop."""
    scores = torch.zeros(40)
    for result in results:
        logged = zip(result['numbers'], result['losses'])
        for numbers, loss in list(logged)[:iterations]:
            scores[numbers] = 0.9 * scores[numbers] + 0.1 * loss
    return scores


# On another number of ranks


def scores_in(path):
    return torch.load(path, weights_only=False)['bls']['scores']


def test_one_rank_resumes_two_at_the_end_of_an_epoch(tmp_path, two_ranks):
    _, folder = two_ranks
    last = folder / 'work' / 'epoch_3.pth'
    settings = dict(resume=True, load_from=str(last))
    stopped = make_runner(tmp_path / 'stopped', **settings)
    stopped.register_hook(StopAt(torch.load(
        last, weights_only=False)['meta']['iter']))  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    assert torch.equal(hook_of(stopped).scores, scores_in(last))
    runner = train_alone(tmp_path / 'run', **settings)
    recorder = hook_of(runner, 'Recorder')
    assert (recorder.epochs[0], recorder.epochs[-1]) == (3, 7)
    for epoch in range(3, 8):
        visited = sum(
            (n for n, e in zip(recorder.numbers, recorder.epochs)
             if e == epoch), [],
        )  # fmt: skip
        assert len(visited) == len(set(visited))
    assert len(visited) == 40
    assert runner.iter == runner.max_iters


def test_one_rank_refuses_two_in_the_middle_of_a_pass(tmp_path, two_ranks):
    _, folder = two_ranks
    last = folder / 'work' / 'iter_7.pth'
    runner = make_runner(tmp_path, resume=True, load_from=str(last))
    with pytest.raises(ValueError, match='middle of a pass .*number of GPUs'):
        runner.train()


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """Where one rank has trained, with checkpoints as those of two."""
    folder = tmp_path_factory.mktemp('alone')
    train_alone(folder, **SAVING_BOTH)
    return folder


def test_two_ranks_resume_one_at_the_end_of_an_epoch(tmp_path, alone):
    last = alone / 'epoch_3.pth'
    settings = dict(resume=True, load_from=str(last))
    results = train_on(2, tmp_path / 'run', **SAVING_BOTH, **settings)
    for result in results:
        assert (result['epochs'][0], result['epochs'][-1]) == (3, 7)
        assert result['iters'][0] == result['iters'][1]
        assert torch.equal(result['scores'], results[0]['scores'])
    assert_scores_follow(results, scores_in(last))


def test_two_ranks_refuse_one_in_the_middle_of_a_pass(tmp_path, alone):
    settings = dict(resume=True, load_from=str(alone / 'iter_7.pth'))
    with pytest.raises(Exception, match='middle of a pass .*number of GPUs'):
        train_on(2, tmp_path / 'run', **settings)


# FSDP


def assert_alike(results, reference):
    """The same data in the same order, and the scores but for rounding."""
    for ours, theirs in zip(results, reference):
        assert ours['numbers'] == theirs['numbers']
        assert ours['iters'] == theirs['iters']
        assert ours['visited'] == theirs['visited']
        assert torch.equal(ours['scores'], results[0]['scores'])
        torch.testing.assert_close(ours['scores'], theirs['scores'])


@pytest.mark.skipif(
    torch.__version__.startswith(('2.0.', '2.1.')),
    reason='torch below 2.2 has it on GPUs only',
)
def test_fsdp_on_the_cpu_does_as_ddp(tmp_path, two_ranks):
    results = train_on(
        2, tmp_path / 'run', work_sharded, backend='gloo', **SAVING_BOTH
    )
    assert_alike(results, two_ranks[0])
    expected = scores_in(two_ranks[1] / 'work' / 'iter_7.pth')
    for result in results:
        torch.testing.assert_close(result['saved']['scores'], expected)
        assert result['saved']['done'] == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_fsdp_on_gpus_does_as_on_the_cpu(tmp_path):
    ranks = min(2, torch.cuda.device_count())
    on_gpus, on_cpu = (
        train_on(ranks, tmp_path / name, work_sharded, backend=name, **SAVING)
        for name in ('nccl', 'gloo')
    )
    for ours, theirs in zip(on_gpus, on_cpu):
        # A selection draws from the generator of its device, so passes are
        # the same up to the first selection.
        first = ours['epochs'].count(0)
        assert ours['numbers'][:first] == theirs['numbers'][:first]
        losses = (torch.tensor(r['losses'][:first]) for r in (ours, theirs))
        torch.testing.assert_close(*losses)
        assert ours['iters'][0] == ours['iters'][1]
        assert torch.equal(ours['scores'], on_gpus[0]['scores'])
