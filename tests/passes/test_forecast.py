"""The forecast of a run: against runs, and in words."""

import pytest
from toy import hook_of, make_runner

from bls_mm import InfoBatch, RandomPrune, SeTa
from bls_mm.passes.budget import Budget
from bls_mm.passes.forecast import describe, forecast
from bls_mm.passes.shares import EASY_SHARE, Shares, expected_shares
from bls_mm.pruners import Pruner

ITERATIONS = dict(
    train_cfg=dict(by_epoch=False, max_iters=75),
    train_dataloader__sampler__shuffle=True,
)


class OwnRule(Pruner):
    def select_ratio(self, scores, generator, epoch):
        raise NotImplementedError


def run_and_forecast(folder, **changes):
    runner = make_runner(folder, **changes)
    runner.train()
    hook = hook_of(runner)
    sampler = hook.planner.sampler
    expected = forecast(
        hook.planner.budget,
        sampler.pruner,
        sampler.full_size,
        runner.train_dataloader.batch_sampler.batch_size,
    )
    assert expected.full_visits == hook.visited_unpruned
    return expected, hook.visited, runner.iter


@pytest.mark.parametrize(
    'pruner',
    [
        None,
        dict(type='RandomPrune', prune_ratio=0.3),
        dict(type='SeTa', prune_ratio=0.2, num_groups=1),
        dict(type='SeTa', target_saving=0.35),
        dict(type='RandomPrune', target_saving=0.2),
    ],
)
@pytest.mark.parametrize(
    'changes',
    [
        {},
        dict(train_dataloader__dataset__size=41),
        dict(train_dataloader__batch_size=8),
        dict(
            train_dataloader__dataset__size=43,
            train_dataloader__drop_last=True,
        ),
        ITERATIONS,
        dict(ITERATIONS, train_dataloader__dataset__size=37),
    ],
)
def test_forecast_is_what_the_run_does(tmp_path, pruner, changes):
    changes = dict(changes, train_dataloader__sampler__pruner=pruner)
    expected, visited, iterations = run_and_forecast(tmp_path, **changes)
    assert not expected.assumption
    assert (expected.visits, expected.iterations) == (visited, iterations)


@pytest.mark.parametrize('size', [40, 41])
def test_infobatch_reaches_its_target_up_to_random_rounding(tmp_path, size):
    expected, visited, iterations = run_and_forecast(
        tmp_path,
        train_dataloader__dataset__size=size,
        train_dataloader__sampler__pruner=dict(
            type='InfoBatch', target_saving=0.2
        ),
    )
    assert not expected.assumption
    assert abs(expected.visits - visited) <= 2
    assert abs(expected.iterations - iterations) <= 1


@pytest.mark.parametrize(
    'pruner, share, annealed, assumption',
    [
        (InfoBatch(0.5), 0.5 * EASY_SHARE, 0, '46% of the samples score'),
        (SeTa(), 1 - 0.9 * 0.8, 0.1, 'its 5 groups are of equal size'),
        (OwnRule(0.25), 0.25, 0, 'OwnRule drops 25% of all samples'),
    ],
)
def test_what_depends_on_scores_is_assumed(
    pruner, share, annealed, assumption
):
    expected = forecast(Budget(10000, 100), pruner, 1000, 10)
    assert assumption in expected.assumption
    assert expected.pruned == range(1, 87)
    wanted = (86 * share + 13 * annealed) / 100
    assert expected.saving == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize('ratio, saved', [(0.3, 12), (0.5, 20), (0.7, 28)])
def test_long_run_saves_what_is_reported_of_batch_losses(ratio, saved):
    expected = forecast(Budget(78000, 390), InfoBatch(ratio), 49920)
    assert round(100 * expected.saving) == saved


def test_share_of_a_rule_of_ones_own_can_be_registered():
    class HalfPrune(OwnRule):
        pass

    expected_shares.register(HalfPrune, lambda pruner: Shares(0.5))
    assert forecast(Budget(40, 10), HalfPrune(), 40).saving == 0.25


def test_target_out_of_reach_is_refused():
    message = r'target_saving` should be at most 0\.6 in a run of 3 passes'
    with pytest.raises(ValueError, match=message):
        forecast(Budget(30, 10), InfoBatch(target_saving=0.7), 40)


@pytest.mark.parametrize(
    'pruner, budget, lines',
    [
        (
            InfoBatch(0.5),
            Budget(120, 10),
            [
                'InfoBatch(prune_ratio=0.5) prunes epochs 2 to 10 of 12.',
                'The run visits about 399 instead of 480 samples (16.9% '
                'saved) in about 102 instead of 120 iterations, if 46% of '
                'the samples score below the mean.',
            ],
        ),
        (
            SeTa(target_saving=0.25),
            Budget(20, 10),
            [
                'SeTa(target_saving=0.25) prunes epoch 2 of 2.',
                'The run visits 60 instead of 80 samples (25.0% saved) in 15 '
                'instead of 20 iterations.',
            ],
        ),
        (
            RandomPrune(0.5),
            Budget(10, 10),
            [
                'RandomPrune(prune_ratio=0.5) prunes none of 1 epochs.',
                'The run visits 40 instead of 40 samples (0.0% saved) in 10 '
                'instead of 10 iterations.',
            ],
        ),
        (
            None,
            Budget(10, 10),
            [
                'The run has no pruner.',
                'The run visits 40 instead of 40 samples (0.0% saved) in 10 '
                'instead of 10 iterations.',
            ],
        ),
    ],
)
def test_two_lines_say_what_is_pruned_and_saved(pruner, budget, lines):
    assert describe(forecast(budget, pruner, 40, 4), pruner) == lines


def test_passes_of_a_stream_are_not_called_epochs():
    pruner = RandomPrune(0.5)
    expected = forecast(Budget(75, 37, 4), pruner, 37, 4)
    assert describe(expected, pruner, 'pass')[0].endswith(
        'passes 2 to 7 of 9.'
    )
