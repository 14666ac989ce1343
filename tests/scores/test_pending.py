"""Batches that wait to be scored come out as if each was scored in turn."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from bls_mm import EMAScore, MARTScore
from bls_mm.losses.module_calls import SampleLosses
from bls_mm.losses.unreduced import losses_of_samples
from bls_mm.scores import Score
from bls_mm.scores.batch import Batch
from bls_mm.scores.pending import (
    BATCHES_AT_A_TIME,
    NonFiniteCount,
    ScoreUpdates,
)

NOBODY = torch.empty(0, dtype=torch.uint8)


def make_updates(rule, scores, seen=NOBODY, waits=True):
    count = NonFiniteCount(scores.device)
    return ScoreUpdates(rule, scores, seen, count, waits)


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


RULES = [
    EMAScore,
    partial(EMAScore, 0.0),
    partial(EMAScore, init='first'),
    MARTScore,
]


@pytest.mark.parametrize('make_rule', RULES)
@pytest.mark.parametrize('per_sample', [False, True])
@pytest.mark.parametrize('size', [1, 4])
def test_several_batches_at_once_are_scored_as_one_by_one(
    make_rule, per_sample, size
):
    order, losses = batches(40, size, per_sample)
    expected, scores = start(40 * size), start(40 * size)
    in_turn, rule = make_rule(), make_rule()
    for ids, loss in zip(order, losses):
        in_turn.update(expected, ids, loss)
    rule.update(scores, order, losses)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(rule.memory, in_turn.memory)


@pytest.mark.parametrize('make_rule', RULES)
@pytest.mark.parametrize('groups', ['one', 'two', 'each', 'unknown'])
def test_updates_come_out_as_in_turn(make_rule, groups):
    in_turn, rule = make_rule(), make_rule()
    order, losses = batches(70, 4, False)
    if groups != 'one':
        order[35:] = order[:35]  # these samples come twice
    expected, scores = start(280), start(280)
    seen = torch.zeros(280, dtype=torch.uint8)
    updates = make_updates(rule, scores, seen)
    for i, (ids, loss) in enumerate(zip(order, losses)):
        in_turn.update(expected, ids, loss)
        if groups == 'unknown':
            updates.add(Batch(ids.tolist(), len(ids)), loss)
        else:
            group = dict(one=0, two=i // 35, each=i)[groups]
            updates.add(Batch(ids, len(ids), group=group), loss)
    updates.flush()
    torch.testing.assert_close(scores, expected)
    assert seen.sum() == len(order.unique())


def test_last_batch_may_be_smaller():
    expected, scores = torch.zeros(9), torch.zeros(9)
    updates, rule = make_updates(EMAScore(), scores), EMAScore()
    losses = torch.tensor([1.0, 3.0, 2.0])
    for ids, loss in zip(torch.arange(9).split(4), losses):
        rule.update(expected, ids, loss)
        updates.add(Batch(ids, len(ids), group=0), loss)
    updates.flush()
    torch.testing.assert_close(scores, expected)


class Heads(nn.Module):
    """A loss module, called once or twice, with hard or soft labels."""

    def __init__(self):
        super().__init__()
        losses = pytest.importorskip('mmpretrain.models.losses')
        self.loss = losses.CrossEntropyLoss()
        self.soft = losses.CrossEntropyLoss(use_soft=True)

    def forward(self, scores, labels, i, kind):
        if kind == 'soft':
            return self.soft(scores, one_hot(labels, 3).float())
        if kind == 'misfit' and i % 3 == 1:
            return self.loss(torch.cat([scores, scores]), labels.repeat(2))
        factor = i + 4 if kind == 'own factor' else 4
        loss = self.loss(scores, labels, avg_factor=factor)
        if kind == 'twice' or (kind == 'now and then' and i % 3 == 0):
            loss = loss + self.loss(-scores, labels, avg_factor=factor)
        return loss


@pytest.mark.parametrize(
    'kind',
    ['once', 'twice', 'now and then', 'own factor', 'soft', 'misfit'],
)
def test_losses_of_samples_come_out_as_in_turn(kind):
    model, in_turn, rule = Heads(), MARTScore(), MARTScore()
    heard = SampleLosses(model)
    expected, scores = start(80), start(80)
    updates = make_updates(rule, scores)
    for i, ids in enumerate(torch.arange(80).split(4)):
        predictions = torch.randn(4, 3, generator=seeded(i))
        labels = torch.randint(3, (4,), generator=seeded(i))
        heard.begin(4)
        loss = model(predictions.requires_grad_(), labels, i, kind).detach()
        calls = heard.take()
        assert (calls is None) == (kind == 'misfit' and i % 3 == 1)
        of_samples = loss
        if calls is not None:
            of_samples = losses_of_samples([calls], loss[None], 4)[0]
            assert len(of_samples.unique()) == 4
            assert not calls[0].args[0].requires_grad  # keeps no graph
        in_turn.update(expected, ids, of_samples)
        updates.add(Batch(ids, len(ids), group=0), loss, calls)
    updates.flush()
    torch.testing.assert_close(scores, expected)


def test_large_predictions_do_not_wait_for_many_batches(monkeypatch):
    monkeypatch.setattr('bls_mm.scores.pending._PREDICTIONS_AT_A_TIME', 36)
    model, scores = Heads(), torch.zeros(80)
    heard, updates = (
        SampleLosses(model),
        make_updates(MARTScore(), scores),
    )
    for i, ids in enumerate(torch.arange(80).split(4)):
        heard.begin(4)
        loss = model(torch.rand(4, 3), torch.arange(4) % 3, i, 'once')
        updates.add(Batch(ids, len(ids), group=0), loss, heard.take())
        assert int(scores.count_nonzero()) == (i + 1) // 3 * 12


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
    updates = make_updates(rule, torch.zeros(4))
    updates.add(Batch(torch.tensor([0, 2]), 2, group=0), torch.tensor(1.0))
    assert rule.calls == [[0, 2]]


@pytest.mark.parametrize('waits', [True, False])
def test_number_of_batches_that_wait_is_limited(waits):
    scores = torch.zeros(300)
    updates = make_updates(EMAScore(), scores, waits=waits)
    waiting = []
    for ids in torch.arange(300).split(1):
        updates.add(Batch(ids, len(ids), group=0), torch.tensor(1.0))
        waiting.append(int((scores[: ids + 1] == 0).sum()))
    assert max(waiting) == (BATCHES_AT_A_TIME - 1 if waits else 0)
