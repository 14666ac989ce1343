"""Pruners: what they keep, what it weighs, and that chance is fair."""

import random
import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from bls_mm import (
    Importance,
    InfoBatch,
    Pruner,
    RandomPrune,
    Selection,
    SeTa,
)
from bls_mm.pruners import selection_generator
from bls_mm.pruners.base import select_all
from bls_mm.pruners.importance import keep_probabilities
from bls_mm.pruners.infobatch import (
    easy_limit,
    select_infobatch,
    select_infobatch_share,
)
from bls_mm.pruners.kmeans import kmeans_cuts
from bls_mm.pruners.seta import in_window, window

# A pruner, and the share that training asks it to drop.
PRUNERS = {
    'InfoBatch': (InfoBatch(), None),
    'InfoBatch, share 0.4': (InfoBatch(), 0.4),
    'InfoBatch, share 0.9': (InfoBatch(), 0.9),
    'SeTa, share 0.4': (SeTa(), 0.4),
    'RandomPrune, share 0.4': (RandomPrune(), 0.4),
    'Importance, share 0.4': (Importance(), 0.4),
    'Importance, power 1': (Importance(power=1), 0.9),
    'Importance, power 0': (Importance(power=0), None),
    'InfoBatch, ratio 0': (InfoBatch(prune_ratio=0), None),
    'InfoBatch, ratio 0.99': (InfoBatch(prune_ratio=0.99), None),
    'SeTa': (SeTa(), None),
    'SeTa, one group': (SeTa(num_groups=1, window_scale=0.1), None),
    'SeTa, one of 7': (SeTa(0.5, num_groups=7, window_scale=0.1), None),
    'SeTa, ratio 0.99': (SeTa(prune_ratio=0.99), None),
    'Importance': (Importance(), None),
    'Importance, ratio 0.99': (Importance(prune_ratio=0.99), None),
    'RandomPrune': (RandomPrune(), None),
    'RandomPrune, ratio 0.99': (RandomPrune(prune_ratio=0.99), None),
}
SCORES = {
    'normal': lambda n: rand(n).erfinv(),
    'skewed': lambda n: rand(n).mul(8).exp(),
    'equal': lambda n: torch.full((n,), 0.1),
    'zero': torch.zeros,
    'tied': lambda n: rand(n).mul(3).round(),
    'one outlier': lambda n: torch.eye(n)[0] * 1e30,
    'double precision': lambda n: rand(n).double(),
    'half precision': lambda n: rand(n).half(),
    'bfloat16': lambda n: rand(n).bfloat16(),
}
every_pruner = pytest.mark.parametrize('name', PRUNERS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(size, seed=0):
    return torch.rand(size, generator=seeded(seed))


def random_states():
    """All global random states."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    return random.getstate(), str(numpy_state), torch_state.tolist()


def as_weights(selection, size):
    """Weight of every sample, 0 if it is dropped."""
    weights = torch.zeros(size)
    weights[selection.indices] = selection.weights
    return weights


def select(name, scores, seed=0, epoch=0):
    pruner, share = PRUNERS[name]
    return pruner.select(scores, seeded(seed), epoch, share)


def anneal(name, scores):
    return PRUNERS[name][0].anneal(scores, seeded())


def assert_valid(selection, size):
    indices, weights = selection
    assert indices.dtype == torch.int64
    assert weights.dtype == torch.float32
    assert indices.shape == weights.shape
    assert len(indices) >= 1
    assert (indices.diff() > 0).all()
    assert 0 <= indices[0] and indices[-1] < size
    assert (weights >= 1).all() and weights.isfinite().all()


def frequencies(draw, size, trials=1000):
    """How often each sample is selected, and the standard error of 0.5."""
    generator = seeded()
    counts = sum(
        (as_weights(draw(generator), size) > 0).double() for _ in range(trials)
    )
    return counts / trials, 0.5 / trials**0.5


# All pruners


@every_pruner
@pytest.mark.parametrize('scores', SCORES)
def test_selection_is_ascending_and_never_empty(name, scores):
    for size in (1, 2, 3, 4, 17, 600):
        values = SCORES[scores](size)
        for epoch in range(5):
            assert_valid(select(name, values, epoch, epoch), size)
        assert_valid(anneal(name, values), size)


@every_pruner
def test_selection_repeats_with_the_seed_and_only_with_it(name):
    first, again, other = (
        as_weights(select(name, rand(500), seed, epoch=1), 500)
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    if PRUNERS[name][0].prune_ratio > 0:
        assert not torch.equal(first, other)


@every_pruner
def test_selection_leaves_scores_and_global_randomness_alone(name):
    scores = rand(100)
    before = scores.clone()
    states = random_states()
    for epoch in range(3):
        select(name, scores, epoch=epoch)
        anneal(name, scores)
    assert torch.equal(scores, before)
    assert random_states() == states


@every_pruner
def test_selection_weights_are_float32_when_the_default_is_not(name):
    torch.set_default_dtype(torch.float64)
    try:
        for function in (select, anneal):
            assert_valid(function(name, torch.arange(9.0)), 9)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@every_pruner
def test_selection_on_a_gpu_is_that_on_the_cpu(name):
    scores = rand(5000)
    selections = []
    torch.use_deterministic_algorithms(True)
    try:
        for device in ('cpu', 'cuda'):
            selection = select(name, scores.to(device), epoch=2)
            assert selection.indices.device.type == device
            selections.append(
                as_weights(
                    Selection(*(part.cpu() for part in selection)), 5000
                )
            )
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*selections)


@every_pruner
def test_pruner_keeps_nothing_from_one_pass_to_the_next(name):
    pruner, _ = PRUNERS[name]
    before = dict(vars(pruner))
    for epoch in range(3):
        select(name, torch.arange(4.0), epoch=epoch)
        anneal(name, torch.arange(4.0))
    assert vars(pruner) == before


class RatioOnly(Pruner):
    """A rule of one's own that cannot drop a given share."""

    def select_ratio(self, scores, generator, epoch):
        return select_all(scores)


def test_rule_that_takes_no_share_says_so():
    assert len(RatioOnly().select(rand(5), seeded()).indices) == 5
    with pytest.raises(
        ValueError, match='RatioOnly does not support `target_saving`'
    ):
        RatioOnly().select(rand(5), seeded(), share=0.2)


@pytest.mark.parametrize('name', ['InfoBatch', 'RandomPrune', 'Importance'])
def test_anneal_keeps_all_with_weight_1(name):
    selection = anneal(name, rand(50))
    assert torch.equal(selection.indices, torch.arange(50))
    assert (selection.weights == 1).all()


EVERY = (InfoBatch, SeTa, RandomPrune, Importance)
# Of a setting: who has it, its interval, and what is outside.
RANGES = {
    'prune_ratio': (EVERY, r'in \[0, 1\)', [1, -0.1, float('nan')]),
    'delta': (EVERY, r'in \[0, 1\]', [1.1, -1]),
    'target_saving': (EVERY, r'in \(0, 1\)', [0, 1]),
    'num_groups': ((SeTa,), r'in \[1, inf\)|integer', [0, 2.5, float('inf')]),
    'power': ((Importance,), r'in \[0, 1\]', [-0.1, 1.1]),
    'window_scale': ((SeTa,), r'in \(0, 1\]', [0, 1.1]),
}


@pytest.mark.parametrize('name', RANGES)
def test_pruner_refuses_a_setting_and_names_it(name):
    classes, interval, outside = RANGES[name]
    for cls in classes:
        for value in outside:
            message = f'`{name}` should be .*({interval}), but got {value}'
            with pytest.raises(ValueError, match=message):
                cls(**{name: value})
        for value in ('0.5', True, [1]):
            message = f'`{name}` should be a number, but got '
            message += re.escape(repr(value))
            with pytest.raises(TypeError, match=message):
                cls(**{name: value})


@pytest.mark.parametrize('cls', EVERY)
def test_pruner_takes_a_ratio_or_a_target(cls):
    with pytest.raises(ValueError, match='but got `prune_ratio=0.5`'):
        cls(prune_ratio=0.5, target_saving=0.3)


@pytest.mark.parametrize(
    'settings',
    [
        dict(prune_ratio=0, delta=0),
        dict(prune_ratio=0.999, delta=1),
        dict(prune_ratio=0.0, delta=1.0),
    ],
)
@pytest.mark.parametrize('cls', EVERY)
def test_pruner_takes_the_ends_of_its_ranges(cls, settings):
    pruner = cls(**settings)
    assert pruner.prune_ratio == settings['prune_ratio']
    assert pruner.delta == settings['delta']


@pytest.mark.parametrize('cls', EVERY)
def test_pruner_with_a_target_does_not_stop(cls):
    assert cls().delta == 0.875
    assert cls(target_saving=0.2).delta == 1
    assert cls(target_saving=0.2, delta=0.5).delta == 0.5


# InfoBatch


def reference_easy(scores):
    """Whether each score is below the mean, in exact arithmetic."""
    exact = [Fraction(score) for score in scores.tolist()]
    mean = sum(exact) / len(exact)
    return torch.tensor([score < mean for score in exact])


@pytest.mark.parametrize('ratio', [0, 0.1, 0.5, 0.7, 0.95])
@pytest.mark.parametrize('size', [1, 2, 3, 5, 40, 300])
def test_infobatch_equals_reference(size, ratio):
    for seed in range(10):
        scores = rand(size, seed).log()
        easy = reference_easy(scores)
        weights = as_weights(
            select_infobatch(scores, ratio, seeded(seed)), size
        )
        assert (weights[~easy] == 1).all()
        kept = weights[easy][weights[easy] > 0]
        torch.testing.assert_close(
            kept, torch.full_like(kept, 1 / (1 - ratio))
        )
        dropped = int(easy.sum()) - len(kept)
        assert abs(dropped - ratio * int(easy.sum())) < 1


def added_variance(scores, count, share):
    """What dropping a share, all of the lowest ``count``, adds; inf if not."""
    scores = [Fraction(score) for score in scores.sort().values.tolist()]
    left = count - Fraction(share) * len(scores)
    squares = sum(score**2 for score in scores[:count])
    return squares / left if left > 0 else float('inf')


@pytest.mark.parametrize('share', [0.1, 0.4, 0.85])
@pytest.mark.parametrize('name', ['skewed', 'tied', 'normal', 'equal'])
@pytest.mark.parametrize('size', [1, 2, 5, 60])
def test_easy_limit_adds_the_least_variance(size, name, share):
    scores = SCORES[name](size).abs()
    limit = easy_limit(scores, share)
    count = int((scores <= limit).sum())
    ours = added_variance(scores, count, share)
    below_mean = int((scores.double() < scores.double().mean()).sum())
    assert count >= below_mean
    least = min(
        added_variance(scores, count, share)
        for count in range(max(1, below_mean), size + 1)
    )
    assert float(ours) == pytest.approx(float(least))


def test_easy_limit_of_negative_scores_is_relative_to_the_lowest():
    scores = SCORES['skewed'](50) - 10
    above = scores - scores.min()
    found = scores <= easy_limit(scores, 0.4)
    assert torch.equal(found, above <= easy_limit(above, 0.4))


@pytest.mark.parametrize('name', ['skewed', 'normal'])
def test_easy_limit_of_many_scores_is_that_of_some(name):
    scores = SCORES[name](400_000).abs()
    found, wanted = (
        (scores <= easy_limit(part, 0.4)).double().mean().item()
        for part in (scores, scores[:60_000])
    )
    assert found == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize('share', [0.2, 0.4, 0.8])
def test_infobatch_drops_a_share_of_equal_scores_at_random(share):
    for size in (100, 200_000):
        selection = select_infobatch_share(torch.ones(size), share, seeded())
        assert abs(len(selection.indices) - (1 - share) * size) < 1
        assert (selection.weights == 1 / (1 - share)).all()


def test_infobatch_drops_a_share_of_what_weighs_nothing():
    scores = (torch.arange(100) >= 60).float() + 1e-4
    weights = as_weights(select_infobatch_share(scores, 0.4, seeded()), 100)
    assert (weights[60:] == 1).all()
    assert sorted(weights[:60].unique().tolist()) == [0, pytest.approx(3)]


@pytest.mark.parametrize('share', [0.3, 0.6])
@pytest.mark.parametrize('name', ['skewed', 'normal', 'tied'])
def test_infobatch_of_a_share_is_unbiased(name, share):
    scores, values = SCORES[name](30).abs(), rand(30, seed=1) + 0.5
    generator = seeded()
    sums = torch.stack(
        [
            as_weights(select_infobatch_share(scores, share, generator), 30)
            @ values
            for _ in range(2000)
        ]
    ).double()
    error = sums.std() / len(sums) ** 0.5
    assert abs(sums.mean() - values.sum()) < 4 * error + 1e-4


@pytest.mark.parametrize('ratio', [0.3, 0.5, 0.9])
@pytest.mark.parametrize('num_easy', [0, 1, 2, 3, 7, 30])
def test_infobatch_is_unbiased(num_easy, ratio):
    size = num_easy + 4
    scores = (torch.arange(size) >= num_easy).float()
    values = rand(size, seed=1) + 0.5
    generator = seeded()
    sums = torch.stack(
        [
            as_weights(select_infobatch(scores, ratio, generator), size)
            @ values
            for _ in range(2000)
        ]
    ).double()
    error = sums.std() / len(sums) ** 0.5
    assert abs(sums.mean() - values.sum()) < 4 * error + 1e-4


def test_infobatch_drops_every_easy_sample_alike():
    scores = torch.arange(20.0)
    seen, error = frequencies(lambda g: select_infobatch(scores, 0.3, g), 20)
    assert (seen[10:] == 1).all()
    assert ((seen[:10] - 0.7).abs() < 4 * error).all()


@pytest.mark.parametrize('value', [0, 0.1, -5.3, 1e-30, 1e30, 3.4e38])
@pytest.mark.parametrize('size', [1, 2, 3, 10, 1001])
def test_infobatch_keeps_all_when_scores_are_equal(value, size):
    scores = torch.full((size,), float(value))
    weights = as_weights(select_infobatch(scores, 0.9, seeded()), size)
    assert (weights == 1).all()


def test_infobatch_keeps_all_with_weight_1_when_ratio_is_0():
    weights = as_weights(select_infobatch(rand(99), 0, seeded()), 99)
    assert (weights == 1).all()


@pytest.mark.parametrize('draw', [0.0, 1 - 2**-24])
@pytest.mark.parametrize(
    'ratio, easy, dropped',
    [(0, 10, 0), (0.5, 10, 5), (0.29, 100, 29), (0.07, 100, 7), (0.5, 0, 0)],
)
def test_infobatch_drops_an_exact_number_for_any_draw(
    monkeypatch, ratio, easy, dropped, draw
):
    monkeypatch.setattr(torch, 'rand', lambda *_, **__: torch.tensor([draw]))
    scores = (torch.arange(easy + 5) >= easy).float()
    selection = select_infobatch(scores, ratio, seeded())
    assert len(selection.indices) == easy + 5 - dropped


def test_infobatch_mean_is_below_the_maximum_when_rounding_says_no():
    # In float32 the mean of these scores is above all of them.
    scores = torch.full((4_000_000,), 1.7)
    scores[0] = 0
    selection = select_infobatch(scores, 0.5, seeded())
    assert len(selection.indices) >= len(scores) - 1
    assert (selection.weights[1:] == 1).all()


@pytest.mark.parametrize('large', [float('inf'), 3.4e38])
def test_infobatch_survives_diverged_scores(large):
    scores = rand(100)
    scores[::2] = large
    selection = select_infobatch(scores, 0.5, seeded())
    weights = as_weights(selection, 100)
    assert_valid(selection, 100)
    assert (weights[::2] == 1).all()
    assert int((weights[1::2] == 2).sum()) == 25


# Importance


def reference_probabilities(scores, share, power):
    """What the rule says, with the ceiling found one sample at a time."""
    measure = scores.double() - scores.double().min().clamp(max=0)
    measure = measure**power
    measure += measure.mean() / 4 or 1
    capped = torch.zeros_like(measure, dtype=torch.bool)
    for _ in scores:
        left = (1 - share) * len(scores) - int(capped.sum())
        found = left * measure / measure[~capped].sum()
        above = (found > 1 + 1e-9) & ~capped
        if not above.any():
            return found.masked_fill(capped, 1).float()
        capped[measure.masked_fill(capped, -1).argmax()] = True


@pytest.mark.parametrize('power', [0, 0.5, 1])
@pytest.mark.parametrize('share', [0, 0.3, 0.9])
@pytest.mark.parametrize('name', ['normal', 'skewed', 'zero', 'tied', 'equal'])
def test_importance_keeps_by_the_power_of_the_score(name, share, power):
    for size in (1, 2, 5, 60):
        scores = SCORES[name](size)
        found = keep_probabilities(scores, share, power)
        expected = reference_probabilities(scores, share, power)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert float(found.mean()) == pytest.approx(1 - share, abs=1e-5)


def test_importance_rounds_powers_alike_on_all_machines():
    scores, share = rand(5000), 0.9  # none reaches the ceiling
    relative = (scores / scores.max()).double().numpy()
    for power in (0.5, 0.3):
        measure = torch.from_numpy((relative**power).astype('float32'))
        floor = float(measure.double().mean()) / 4
        total = (measure.double() + floor).sort().values.cumsum(0)[-1]
        expected = (measure + floor) * float((1 - share) * 5000 / total)
        found = keep_probabilities(scores, share, power)
        assert torch.equal(found, expected)


def select_in_pass(pruner, scores, share, epoch, seed=0):
    generator = selection_generator(seed, epoch, scores.device)
    return as_weights(
        pruner.select(scores, generator, epoch, share), len(scores)
    )


@pytest.mark.parametrize('epoch', [1, 6])
@pytest.mark.parametrize('name', ['skewed', 'tied'])
def test_importance_is_unbiased_over_seeds(name, epoch):
    scores, values = SCORES[name](30).abs(), rand(30, seed=1) + 0.5
    sums = torch.stack(
        [
            select_in_pass(Importance(), scores, 0.4, epoch, seed) @ values
            for seed in range(2000)
        ]
    ).double()
    error = sums.std() / len(sums) ** 0.5
    assert abs(sums.mean() - values.sum()) < 4 * error


@pytest.mark.parametrize('name', ['skewed', 'equal'])
def test_importance_lets_samples_take_turns(name):
    scores, passes = SCORES[name](2000), 60
    kept = [
        select_in_pass(Importance(), scores, 0.4, epoch) > 0
        for epoch in range(1, passes + 1)
    ]
    chance = keep_probabilities(scores, 0.4, 0.5)
    visits = torch.stack(kept).sum(0)
    # By independent draws the largest difference is three times as large.
    assert (visits - passes * chance).abs().max() < 4
    waits, waiting = torch.zeros(2000), torch.zeros(2000)
    for mask in kept:
        waiting = (waiting + 1).masked_fill(mask, 0)
        waits = waits.maximum(waiting)
    assert (waits <= 2 / chance).all()
    for mask in kept:
        assert abs(int(mask.sum()) - 1200) <= (1 if name == 'equal' else 80)


# Random pruning


@pytest.mark.parametrize(
    'ratio, size, expected',
    [
        (0, 10, 10),
        (0.5, 10, 5),
        (0.1, 1000, 900),
        (0.29, 100, 71),
        (0.99, 10, 1),
        (0.5, 1, 1),
        (0.3, 7, 5),
        (0.25, 3_000_000, 2_250_000),
    ],
)
def test_random_prune_keeps_a_fixed_number(ratio, size, expected):
    for seed in range(2):
        selection = RandomPrune(ratio).select(rand(size), seeded(seed))
        assert_valid(selection, size)
        assert len(selection.indices) == expected
        assert (selection.weights == 1).all()


@pytest.mark.parametrize(
    'draw',
    [
        lambda g: RandomPrune(0.5).select(torch.arange(20.0), g),
        lambda g: SeTa(0.5).select(torch.arange(20.0), g),
        lambda g: SeTa(0.5).anneal(torch.arange(20.0), g),
    ],
)
def test_random_share_is_independent_of_the_score(draw):
    seen, error = frequencies(draw, 20)
    assert ((seen - 0.5).abs() < 4 * error).all()


# SeTa


@pytest.mark.parametrize(
    'num_groups, scale, size',
    [
        (5, 0.9, 4),
        (10, 0.9, 9),
        (5, 0.5, 2),
        (5, 1, 5),
        (5, 0.01, 1),
        (1, 0.9, 1),
        (2, 0.9, 2),
        (4, 0.7, 3),
    ],
)
def test_window_slides_one_group_a_pass_and_starts_over(
    num_groups, scale, size
):
    positions = num_groups - size + 1
    for epoch in range(3 * positions):
        first = epoch % positions
        assert window(num_groups, scale, epoch) == (first, first + size)


def reference_groups(scores, num_groups):
    """Number of each sample's group, from easy to hard, one by one."""
    cuts = kmeans_cuts(scores, num_groups).tolist()
    return [sum(cut <= score for cut in cuts) for score in scores.tolist()]


@pytest.mark.parametrize('scores', ['normal', 'skewed', 'equal', 'tied'])
@pytest.mark.parametrize('num_groups, scale', [(5, 0.9), (5, 0.4), (3, 1)])
def test_seta_takes_the_groups_of_the_window(scores, num_groups, scale):
    scores = SCORES[scores](200)
    groups = reference_groups(scores, num_groups)
    for epoch in range(6):
        first, last = window(max(groups) + 1, scale, epoch)
        inside = in_window(scores, num_groups, scale, epoch)
        assert inside.tolist() == [first <= g < last for g in groups]


@pytest.mark.parametrize('scores', ['normal', 'skewed', 'tied', 'one outlier'])
@pytest.mark.parametrize('size', [1, 2, 3, 50])
def test_seta_puts_every_sample_in_one_group_from_easy_to_hard(scores, size):
    scores = SCORES[scores](size)
    num_groups = min(5, len(scores.unique()))
    pruner = SeTa(prune_ratio=0, num_groups=5, window_scale=0.01)
    seen, hardest = torch.zeros(size), float('-inf')
    for epoch in range(num_groups, 2 * num_groups):  # one whole cycle
        indices = pruner.select(scores, seeded(), epoch).indices
        seen[indices] += 1
        assert scores[indices].min() > hardest
        hardest = scores[indices].max()
    assert (seen == 1).all()


@pytest.mark.parametrize(
    'ratio, size, expected', [(0, 100, 100), (0.1, 1000, 900), (0.5, 1, 1)]
)
def test_seta_takes_all_groups_in_the_first_pass(ratio, size, expected):
    pruner = SeTa(prune_ratio=ratio, window_scale=0.2)
    first = pruner.select(rand(size), seeded())
    assert len(first.indices) == expected
    assert (first.weights == 1).all()


def test_seta_anneals_on_a_random_share_of_all_groups():
    selection = SeTa(0.3, window_scale=0.2).anneal(rand(1000), seeded())
    assert len(selection.indices) == 700
    assert (selection.weights == 1).all()


def test_seta_window_is_cut_from_the_random_share():
    scores = rand(1000)
    pruner = SeTa(prune_ratio=0.5, num_groups=5, window_scale=0.9)
    windowed = pruner.select(scores, seeded(), epoch=2).indices
    random_share = pruner.anneal(scores, seeded()).indices
    assert torch.isin(windowed, random_share).all()
    # The window of this pass leaves out the hardest of five groups.
    hardest = scores[random_share].max()
    assert 250 < len(windowed) < 500 and hardest > scores[windowed].max()
