"""The numbers of a pruned run, against counting one by one."""

import math
from fractions import Fraction

import pytest

from bls_mm.passes.budget import (
    Budget,
    Pass,
    annealing_start,
    cut_length,
    is_pruned,
    iterations_left,
)

# Steps of the run; samples and batch size of a pass as numerator and
# denominator.
STREAMS = [
    (100, 40, 4),
    (100, 10, 4),
    (100, 7, 3),
    (1, 7, 3),
    (50, 3, 7),  # passes shorter than a batch
    (20, 1, 64),
    (40000, 2975, 8),
    (160000, 20210, 16),
    (99, 100, 1),
    (101, 100, 1),
]


# Budget


@pytest.mark.parametrize(
    'steps, per_pass, passes, ends',
    [
        (8, 1, 8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (40, 10, 4, [10, 20, 30, 40]),
        (25, 10, 3, [10, 20, 25]),
        (5, 10, 1, [5]),
        (10, 10, 1, [10]),
    ],
)
def test_budget_of_epochs_ends_with_the_run(steps, per_pass, passes, ends):
    budget = Budget(steps, per_pass)
    assert budget.passes == passes
    assert [budget.end(number) for number in range(passes)] == ends


def count_passes(steps, samples, batch):
    """Passes that the batches of a run draw from, the last one counted."""
    return max(1, len({drawn // samples for drawn in range(steps * batch)}))


@pytest.mark.parametrize('steps, samples, batch', STREAMS[:6] + STREAMS[8:])
def test_budget_of_a_stream_equals_counting(steps, samples, batch):
    budget = Budget(steps, samples, batch)
    assert budget.passes == count_passes(steps, samples, batch)
    for number in range(budget.passes):
        drawn = (number + 1) * samples
        full = sum(step * batch <= drawn for step in range(1, drawn + 1))
        assert budget.full_end(number) == full
        last = number == budget.passes - 1
        assert budget.end(number) == (steps if last else full)


@pytest.mark.parametrize('steps, samples, batch', STREAMS)
def test_budget_ends_never_fall_and_reach_the_end_of_the_run(
    steps, samples, batch
):
    budget = Budget(steps, samples, batch)
    ends = [budget.end(number) for number in range(budget.passes)]
    assert ends == sorted(ends)
    assert ends[-1] == steps
    assert budget.full_end(budget.passes - 1) >= steps
    assert budget.end(budget.passes + 5) == steps


# Annealing


@pytest.mark.parametrize(
    'passes, delta, start',
    [
        (1, 0.875, 0),
        (2, 0.875, 1),
        (8, 0.875, 7),
        (12, 0.875, 10),
        (50, 0.875, 43),
        (90, 0.875, 78),
        (100, 0.875, 87),
        (300, 0.875, 262),
        (100, 0.29, 29),  # the product is 28.999999999999996
        (100, 0.07, 7),  # the product is 7.000000000000001
        (100, 0.57, 57),
        (50, 0.58, 29),
        (10, 0, 0),
        (10, 1, 10),
        (10, 0.99, 9),
    ],
)
def test_annealing_starts_after_delta_of_the_passes(passes, delta, start):
    assert annealing_start(passes, delta) == start
    pruned = [is_pruned(number, passes, delta) for number in range(passes)]
    assert pruned == [0 < number < start for number in range(passes)]


def test_annealing_starts_where_integers_say():
    for passes in range(1, 301):
        for percent in range(101):
            start = annealing_start(passes, percent / 100)
            assert start == passes * percent // 100


# Pass

PASSES = [
    (first, first + width, length)
    for first in (0, 13)
    for width in (1, 2, 7, 10, 1000)
    for length in (1, 2, 3, 7, 10, 999, 1000)
    if length <= width
]


@pytest.mark.parametrize('first, last, length', PASSES)
def test_pass_makes_its_steps_evenly_and_ends_exactly(first, last, length):
    current = Pass(0, first, last, length)
    steps = []
    for current.done in range(length + 1):
        steps.append(current.step)
    assert steps[0] == first
    assert steps[-1] == last
    widths = {b - a for a, b in zip(steps, steps[1:])}
    assert max(widths) - min(widths) <= 1
    current.done = length + 3
    assert current.step == last


@pytest.mark.parametrize('done', [0, 1])
def test_pass_makes_no_step_when_it_has_no_batch(done):
    assert Pass(3, 20, 27, length=0, done=done).step == 20


# Cutting the last pass


def test_cut_length_is_the_share_of_the_pass_rounded_up():
    for width in range(1, 76):
        for length in range(width + 1):
            for cut in range(0, width + 1, 7):
                expected = math.ceil(Fraction(length * cut, width))
                assert cut_length(length, 5, 5 + width, 5 + cut) == expected


@pytest.mark.parametrize('length', [0, 1, 12, 15])
@pytest.mark.parametrize('cut', [1, 2, 9])
def test_cut_length_is_at_most_the_steps_left(length, cut):
    got = cut_length(length, 0, 10, cut)
    assert (1 if length else 0) <= got <= cut


@pytest.mark.parametrize('last', [10, 11])
def test_cut_length_is_the_whole_pass_when_nothing_is_cut(last):
    assert cut_length(7, 3, 10, last) == 7


# Predicting the end of the run


def all_passes(budget, delta, share):
    """Passes of a run that keeps this share while it prunes."""
    for number in range(budget.passes):
        first = budget.end(number - 1) if number else 0
        last = budget.end(number)
        pruned = is_pruned(number, budget.passes, delta)
        length = math.ceil((last - first) * (share if pruned else 1))
        yield Pass(number, first, last, length)


@pytest.mark.parametrize('delta', [0, 0.3, 0.875, 1])
@pytest.mark.parametrize('share', [0.05, 0.5, 0.77, 1])
@pytest.mark.parametrize('steps, samples, batch', STREAMS)
def test_iterations_left_covers_this_pass_and_is_exact_in_the_last(
    steps, samples, batch, share, delta
):
    budget = Budget(steps, samples, batch)
    for current in all_passes(budget, delta, share):
        left = iterations_left(current, budget, delta)
        if current.last_step == steps:
            assert left == current.length
        else:
            assert left > current.length


@pytest.mark.parametrize('delta', [0, 0.5, 0.875, 1])
@pytest.mark.parametrize('share', [0.1, 0.5, 0.7])
@pytest.mark.parametrize('epochs, per_epoch', [(8, 10), (12, 50), (3, 7)])
def test_iterations_left_is_exact_when_pruned_passes_are_alike(
    epochs, per_epoch, share, delta
):
    budget = Budget(epochs * per_epoch, per_epoch)
    passes = list(all_passes(budget, delta, share))
    for number, current in enumerate(passes):
        if is_pruned(number, budget.passes, delta) or not any(
            is_pruned(later.number, budget.passes, delta)
            for later in passes[number:]
        ):
            actual = sum(later.length for later in passes[number:])
            assert iterations_left(current, budget, delta) == actual


def test_iterations_left_expects_no_pruning_in_the_first_pass():
    assert iterations_left(Pass(0, 0, 10, 10), Budget(80, 10), 0.875) == 80


def test_iterations_left_promises_a_next_pass_when_this_one_is_empty():
    budget = Budget(80, 10)
    assert iterations_left(Pass(3, 30, 40, 0), budget, 1) >= 1
    assert iterations_left(Pass(3, 30, 30, 0), budget, 0.5) >= 1
