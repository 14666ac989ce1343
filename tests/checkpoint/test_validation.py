"""What a checkpoint may hold as the state of a run."""

import math
import re

import pytest
import torch
from states import at, having, through, without

from bls_mm.checkpoint.validation import validate_state
from bls_mm.datasets.sample_ids import SampleIds

SIZE = 40
SHAPES = r'{}.*should be a {} tensor of shape \(n,\), but got {}'
# Of the second pass over 40 samples in batches of 3.
STATE = dict(
    version=2,
    scores=torch.arange(SIZE) / SIZE,
    memory=torch.zeros(2),
    weights=torch.tensor([0.0, 2.0, 1.0, 1.0]).repeat(10),
    carried=torch.tensor([7]),
    carried_weights=torch.tensor([2.0]),
    seed=0,
    world_size=1,
    numerator=SIZE,
    denominator=3,
    number=1,
    first_step=13,
    done=7,
    finished=0,
    visited=70,
)
DAMAGE = {
    'version, newer': (having(version=3), 'version 3, but .* version 2'),
    'version, missing': (without('version'), 'version None'),
    'version, string': (having(version='2'), 'version 2, but .* version 2'),
    'scores, missing': (without('scores'), 'should have the entry `scores`'),
    'seed, missing': (without('seed'), 'should have the entry `seed`'),
    'done, missing': (without('done'), 'should have the entry `done`'),
    'scores, list': (
        through('scores', torch.Tensor.tolist),
        SHAPES.format('bls.scores', 'float32', 'a list'),
    ),
    'scores, of another dataset': (
        through('scores', lambda t: t[:30]),
        'scores of 30 samples.*`train_dataloader.dataset` has 40',
    ),
    'scores, square': (
        through('scores', lambda t: t.view(5, 8)),
        SHAPES.format('bls.scores', 'float32', r'float32 of shape \(5, 8\)'),
    ),
    'scores, number': (
        through('scores', lambda t: t[0]),
        SHAPES.format('bls.scores', 'float32', r'float32 of shape \(\)'),
    ),
    'scores, double': (
        through('scores', torch.Tensor.double),
        SHAPES.format('bls.scores', 'float32', 'float64'),
    ),
    'scores, sparse': (
        through('scores', torch.Tensor.to_sparse),
        SHAPES.format('bls.scores', 'float32', 'a Tensor'),
    ),
    'scores, nan': (
        at('scores', 3, math.nan),
        '`bls.scores` of the checkpoint should be finite, but got nan',
    ),
    'scores, infinite': (
        at('scores', 39, -math.inf),
        '`bls.scores` of the checkpoint should be finite, but got -inf',
    ),
    'weights, too few': (
        through('weights', lambda t: t[:30]),
        '`bls.weights` .* for each of 40 samples, but got 30',
    ),
    'weights, below 1': (
        at('weights', 0, 0.5),
        '`bls.weights` of .* should be 0 or at least 1, but got 0.5',
    ),
    'weights, negative': (
        at('weights', 0, -1.0),
        '`bls.weights` of .* should be 0 or at least 1, but got -1.0',
    ),
    'weights, nan': (at('weights', 0, math.nan), '`bls.weights` .* got nan'),
    'weights, none kept': (
        through('weights', torch.zeros_like),
        '`bls.weights` .* should be positive somewhere',
    ),
    'weights, whole numbers': (
        through('weights', torch.Tensor.long),
        SHAPES.format('bls.weights', 'float32', 'int64'),
    ),
    'carried, out of range': (
        at('carried', 0, 40),
        r'`bls.carried` of .* should be indices in \[0, 40\), but got 40',
    ),
    'carried, negative': (
        at('carried', 0, -1),
        r'`bls.carried` of .* should be indices in \[0, 40\), but got -1',
    ),
    'carried, float': (
        through('carried', torch.Tensor.float),
        SHAPES.format('bls.carried', 'int64', 'float32'),
    ),
    'carried, too many': (
        having(carried=torch.zeros(7).long(), carried_weights=torch.ones(7)),
        '`bls.carried` of .* should be of at most 6 indices, but got 7',
    ),
    'carried weights, too few': (
        having(carried_weights=torch.empty(0)),
        '`bls.carried_weights` of .* should be 1 weights of at least 1',
    ),
    'carried weights, 0': (
        having(carried_weights=torch.zeros(1)),
        '`bls.carried_weights` of .* should be 1 weights of at least 1',
    ),
    'seed, string': (
        having(seed='0'),
        "`bls.seed` of the checkpoint should be an integer, but got '0'",
    ),
    'seed, too large': (having(seed=2**63), '`bls.seed` .* should be in'),
    'number, negative': (having(number=-2), '`bls.number` .* but got -2'),
    'number, float': (having(number=1.0), '`bls.number` .* an integer'),
    'first_step, beyond the pass': (
        having(first_step=60),
        '`bls.first_step` of .* should be at most 26, .* but got 60',
    ),
    'done, negative': (having(done=-1), '`bls.done` .* should be in .* -1'),
    'done, True': (having(done=True), '`bls.done` .* an integer, but got Tru'),
    'finished, 2': (having(finished=2), '`bls.finished` .* 0 or 1, but got 2'),
    'visited, negative': (having(visited=-1), '`bls.visited` .* but got -1'),
    'visited, None': (having(visited=None), '`bls.visited` .* got None'),
    'world size, 0': (having(world_size=0), '`bls.world_size` .* but got 0'),
    'denominator, 0': (having(denominator=0), '`bls.denominator` .* got 0'),
}


def validate(state):
    validate_state(state, SIZE, SampleIds(SIZE))


@pytest.mark.parametrize('case', DAMAGE)
def test_damaged_state_is_refused_by_its_entry(case):
    damage, message = DAMAGE[case]
    with pytest.raises((TypeError, ValueError), match=message):
        validate(damage(STATE))


@pytest.mark.parametrize(
    'change',
    [
        having(),
        having(weights=torch.empty(0)),
        having(carried=torch.empty(0).long(), carried_weights=torch.empty(0)),
        having(memory=torch.empty(0)),
        having(seed=-(2**62), visited=2**62),
        having(number=-1, first_step=0, done=0, finished=1),
        having(finished=1, first_step=40),
    ],
)
def test_sound_state_is_taken(change):
    validate(change(STATE))


def test_state_without_several_entries_names_them_all():
    state = dict(version=2, scores=STATE['scores'])
    missing = ', '.join(f'`{k}`' for k in STATE if k not in state)
    with pytest.raises(ValueError, match='should have the entry') as error:
        validate(state)
    named = re.findall(r'`(\w+)`', str(error.value).partition('entry')[2])
    assert sorted(named) == sorted(re.findall(r'\w+', missing))
