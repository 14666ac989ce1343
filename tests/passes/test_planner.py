"""Deciding pass by pass, without a runner."""

import pytest
import torch
from plans import make_planner
from states import same

from bls_mm import RandomPrune
from bls_mm.samplers.order import make_order


def run_pass(planner, scores):
    planner.begin(scores)
    planner.end()
    return list(planner.sampler)


@pytest.mark.parametrize('seed', [0, 1, 12345])
def test_selection_is_independent_of_the_order(seed):
    planner, _ = make_planner(size=1000, steps=2000)
    planner.sampler.seed = seed
    run_pass(planner, torch.zeros(1000))
    run_pass(planner, torch.zeros(1000))
    order = make_order(1000, seed + 1)
    kept = planner.weights[order.long()] > 0
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
    assert sorted(visited) == sorted(
        remove(selected, planner.sampler.left_over)
    )


def remove(items, others):
    items = list(items)
    for other in others.tolist():
        items.remove(other)
    return items


def test_carried_samples_keep_the_weight_they_were_selected_with():
    pruner = dict(type='InfoBatch', prune_ratio=0.5)
    planner, _ = make_planner(size=41, steps=410, stream=True, pruner=pruner)
    scores = torch.arange(41.0)
    differing, weights = 0, None
    for _ in range(30):
        before, weights = weights, planner.begin(scores).weights
        planner.end()
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
    planner.begin(torch.zeros(40))
    current = planner.current
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


class NotedRandom(RandomPrune):
    """Note what each pass is asked to drop."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.shares = []

    def select_share(self, scores, share, generator, epoch):
        self.shares.append(share)
        return super().select_share(scores, share, generator, epoch)


def test_target_saving_makes_up_for_what_a_pass_missed():
    pruner = NotedRandom(target_saving=0.3)
    planner, _ = make_planner(size=400, steps=1200, pruner=pruner)
    for number in range(12):
        planner.visited += 10 * (number == 3)  # as if one kept too many
        run_pass(planner, torch.rand(400))
    # Nine passes from the third on have to make up for it, the others none.
    before, after = pruner.shares[1:3]
    assert len(pruner.shares) == 11
    assert after == pytest.approx(before + 10 / 400 / 9, abs=1e-3)
    assert pruner.shares[-1] == pytest.approx(after, abs=1e-2)


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


@pytest.mark.parametrize('stream', [False, True])
def test_pass_planned_early_is_the_pass_that_would_begin(stream):
    pruner = dict(type='InfoBatch', prune_ratio=0.5)
    settings = dict(size=41, steps=410, stream=stream, pruner=pruner)
    early, late = (make_planner(**settings)[0] for _ in range(2))
    scores = torch.arange(41.0)
    for planner in (early, late):
        run_pass(planner, scores)
        planner.begin(scores)
    before = early.state_dict(), list(early.sampler)
    for _ in range(3):
        assert early.may_plan(4)
        early.plan(scores)
    after = early.state_dict(), list(early.sampler)
    assert len(after[0].pop('planned')) == 3
    assert before[0].pop('planned') == []
    assert same(list(after), list(before))
    early.end()
    late.end()
    for _ in range(5):
        assert run_pass(early, scores) == run_pass(late, scores)
        states = early.state_dict(), late.state_dict()
        for state in states:
            del state['planned']
        assert same(*states)


def test_no_pass_is_planned_before_all_samples_have_a_score():
    planner, _ = make_planner()
    assert not planner.may_plan(4)
    run_pass(planner, torch.zeros(40))
    assert not planner.may_plan(4)
    planner.begin(torch.zeros(40))
    assert planner.may_plan(4)
    planner.skip_to(35)  # resumed from a checkpoint without scores
    planner.begin(torch.zeros(40))
    assert not planner.may_plan(4)


def test_no_pass_is_planned_after_the_last_or_for_another_batch_size():
    planner, _ = make_planner(steps=30)
    run_pass(planner, torch.zeros(40))
    planner.begin(torch.zeros(40))
    assert not planner.may_plan(8)
    planner.plan(torch.zeros(40))
    assert not planner.may_plan(4)
