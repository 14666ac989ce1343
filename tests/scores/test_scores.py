"""Scores: what a batch loss does to the samples of its batch."""

import math

import pytest
import torch

from bls_mm import SCORES, EMAScore, MARTScore, Score
from bls_mm.registry import build
from bls_mm.scores.buffer import ScoreBuffer


def batches(count=60, size=12, batch=4, seed=0):
    """Batches of ids, some twice in one, and their losses."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        ids = torch.randint(size, (batch,), generator=generator)
        yield ids, torch.randn((), generator=generator) * 3


def reference(alpha, init, losses, size=12):
    """A plain loop over samples."""
    scores, seen = [0.0] * size, set()
    for ids, loss in losses:
        for i in set(ids.tolist()):
            first = init == 'first' and i not in seen
            scores[i] = (
                float(loss)
                if first
                else alpha * scores[i] + (1 - alpha) * float(loss)
            )
            seen.add(i)
    return scores


@pytest.mark.parametrize('init', ['zero', 'first'])
@pytest.mark.parametrize('alpha', [0, 0.3, 0.5, 0.9, 0.999])
def test_ema_equals_a_plain_loop(alpha, init):
    scores, rule = torch.zeros(12), EMAScore(alpha, init)
    for ids, loss in batches():
        rule.update(scores, ids, loss)
    expected = reference(alpha, init, batches())
    torch.testing.assert_close(scores, torch.tensor(expected))


def test_ema_defaults_to_alpha_0_9_from_zero():
    scores = torch.zeros(3)
    EMAScore().update(scores, torch.tensor([1]), torch.tensor(2.0))
    torch.testing.assert_close(scores, torch.tensor([0, 0.2, 0]))


@pytest.mark.parametrize('init', ['zero', 'first'])
def test_ema_moves_an_id_once_when_it_is_twice_in_a_batch(init):
    once, twice = torch.ones(4), torch.ones(4)
    rule, loss = EMAScore(0.5, init), torch.tensor(3.0)
    rule.update(once, torch.tensor([2, 0]), loss)
    rule.update(twice, torch.tensor([2, 2, 0, 2]), loss)
    assert torch.equal(once, twice)
    assert once.tolist() == [2, 1, 2, 1]


@pytest.mark.parametrize('loss', [1.5, -2.0, 0.0, 1e-20])
@pytest.mark.parametrize('alpha', [0.0, 0.9])
def test_ema_starts_at_the_first_loss_when_asked(loss, alpha):
    scores, rule = torch.zeros(5), EMAScore(alpha, init='first')
    ids = torch.tensor([1, 3])
    for _ in range(3):  # equal losses leave it there
        rule.update(scores, ids, torch.tensor(loss))
    torch.testing.assert_close(scores[ids], torch.full((2,), loss))
    assert scores[[0, 2, 4]].eq(0).all()


@pytest.mark.parametrize('start', [0.0, 0.7])
@pytest.mark.parametrize('init', ['zero', 'first'])
@pytest.mark.parametrize('alpha', [0, 0.9])
@pytest.mark.parametrize(
    'loss',
    [
        torch.tensor(math.nan),
        torch.tensor(math.inf),
        torch.tensor(-math.inf),
        torch.tensor(math.inf, dtype=torch.float16),
        torch.tensor(math.nan, dtype=torch.bfloat16),
        torch.tensor(1e300, dtype=torch.float64),
    ],
)
def test_ema_ignores_a_loss_that_is_not_finite(loss, alpha, init, start):
    scores = torch.full((4,), start)
    EMAScore(alpha, init).update(scores, torch.tensor([0, 2]), loss)
    assert torch.equal(scores, torch.full((4,), start))


@pytest.mark.parametrize('init', ['zero', 'first'])
@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_ema_keeps_float32_for_a_loss_of_any_dtype(dtype, init):
    scores, rule = torch.full((4,), 1 / 3), EMAScore(0.9, init)
    loss = torch.tensor(2.6, dtype=dtype)
    rule.update(scores, torch.tensor([1]), loss)
    assert scores.dtype == torch.float32
    assert scores[1].item() == pytest.approx(0.3 + 0.1 * loss.item())


@pytest.mark.parametrize('init', ['zero', 'first'])
def test_ema_writes_into_the_buffer(init):
    scores = torch.zeros(6)
    address = scores.data_ptr()
    loss = torch.tensor(1.0)
    EMAScore(init=init).update(scores, torch.tensor([5]), loss)
    assert scores.data_ptr() == address
    assert scores[5] > 0
    assert scores[:5].eq(0).all()
    assert loss == 1


def test_ema_takes_no_part_in_the_graph_of_the_loss():
    scores = torch.zeros(3)
    loss = torch.ones((), requires_grad=True) * 2
    EMAScore().update(scores, torch.tensor([0]), loss)
    assert not scores.requires_grad
    loss.backward()


@pytest.mark.parametrize('init', ['zero', 'first'])
def test_ema_changes_nothing_when_the_batch_is_empty(init):
    scores = torch.ones(3)
    none = torch.empty(0, dtype=torch.int64)
    EMAScore(init=init).update(scores, none, torch.tensor(5.0))
    assert scores.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    'settings, error, message',
    [
        (dict(alpha=1), ValueError, r'`alpha` .* in \[0, 1\), but got 1\.'),
        (dict(alpha=-0.1), ValueError, r'`alpha` .* but got -0.1\.'),
        (dict(alpha=math.nan), ValueError, '`alpha` .* but got nan'),
        (dict(alpha='0.9'), TypeError, "`alpha` .* number, but got '0.9'"),
        (dict(alpha=True), TypeError, '`alpha` .* number, but got True'),
        (dict(init='one'), ValueError, "`init` .* 'zero' .* got 'one'"),
        (dict(init=0), ValueError, "`init` .* 'first', but got 0"),
    ],
)
def test_ema_refuses_a_setting_and_names_it(settings, error, message):
    with pytest.raises(error, match=message):
        EMAScore(**settings)


@pytest.mark.parametrize('name', ['EMA', 'emascore', 'InfoBatch'])
def test_unknown_score_lists_the_known_ones(name):
    match = rf"`x` .* '{name}'\. Known: .*EMAScore"
    with pytest.raises(ValueError, match=match):
        build(dict(type=name), SCORES, Score, 'x')


# MARTScore


def reference_mart(scores, batches, step=0.5, trend=0.1):
    """The formula, batch by batch, in plain Python."""
    total = weight = 0.0
    for ids, loss in batches:
        own = loss if isinstance(loss, list) else [loss] * len(ids)
        mean = sum(own) / len(own)
        ours = [scores[i] or 1.0 for i in ids]
        expected = sum(ours) / len(ours)
        total = (1 - trend) * total + trend * math.log(mean / expected)
        weight = (1 - trend) * weight + trend
        level = math.exp(total / weight)
        for i, now, each in zip(ids, ours, own):
            if isinstance(loss, list):
                now = scores[i] or each / level
                scores[i] = now * (each / level / now) ** step
            else:
                scores[i] = now * (loss / level / expected) ** step
    return scores


@pytest.mark.parametrize('per_sample', [False, True])
@pytest.mark.parametrize('step', [0.3, 1.0])
def test_mart_is_its_formula(step, per_sample):
    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(30):
        ids = torch.randperm(12, generator=generator)[:4]
        loss = torch.rand(4, generator=generator) + 0.1
        batches.append((ids, loss if per_sample else loss[0]))
    scores, rule = torch.zeros(12), MARTScore(step)
    for ids, loss in batches:
        rule.update(scores, ids, loss)
    plain = [(ids.tolist(), loss.tolist()) for ids, loss in batches]
    expected = reference_mart([0.0] * 12, plain, step)
    torch.testing.assert_close(scores, torch.tensor(expected))


def passes_over(losses, size, passes, trend):
    """Batches of some passes, whose losses all fall by a factor a batch."""
    generator = torch.Generator().manual_seed(1)
    factor = 1.0
    for _ in range(passes):
        order = torch.randperm(len(losses), generator=generator)
        for ids in order.split(size):
            yield ids, losses[ids].mean() * factor
            factor *= trend


@pytest.mark.parametrize('trend', [1.0, 0.99])
def test_mart_finds_the_losses_behind_batch_losses(trend):
    """Up to a common factor, which a trend of the training is."""
    generator = torch.Generator().manual_seed(0)
    losses = torch.randn(128, generator=generator).mul(0.8).exp()
    scores, rule = torch.zeros(128), MARTScore()
    for ids, loss in passes_over(losses, 4, 50, trend):
        rule.update(scores, ids, loss)
    found = torch.corrcoef(torch.stack([scores, losses]))[0, 1]
    assert found > 0.95


@pytest.mark.parametrize('start', [0.0, 0.7])
@pytest.mark.parametrize('loss', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('per_sample', [False, True])
def test_mart_ignores_a_loss_that_is_not_finite(loss, per_sample, start):
    scores, rule = torch.full((4,), start), MARTScore()
    ids = torch.tensor([0, 2])
    loss = torch.tensor([loss, loss] if per_sample else loss)
    rule.update(scores, ids, loss)
    assert torch.equal(scores, torch.full((4,), start))
    rule.update(scores, ids, torch.tensor(2.0))
    assert scores.isfinite().all() and (scores[ids] > 0).all()


def test_mart_takes_the_first_loss_of_a_sample_as_it_is():
    scores = torch.zeros(3)
    MARTScore().update(scores, torch.arange(3), torch.tensor([1.0, 2.0, 6.0]))
    torch.testing.assert_close(scores, torch.tensor([1 / 3, 2 / 3, 2.0]))


def rank_correlation(scores, losses):
    """Spearman's, with the mean rank for equal values."""

    def ranks(values):
        below = (values[:, None] > values).double().sum(1)
        return below + (values[:, None] == values).double().sum(1) / 2

    both = torch.stack([ranks(scores), ranks(losses)])
    return float(torch.corrcoef(both)[0, 1])


def correlation_of(losses, size, per_sample, passes=10, zero=0.0):
    """What MARTScore finds of losses, of which a share is 0 at each visit."""
    generator = torch.Generator().manual_seed(3)
    scores, rule = torch.zeros(len(losses)), MARTScore()
    for _ in range(passes):
        order = torch.randperm(len(losses), generator=generator)
        for ids in order.split(size):
            here = torch.rand(size, generator=generator) >= zero
            loss = losses[ids] * here
            rule.update(scores, ids, loss if per_sample else loss.mean())
    return rank_correlation(scores, losses)


def spread_losses(count=200):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, generator=generator).mul(0.8).exp()


@pytest.mark.parametrize('shift', [-2.0, -10.0, -1000.0])
def test_mart_ranks_negative_losses_as_well_as_positive_ones(shift):
    losses = spread_losses() + shift
    assert correlation_of(losses, 4, per_sample=True) > 0.99
    assert correlation_of(losses, 2, per_sample=False) > 0.95


def test_mart_ranks_samples_whose_losses_are_zero_for_good():
    losses = spread_losses()
    losses[::3] = 0
    assert correlation_of(losses, 4, per_sample=True) > 0.99
    assert correlation_of(losses, 2, per_sample=False) > 0.97


def test_mart_ranks_samples_whose_losses_are_zero_at_times():
    losses = spread_losses()
    assert correlation_of(losses, 4, per_sample=True, zero=0.3) > 0.65
    assert correlation_of(losses, 2, per_sample=False, zero=0.3) > 0.65


def test_mart_scores_equal_losses_alike():
    for loss in (0.0, 2.0, -2.0):
        scores, rule = torch.zeros(12), MARTScore()
        for ids in torch.arange(12).split(4):
            rule.update(scores, ids, torch.full((4,), loss))
        assert len(scores.unique()) <= 1 + (loss < 0)
        torch.testing.assert_close(scores, scores[:1].expand(12))


def test_mart_does_not_lift_losses_that_are_not_negative():
    rule = MARTScore()
    for ids, loss in batches():
        rule.update(torch.zeros(12), ids, loss.abs())
    assert rule.memory[2] == 0
    rule.update(torch.zeros(12), torch.arange(4), torch.tensor(-1e-7))
    assert rule.memory[2] == 0  # that is rounding
    rule.update(torch.zeros(12), torch.arange(4), torch.tensor(-3.0))
    rule.update(torch.zeros(12), torch.arange(4), torch.tensor(-1.0))
    assert rule.memory[2] == pytest.approx(-3)


def test_buffer_takes_what_a_rule_remembered_before_it_remembered_more():
    def make(score):
        return ScoreBuffer(score, 4, torch.device('cpu'), parallel=False)

    state = dict(scores=torch.ones(4), memory=torch.tensor([2.0, 1.0]))
    rule = MARTScore()
    make(rule).load_state_dict(state)
    assert rule.memory.tolist() == [2, 1, 0]
    other = EMAScore()  # what is of a rule that knows more is not for it
    make(other).load_state_dict(state)
    assert other.memory.tolist() == []
