"""Batches that wait to be scored come out as if each was scored in turn."""

import pytest
import torch

from bls_mm import EMAScore, MARTScore
from bls_mm.scores import Score
from bls_mm.updates import ScoreUpdates

NOBODY = torch.empty(0, dtype=torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def batches(count, size, per_sample):
    """Ids, each once, and losses, some of them not finite."""
    order = torch.randperm(count * size, generator=seeded()).view(count, size)
    shape = (count, size) if per_sample else (count,)
    losses = torch.rand(shape, generator=seeded(1)) * 3
    losses.view(-1)[::7] = torch.tensor(float('nan'))
    losses.view(-1)[3::11] = torch.tensor(float('inf'))
    return order, losses


def start(count):
    """Scores of which some are those of samples never seen."""
    scores = torch.rand(count, generator=seeded(2))
    scores[::3] = 0
    return scores


RULES = [EMAScore(), EMAScore(0.0), EMAScore(init='first'), MARTScore()]


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('per_sample', [False, True])
@pytest.mark.parametrize('size', [1, 4])
def test_several_batches_at_once_are_scored_as_one_by_one(
    rule, per_sample, size
):
    order, losses = batches(40, size, per_sample)
    expected, scores = start(40 * size), start(40 * size)
    for ids, loss in zip(order, losses):
        rule.update(expected, ids, loss)
    rule.update(scores, order, losses)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('groups', ['one', 'two', 'none'])
def test_updates_come_out_as_in_turn(rule, groups):
    order, losses = batches(70, 4, False)
    if groups != 'one':
        order[35:] = order[:35]  # these samples come twice
    expected, scores = start(280), start(280)
    seen = torch.zeros(280, dtype=torch.uint8)
    updates = ScoreUpdates(rule, scores, seen)
    for i, (ids, loss) in enumerate(zip(order, losses)):
        rule.update(expected, ids, loss)
        group = {'one': 0, 'two': i // 35, 'none': None}[groups]
        updates.add(ids, loss, group)
        if groups == 'none':
            torch.testing.assert_close(scores, expected)
    updates.flush()
    torch.testing.assert_close(scores, expected)
    assert seen.sum() == len(order.unique())


def test_last_batch_may_be_smaller_and_losses_of_another_shape():
    expected, scores = torch.zeros(9), torch.zeros(9)
    updates, rule = ScoreUpdates(EMAScore(), scores, NOBODY), EMAScore()
    losses = [torch.tensor(1.0), torch.rand(4), torch.tensor(2.0)]
    for ids, loss in zip(torch.arange(9).split(4), losses):
        rule.update(expected, ids, loss)
        updates.add(ids, loss, 0)
    updates.flush()
    torch.testing.assert_close(scores, expected)


class Noting(Score):
    def __init__(self):
        self.calls = []

    def update(self, scores, indices, loss):
        self.calls.append(indices.tolist())


class NotingEMA(EMAScore):
    update = Noting.update
    calls = ()


def test_rule_that_takes_one_batch_gets_each_at_once():
    assert not NotingEMA.takes_several and EMAScore.takes_several
    rule = Noting()
    updates = ScoreUpdates(rule, torch.zeros(4), NOBODY)
    updates.add(torch.tensor([0, 2]), torch.tensor(1.0), 0)
    assert rule.calls == [[0, 2]]


@pytest.mark.parametrize('waits', [True, False])
def test_number_of_batches_that_wait_is_limited(waits):
    scores = torch.zeros(100)
    updates = ScoreUpdates(EMAScore(), scores, NOBODY, waits)
    waiting = []
    for ids in torch.arange(100).split(1):
        updates.add(ids, torch.tensor(1.0), 0)
        waiting.append(int((scores[: ids + 1] == 0).sum()))
    assert max(waiting) == (31 if waits else 0)
