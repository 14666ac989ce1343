"""What a checkpoint may hold as the state of a run."""

import math
import re

import pytest
import torch

from bls_mm.checkpoint.validation import upgrade_state, validate_state
from bls_mm.datasets.sample_ids import SampleIds

SIZE = 40
# Of the second pass over 40 samples in batches of 3.
STATE = dict(
    version=3,
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
    first_scored=0,
    planned=[torch.empty(0), torch.ones(SIZE)],
)
NUMBERS = [k for k, v in STATE.items() if type(v) is int and k != 'version']
TENSORS = [k for k, v in STATE.items() if isinstance(v, torch.Tensor)]


def assert_refused(error, message, **changes):
    with pytest.raises(error, match=message):
        validate_state(dict(STATE, **changes), SIZE, SampleIds(SIZE))


@pytest.mark.parametrize('version', [1, 4, '3', None])
def test_state_of_another_format_is_refused(version):
    message = f'state of version {version}, but .* versions 2 to 3'
    assert_refused(ValueError, message, version=version)


@pytest.mark.parametrize('name', [*NUMBERS, *TENSORS, 'planned'])
def test_state_without_an_entry_is_refused(name):
    state = {k: v for k, v in STATE.items() if k != name}
    with pytest.raises(ValueError, match=f'should have the entry `{name}`'):
        validate_state(state, SIZE, SampleIds(SIZE))


@pytest.mark.parametrize('value', ['1', 1.0, True, None, torch.tensor(1)])
@pytest.mark.parametrize('name', NUMBERS)
def test_number_that_is_no_integer_is_refused(name, value):
    message = f'`bls.{name}` of .* should be an integer, but got '
    assert_refused(
        TypeError, message + re.escape(repr(value)), **{name: value}
    )


@pytest.mark.parametrize('value', [2**63, -(2**63), -2])
@pytest.mark.parametrize('name', NUMBERS)
def test_number_out_of_range_is_refused(name, value):
    if (name, value) == ('seed', -2):
        return  # the one that may be negative
    message = rf'`bls.{name}` of .* should be in \[.*\], but got {value}'
    assert_refused(ValueError, message, **{name: value})


@pytest.mark.parametrize(
    'change, error, got',
    [
        (torch.Tensor.tolist, TypeError, 'a list'),
        (torch.Tensor.to_sparse, TypeError, 'a Tensor'),
        (lambda t: t[None], ValueError, r'\w+ of shape \(1, \d+\)'),
        (lambda t: t[0], ValueError, r'\w+ of shape \(\)'),
        (torch.Tensor.double, ValueError, r'float64 of shape \(\d+,\)'),
        (torch.Tensor.int, ValueError, r'int32 of shape \(\d+,\)'),
    ],
)
@pytest.mark.parametrize('name', TENSORS)
def test_entry_that_is_not_such_a_tensor_is_refused(name, change, error, got):
    kind = 'int64' if name == 'carried' else 'float32'
    message = (
        rf'`bls.{name}` .* a {kind} tensor of shape \(n,\), but got {got}'
    )
    assert_refused(error, message, **{name: change(STATE[name])})


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('name', [n for n in TENSORS if n != 'carried'])
def test_value_that_is_not_finite_is_refused(name, value):
    tensor = STATE[name].clone()
    tensor[-1] = value
    message = f'`bls.{name}` of .* should be finite, but got {value}'
    assert_refused(ValueError, message, **{name: tensor})


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(scores=torch.ones(30)), 'scores of 30 samples.*dataset` has 40'),
        (dict(weights=torch.ones(30)), 'weights` .* each of 40 .* got 30'),
        (dict(weights=torch.full((40,), 0.5)), 'weights` .* 1, but got 0.5'),
        (dict(weights=-torch.ones(40)), 'weights` .* least 1, but got -1.0'),
        (dict(weights=torch.zeros(40)), 'weights` .* positive somewhere'),
        (dict(carried=torch.tensor([40])), r'in \[0, 40\), but got 40'),
        (dict(carried=torch.tensor([-1])), r'in \[0, 40\), but got -1'),
        (
            dict(carried=torch.arange(7), carried_weights=torch.ones(7)),
            'carried` .* at most 6 indices, but got 7',
        ),
        (
            dict(carried_weights=torch.empty(0)),
            'carried_weights` .* 1 weights',
        ),
        (dict(carried_weights=torch.zeros(1)), r'carried_weights` .* got \[0'),
        (dict(first_step=27), 'first_step` .* at most 26, .* but got 27'),
        (dict(planned=[torch.ones(30)]), r'planned\[0\]` .* got 30'),
        (
            dict(planned=[torch.empty(0), torch.zeros(40)]),
            r'planned\[1\]` .* positive somewhere',
        ),
        (
            dict(planned=[torch.full((40,), math.nan)]),
            r'planned\[0\]` .* finite, but got nan',
        ),
        (dict(finished=2), 'finished` .* 0 or 1, but got 2'),
        (dict(world_size=0), r'world_size` .* in \[1, .* but got 0'),
        (dict(numerator=0), r'numerator` .* in \[1, .* but got 0'),
        (dict(denominator=0), r'denominator` .* in \[1, .* but got 0'),
    ],
)
def test_state_that_no_run_can_have_saved_is_refused(changes, message):
    assert_refused(ValueError, message, **changes)


@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(weights=torch.empty(0), memory=torch.empty(0)),
        dict(carried=torch.empty(0).long(), carried_weights=torch.empty(0)),
        dict(planned=[]),
        dict(seed=-(2**62), visited=2**62),
        dict(number=-1, first_step=0, done=0, finished=1),
        dict(finished=1, first_step=40),
    ],
)
def test_sound_state_is_taken(changes):
    validate_state(dict(STATE, **changes), SIZE, SampleIds(SIZE))


@pytest.mark.parametrize(
    'planned, message',
    [
        (torch.ones(40), 'planned` .* a list, but got a Tensor'),
        ([[1.0]], r'planned\[0\]` .* float32 tensor .* got a list'),
    ],
)
def test_planned_passes_of_another_type_are_refused(planned, message):
    assert_refused(TypeError, message, planned=planned)


def test_state_of_version_2_knows_of_no_planned_pass():
    old = {
        name: value
        for name, value in STATE.items()
        if name not in ('first_scored', 'planned')
    }
    new = upgrade_state(dict(old, version=2))
    validate_state(new, SIZE, SampleIds(SIZE))
    assert new == dict(old, version=3, first_scored=0, planned=[])
