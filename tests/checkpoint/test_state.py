"""What a checkpoint holds of a run, without a runner."""

import pytest
import torch
from states import at, having, same, through_a_file
from torch.utils.data import BatchSampler

from bls_mm import BLSSampler, EMAScore, MARTScore
from bls_mm.checkpoint.state import load_state, pack_state, read_state
from bls_mm.passes.planner import PassPlanner
from bls_mm.scores.buffer import ScoreBuffer

CPU = torch.device('cpu')
LOOPS = {'epochs': False, 'iterations': True}  # whether passes are a stream


def make_parts(stream=True, batch=3, seed=1, score=MARTScore):
    """Scores, plan and sampler of a run over 40 samples, before it begins."""
    sampler = BLSSampler(range(40), seed=seed)
    batches = BatchSampler(sampler, batch, drop_last=False)
    planner = PassPlanner(sampler, batches.__len__, 75, batch, stream)
    return ScoreBuffer(score(), 40, CPU, parallel=False), planner, sampler


def saved_state(stream, finished=False):
    """The state of a run in the middle or at the end of its second pass."""
    buffer, planner, sampler = make_parts(stream)
    buffer.scores.copy_(torch.arange(40.0))
    buffer.rule.memory.fill_(0.5)
    planner.begin(buffer.scores)
    planner.end()
    planner.begin(buffer.scores)
    planner.advance(planner.current.length if finished else 4)
    state = through_a_file(pack_state(buffer, planner, sampler))
    assert 0 < int((state['weights'] == 0).sum()) < 40
    assert len(state['carried']) == stream
    return state


@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize('finished', [False, True])
def test_state_is_loaded_as_it_was_saved(loop, finished):
    state = saved_state(LOOPS[loop], finished)
    parts = make_parts(LOOPS[loop], seed=5)
    load_state(state, *parts)
    assert same(pack_state(*parts), state)


REFUSED = {
    'damaged': (at('weights', 0, 0.5), '`bls.weights`'),
    'more done than the pass has': (
        having(done=500),
        r'`bls.done` of .* should be at most \d+, the length .* but got 500',
    ),
    'of another number of ranks': (
        having(world_size=2),
        r'a pass on 2 GPU\(s\), but this run has .* on 1',
    ),
    'of another batch size': (
        having(numerator=45),
        'other batches: (45|15) a pass',
    ),
}


@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize('case', REFUSED)
def test_state_that_is_refused_leaves_the_run_as_it_was(loop, case):
    damage, message = REFUSED[case]
    parts, untouched = (make_parts(LOOPS[loop], seed=5) for _ in range(2))
    with pytest.raises(ValueError, match=message):
        load_state(damage(saved_state(LOOPS[loop])), *parts)
    for _ in range(3):
        assert same(pack_state(*parts), pack_state(*untouched))
        assert parts[1].kept == untouched[1].kept
        assert len(parts[2]) == len(untouched[2])
        for buffer, planner, _ in (parts, untouched):
            planner.begin(buffer.scores)
            planner.end()
        assert list(parts[2]) == list(untouched[2])


def test_end_of_an_epoch_of_other_batches_keeps_all_but_the_plan():
    state = saved_state(stream=False, finished=True)
    buffer, planner, sampler = make_parts(stream=False, batch=5, seed=5)
    load_state(state, buffer, planner, sampler)
    assert torch.equal(buffer.scores, state['scores'])
    assert sampler.seed == state['seed']
    assert planner.visited == state['visited']
    planner.begin(buffer.scores)
    assert (planner.current.number, planner.current.first_step) == (2, 16)


def test_memory_of_another_rule_is_left_alone():
    parts = make_parts(score=EMAScore)
    load_state(saved_state(stream=True), *parts)
    assert len(parts[0].rule.memory) == 0


@pytest.mark.parametrize('value', [None, [1], {}])
def test_what_is_no_state_is_refused(value):
    with pytest.raises(TypeError, match='`bls` of .* a dict with entries'):
        read_state(dict(bls=value))


def test_checkpoint_without_a_state_has_none():
    assert read_state({}) == {}
