"""Deciding pass by pass, without a runner."""

import pytest
import torch
from torch.utils.data import BatchSampler

from bls_mm import BLSSampler
from bls_mm.passes.planner import PassPlanner

RANDOM = dict(type='RandomPrune', prune_ratio=0.5)


def make_planner(
    size=40, batch=4, steps=80, stream=False, pruner=RANDOM, **settings
):
    sampler = BLSSampler(range(size), pruner=pruner, seed=0)
    batches = BatchSampler(sampler, batch, settings.get('drop_last', False))
    planner = PassPlanner(sampler, batches.__len__, steps, batch, stream)
    return planner, batches


def run_pass(planner, scores):
    planner.next_pass(scores)
    planner.current.done = planner.current.length
    return list(planner.sampler)


@pytest.mark.parametrize('seed', [0, 1, 12345])
def test_selection_is_independent_of_the_order(seed):
    planner, _ = make_planner(size=1000, steps=2000)
    planner.sampler.seed = seed
    planner.next_pass(torch.zeros(1000))
    planner.next_pass(torch.zeros(1000))
    order = planner.sampler._order(epoch=1)
    kept = planner.weights[order] > 0
    # Half of the first half and half of the second, within 5 deviations.
    assert abs(int(kept[:500].sum()) - 250) < 60


def test_stream_visits_what_each_pass_selects():
    planner, _ = make_planner(size=41, steps=82, stream=True)
    scores, visited, selected = torch.zeros(41), [], []
    for _ in range(planner.budget.passes):
        visited += run_pass(planner, scores)
        kept = torch.arange(41)
        if planner.weights is not None:
            kept = planner.weights.nonzero().squeeze(1)
        selected += kept.tolist()
    left = len(selected) - len(visited)
    assert 0 <= left < 8
    assert sorted(visited) == sorted(remove(selected, planner._left_over))


def remove(items, others):
    items = list(items)
    for other in others.tolist():
        items.remove(other)
    return items


def test_carried_samples_keep_the_weight_they_were_selected_with():
    pruner = dict(type='InfoBatch', prune_ratio=0.5)
    planner, _ = make_planner(size=41, steps=410, stream=True, pruner=pruner)
    scores = torch.arange(41.0)
    differing = 0
    for _ in range(30):
        before = planner.batch_weights
        run_pass(planner, scores)
        weights = planner.batch_weights
        if before is None or weights is None:
            continue
        for index in planner.sampler.carried.tolist():
            now = float(planner.weights[index])
            expected = now if now > 0 else float(before[index])
            assert float(weights[index]) == expected > 0
            differing += now != expected
    assert differing


def test_budget_counts_the_visits():
    planner, _ = make_planner()
    visited = sum(len(run_pass(planner, torch.zeros(40))) for _ in range(8))
    assert planner.visited == visited < 320
    assert planner.unpruned == 320


def test_budget_counts_no_sample_that_is_dropped():
    planner, _ = make_planner(size=41, batch=6, steps=48, drop_last=True)
    run_pass(planner, torch.zeros(41))
    assert planner.visited == planner.unpruned == 36


def test_pass_is_not_pruned_to_nothing():
    planner, _ = make_planner(batch=30, steps=8, drop_last=True)
    lengths = [len(run_pass(planner, torch.zeros(40))) for _ in range(8)]
    assert lengths == [40] * 8  # 20 would not fill a batch of 30


@pytest.mark.parametrize('step, number', [(0, 0), (9, 0), (10, 1), (35, 3)])
def test_skip_to_finds_the_pass(step, number):
    planner, _ = make_planner()
    planner.skip_to(step)
    current = planner.next_pass(torch.zeros(40))
    assert (current.number, current.first_step) == (number, step)
    assert current.last_step == 10 * (number + 1)


def test_predicted_length_is_kept():
    planner, _ = make_planner()
    done = 0
    for _ in range(8):
        run_pass(planner, torch.zeros(40))
        done += planner.current.length
    # In the last pass the prediction is exact.
    assert planner.iterations_left == planner.current.length
    assert done == 10 + 6 * 5 + 10


def saved_share(pruner, spread, size=400, passes=12, **settings):
    """Share of the visits that a run saves, its scores being random."""
    planner, batches = make_planner(
        size, steps=passes * size // 4, pruner=pruner, **settings
    )
    generator = torch.Generator().manual_seed(1)
    visited = 0
    for _ in range(planner.budget.passes):
        # From all equal through normal to a few that hold nearly everything.
        scores = torch.randn(size, generator=generator).mul(spread).exp()
        visited += len(run_pass(planner, scores))
    assert visited == planner.visited
    return 1 - visited / planner.unpruned


@pytest.mark.parametrize('stream', [False, True])
@pytest.mark.parametrize('spread', [0, 0.3, 3])
@pytest.mark.parametrize('target', [0.05, 0.2, 0.4, 0.6])
@pytest.mark.parametrize('delta', [None, 0.875])
@pytest.mark.parametrize('rule', ['InfoBatch', 'SeTa', 'RandomPrune'])
def test_target_saving_is_reached_within_a_point(
    rule, delta, target, spread, stream
):
    pruner = dict(type=rule, target_saving=target, delta=delta)
    saved = saved_share(pruner, spread, stream=stream)
    assert saved == pytest.approx(target, abs=0.01)


def test_target_saving_makes_up_for_what_a_pass_missed():
    planner, _ = make_planner(
        size=400, steps=1200, pruner=dict(type='SeTa', target_saving=0.3)
    )
    shares = []
    for _ in range(12):
        planner.visited += 10 * (len(shares) == 3)  # as if one kept too many
        run_pass(planner, torch.rand(400))
        shares.append(planner.sampler.pruner.share)
    assert shares[4] == pytest.approx(shares[2] + 10 / 400 / 6, abs=0.002)


@pytest.mark.parametrize('delta', [1.0, 0.875, 0.5])
def test_target_saving_that_is_out_of_reach_is_refused(delta):
    pruner = dict(type='InfoBatch', target_saving=0.9, delta=delta)
    largest = round(0.9 * (int(12 * delta) - 1) / 12, 3)
    match = f'target_saving` should be at most {largest} in a run of 12'
    with pytest.raises(ValueError, match=match):
        saved_share(pruner, 1)
    # What the message offers is possible.
    pruner['target_saving'] = largest
    saved = saved_share(pruner, 1)
    assert saved == pytest.approx(largest, abs=0.01)
