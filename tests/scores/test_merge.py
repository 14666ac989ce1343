"""Merging scores over real processes."""

import pytest
import torch
from merging import LARGE, WORLD_SIZES, random_case, work
from ranks import start_ranks

from bls_mm.scores.merge import merge_scores


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where the ranks have put what they hold after the merges."""
    folder = tmp_path_factory.mktemp('ranks')
    start_ranks(max(WORLD_SIZES), work, folder)
    return folder


@pytest.fixture(params=WORLD_SIZES)
def merged(request, folder):
    """What each rank of a group holds after the merges."""
    size = request.param
    paths = [folder / f'{size}_{rank}.pth' for rank in range(size)]
    return [torch.load(path, weights_only=True) for path in paths]


def test_merge_keeps_means_or_leaves_by_how_many_have_seen(merged):
    before = [random_case(rank) for rank in range(len(merged))]
    scores = torch.stack([s for s, _ in before])
    seen = torch.stack([m for _, m in before]).bool()
    times = seen.sum(0)
    after = merged[0]['random_case'][0]
    assert set(times.tolist()) == set(range(len(merged) + 1))
    never, once = times == 0, times == 1
    assert torch.equal(after[never], scores[0][never])
    which = seen.int().argmax(0, keepdim=True)
    assert torch.equal(after[once], scores.gather(0, which)[0][once])
    for i in (times > 1).nonzero().flatten().tolist():
        mean = scores[:, i][seen[:, i]].double().mean().item()
        assert after[i].item() == pytest.approx(mean, rel=1e-5, abs=1e-6)


def test_merge_leaves_all_ranks_with_the_same_scores(merged):
    for result in merged:
        assert torch.equal(
            result['random_case'][0], merged[0]['random_case'][0]
        )
        assert not result['random_case'][1].any()


def test_merge_changes_nothing_when_nothing_was_seen_since(merged):
    for result in merged:
        assert torch.equal(result['again'], result['random_case'][0])


def test_merge_tells_ids_apart_that_float32_does_not(merged):
    expected = [LARGE - 1 - rank for rank in range(len(merged))][::-1]
    for ids, tail, seen in (result['large_case'] for result in merged):
        assert ids.flatten().tolist() == expected
        values = [0.1 + rank for rank in range(len(merged))][::-1]
        assert torch.equal(tail[-len(merged) :], torch.tensor(values))
        assert not seen


def test_merge_ignores_what_a_rank_holds_of_samples_it_has_not_seen(merged):
    world_size = len(merged)
    for result in merged:
        scores = result['nan_case'][0]
        assert scores[:world_size].tolist() == list(range(1, world_size + 1))
        assert scores[world_size:].isnan().all()


def test_merge_only_resets_seen_when_there_is_one_rank():
    scores, seen = random_case(0)
    before = scores.clone()
    assert seen.any()
    merge_scores(scores, seen)
    assert torch.equal(scores, before)
    assert not seen.any()


@pytest.mark.parametrize('world_size', [2, 255, 256, 257, 512])
def test_merge_counts_as_many_ranks_as_there_are(monkeypatch, world_size):
    # Each rank has the same; multiplication wraps round as a sum does.
    monkeypatch.setattr(
        'bls_mm.scores.merge.get_world_size', lambda: world_size
    )
    monkeypatch.setattr(
        'bls_mm.scores.merge.all_reduce', lambda t: t.mul_(world_size)
    )
    scores = torch.tensor([0.5, 3.0, 7.0])
    seen = torch.tensor([1, 1, 0], dtype=torch.uint8)
    merge_scores(scores, seen)
    assert scores.tolist() == [0.5, 3.0, 7.0]
    assert not seen.any()
