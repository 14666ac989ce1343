"""What holds for any data, settings, number of ranks and way to go."""

import copy
import math
from unittest.mock import patch

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from states import same, through_a_file
from torch.utils.data import BatchSampler, Subset

from bls_mm import (
    PRUNERS,
    SCORES,
    BLSSampler,
    InfoBatch,
    MARTScore,
    Pruner,
    Score,
)
from bls_mm.checkpoint.state import load_state, pack_state
from bls_mm.passes.planner import PassPlanner
from bls_mm.registry import build
from bls_mm.samplers.batch_ids import BatchIds
from bls_mm.scores.buffer import ScoreBuffer

# The same examples in every run: a failure is a change of the code.
settings.register_profile(
    'bls_mm', deadline=None, max_examples=50, derandomize=True, database=None
)
settings.load_profile('bls_mm')


def own(registry):
    """The components of the package, without those of other tests."""
    return sorted(
        name
        for name, cls in registry.module_dict.items()
        if cls.__module__.startswith('bls_mm.')
    )


ratios = st.floats(0, 0.99)
deltas = st.floats(0, 1)
seeds = st.integers(0, 2**31 - 1)
losses = st.floats(-(2.0**100), 2.0**100, width=32)
many_scores = st.one_of(
    st.lists(losses, min_size=1, max_size=60),
    # Few different values: ties, and all equal.
    st.lists(st.sampled_from([0.0, 1e-7, 0.1, 3.0]), min_size=1, max_size=60),
)
pruners = st.one_of(
    st.builds(
        lambda name, ratio, delta: dict(
            type=name, prune_ratio=ratio, delta=delta
        ),
        st.sampled_from(own(PRUNERS)),
        ratios,
        deltas,
    ),
    st.builds(
        lambda ratio, groups, scale, delta: dict(
            type='SeTa',
            prune_ratio=ratio,
            num_groups=groups,
            window_scale=scale,
            delta=delta,
        ),
        ratios,
        st.integers(1, 9),
        st.floats(0.01, 1),
        deltas,
    ),
)


def made(pruner):
    return build(pruner, PRUNERS, Pruner, 'pruner')


# Pruners


@given(
    many_scores,
    pruners,
    seeds,
    st.integers(0, 100),
    st.booleans(),
    st.one_of(st.none(), ratios),
)
def test_selection_is_sound(values, pruner, seed, epoch, annealing, share):
    scores = torch.tensor(values)
    before = scores.clone()
    selections = []
    for _ in range(2):
        rule = made(pruner)
        generator = torch.Generator().manual_seed(seed)
        if annealing:
            selections.append(rule.anneal(scores, generator))
        else:
            selections.append(rule.select(scores, generator, epoch, share))
    indices, weights = selections[0]
    assert 1 <= len(indices) == len(weights) <= len(scores)
    assert indices.dtype == torch.int64 and weights.dtype == torch.float32
    assert indices[0] >= 0 and indices[-1] < len(scores)
    assert (indices.diff() > 0).all()  # ascending, so each once
    assert weights.isfinite().all() and (weights >= 1).all()
    assert torch.equal(scores, before)
    for ours, again in zip(*selections):
        assert torch.equal(ours, again)


@settings(max_examples=20)
@given(
    st.lists(st.floats(0, 10, width=32), min_size=2, max_size=30),
    st.floats(0, 0.9),
    seeds,
)
def test_infobatch_has_the_gradient_of_all_data_in_expectation(
    values, ratio, seed
):
    scores, rule = torch.tensor(values), InfoBatch(prune_ratio=ratio)
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(len(scores), 3, generator=generator).double()
    mean = torch.zeros(3).double()
    for _ in range(400):
        indices, weights = rule.select(scores, generator)
        mean += (weights[:, None] * gradients[indices]).sum(0) / 400
    # Variance of a sum, each easy sample being dropped by itself; that they
    # are drawn together at most doubles it. Five deviations of the mean.
    easy = scores < scores.double().mean()
    variance = ratio / (1 - ratio) * gradients[easy].square().sum(0)
    error = (mean - gradients.sum(0)).abs()
    assert (error <= 5 * (2 * variance / 400).sqrt() + 1e-4).all()


# Scores


@given(
    st.sampled_from(own(SCORES)),
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 9), min_size=1, max_size=6),
            st.one_of(losses, st.sampled_from([math.nan, math.inf])),
            st.sampled_from([torch.float32, torch.bfloat16]),
        ),
        max_size=20,
    ),
)
def test_scores_stay_finite_and_change_for_the_batch_alone(name, batches):
    rule, scores = (
        build(dict(type=name), SCORES, Score, 'score'),
        (torch.zeros(10)),
    )
    for ids, value, dtype in batches:
        before = scores.clone()
        loss = torch.tensor(value, dtype=dtype)
        rule.update(scores, torch.tensor(ids), loss)
        others = [i for i in range(10) if i not in ids]
        assert scores.isfinite().all()
        assert torch.equal(scores[others], before[others])
        if not math.isfinite(value):
            assert torch.equal(scores, before)


# Sampler


class Case:
    """A run without a model: data, batches, ranks and a loop."""

    def __init__(self, draw):
        self.distinct = draw(st.integers(1, 40))
        self.repeats = draw(st.sampled_from([1, 1, 2, 3]))
        self.world_size = draw(st.integers(1, 4))
        self.batch_size = draw(st.integers(1, 9))
        self.seed = draw(seeds)
        self.shuffle = draw(st.booleans())
        self.stream = draw(st.booleans())
        self.drop_last = not self.stream and draw(st.booleans())
        self.passes = draw(st.integers(1, 9))
        self.pruner = draw(pruners)
        per_rank = math.ceil(self.size / self.world_size)
        assume(not self.drop_last or per_rank >= self.batch_size)
        self.steps = self.passes * math.ceil(per_rank / self.batch_size)

    @property
    def size(self):
        return self.distinct * self.repeats

    def sampler(self, rank, **changes):
        order = [i % self.distinct for i in range(self.size)]
        info = (rank, self.world_size)
        with patch('bls_mm.samplers.bls_sampler.get_dist_info', lambda: info):
            return BLSSampler(
                Subset(range(self.distinct), order),
                pruner=self.pruner,
                **dict(shuffle=self.shuffle, seed=self.seed, **changes),
            )

    def planner(self, rank, seed=None):
        sampler = self.sampler(rank)
        if seed is not None:
            sampler.seed = seed
        batches = BatchSampler(sampler, self.batch_size, self.drop_last)
        steps = self.steps
        if not self.stream:
            steps = self.passes * len(batches)
        return PassPlanner(
            sampler, batches.__len__, steps, self.batch_size, self.stream
        )

    def __repr__(self):
        return f'Case({vars(self)})'


@st.composite
def cases(draw):
    return Case(draw)


@given(cases(), st.data(), st.booleans())
def test_ranks_together_visit_what_is_kept(case, data, round_up):
    flags = st.lists(
        st.booleans(), min_size=case.distinct, max_size=case.distinct
    )
    kept = torch.tensor(data.draw(flags))
    assume(kept.any())
    dealt = []
    for rank in range(case.world_size):
        sampler = case.sampler(rank, round_up=round_up)
        sampler.attach()
        sampler.begin_pass(data.draw(st.just(3)), kept)
        dealt.append(list(sampler))
        assert len(sampler) == len(dealt[-1])
    wanted = [i for i in range(case.size) if kept[i % case.distinct]]
    visited = sorted(index for indices in dealt for index in indices)
    assert set(visited) == set(wanted)
    padding = -len(wanted) % case.world_size if round_up else 0
    assert len(visited) == len(wanted) + padding
    if round_up:
        assert len({len(indices) for indices in dealt}) == 1
    if not padding:
        assert visited == wanted


# A whole run, pass by pass


def scores_for(case, number):
    """Scores as they might be by a pass, the same on all ranks."""
    generator = torch.Generator().manual_seed(case.seed % 1000 + number)
    return torch.randn(case.distinct, generator=generator).round(decimals=1)


def batches_of(case, planner, weights):
    """Indices and weights of the batches of the pass in hand."""
    sampler = planner.sampler
    found = []
    batches = BatchSampler(sampler, case.batch_size, case.drop_last)
    for indices in list(batches)[: planner.current.length]:
        ids = torch.tensor(BatchIds(sampler).find(indices))
        assert 0 <= ids.min() and ids.max() < case.distinct
        of_batch = torch.ones(len(ids)) if weights is None else weights[ids]
        assert of_batch.isfinite().all() and (of_batch >= 1).all()
        found.append((indices, of_batch.tolist()))
    return found


def follow(case, planner, iterations=0):
    """Yield pass, batches and predicted end until the run is over."""
    end = iterations - planner.current.done + planner.iterations_left
    tries = 0
    while iterations < end:
        scores = scores_for(case, planner.current.number + 1)
        beginning = planner.begin(scores)
        current = planner.current
        assert beginning.skip == current.done
        if beginning.is_new:
            end = iterations + planner.iterations_left
            tries += 1
            assert tries < 100 * case.batch_size * case.world_size
            if not current.length:
                assert case.stream  # an epoch is never empty
                end = iterations + 1  # the loop waits for a batch
                continue
        tries = 0
        found = batches_of(case, planner, beginning.weights)
        yield copy.copy(current), found, end
        iterations += current.length - current.done
        planner.end()
    assert iterations == end
    assert planner.current.step == planner.budget.steps


@given(cases())
def test_run_ends_in_time_and_no_pass_is_empty(case):
    planner = case.planner(0)
    iterations = 0
    for current, batches, end in follow(case, planner):
        assert len(batches) == current.length > 0
        iterations += current.length
        assert iterations <= end <= planner.budget.steps
        if case.stream:
            assert {len(ids) for ids, _ in batches} == {case.batch_size}
        if not case.stream:
            assert current.number < planner.budget.passes
    padding = planner.budget.passes * case.world_size
    assert 0 < planner.visited <= planner.unpruned + padding


@given(cases())
def test_ranks_agree_on_what_is_selected(case):
    assume(case.world_size > 1)
    runs = [followed(case, rank) for rank in range(case.world_size)]
    assert runs[0]
    assert runs == runs[:1] * case.world_size


def followed(case, rank):
    """What every rank should have in common, pass by pass."""
    planner, found = case.planner(rank), []
    for current, batches, end in follow(case, planner):
        weights = planner.weights
        kept = None if weights is None else weights.tolist()
        assert len(batches) == current.length
        found.append((current, end, kept, [len(ids) for ids, _ in batches]))
    return found


@given(cases(), st.data())
def test_state_survives_a_round_trip_anywhere_in_a_run(case, data):
    rank = data.draw(st.integers(0, case.world_size - 1))
    planner = case.planner(rank)
    stop = data.draw(st.integers(0, 2 * case.passes))
    iterations, passed = 0, []
    for number, found in enumerate(follow(case, planner)):
        _, passed, _ = found
        if number == stop:
            break
        iterations += planner.current.length
    if number == stop:  # in the middle of a pass
        done = data.draw(st.integers(0, planner.current.length))
        planner.advance(done)
        iterations += done
    in_mid_pass = planner.current.done < planner.current.length
    saved = buffer_of(case), planner, planner.sampler
    saved[0].scores.copy_(scores_for(case, 77))
    saved[0].rule.memory.copy_(torch.tensor([0.3, 1.0, -0.5]))
    restored = case.planner(rank, seed=7)
    loaded = buffer_of(case), restored, restored.sampler
    state = through_a_file(pack_state(*saved))
    load_state(state, *loaded)
    assert torch.equal(loaded[0].scores, saved[0].scores)
    assert same(pack_state(*loaded), state)
    assert restored.unpruned == planner.unpruned
    assert restored.kept == planner.kept
    rest = [list(follow(case, p, iterations)) for p in (restored, planner)]
    assert rest[0] == rest[1]
    if in_mid_pass:
        assert rest[0][0][1] == passed


def buffer_of(case):
    device = torch.device('cpu')
    return ScoreBuffer(MARTScore(), case.distinct, device, parallel=False)
