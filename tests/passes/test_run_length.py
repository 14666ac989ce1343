"""Which iteration of a pruned run is a given step of the unpruned one."""

import pytest

from bls_mm.passes.budget import Budget, Pass, iterations_left
from bls_mm.passes.run_length import count_multiples, iteration_at

BUDGET = Budget(80, 10)  # 8 passes, of which 1 to 6 are pruned
FIRST = Pass(0, 0, 10, 10)
PRUNED = Pass(2, 20, 30, 6)
ANNEALED = Pass(7, 70, 80, 10)


def at(step, start, current, budget=BUDGET, delta=0.875):
    return iteration_at(step, start, current, budget, delta)


@pytest.mark.parametrize('step', [0, 1, 9, 10, 11, 55, 80, 81, 1000])
def test_iteration_is_the_step_before_anything_is_pruned(step):
    assert at(step, 0, FIRST) == step


@pytest.mark.parametrize('step', range(21, 31))
def test_steps_of_the_current_pass_are_exact(step):
    """The first iteration after which as many steps are made."""
    done = at(step, 16, PRUNED) - 16

    def steps_after(iterations):
        return Pass(2, 20, 30, 6, done=iterations).step

    assert steps_after(done - 1) < step <= steps_after(done)


@pytest.mark.parametrize(
    ('step', 'iteration'),
    [(20, 16), (10, 8), (0, 0), (31, 23), (40, 28), (70, 46), (75, 51)],
)
def test_steps_of_other_passes_are_past_or_predicted(step, iteration):
    """Pruned passes as this one, those after `delta` as without pruning."""
    assert at(step, 16, PRUNED) == iteration


def test_end_of_the_run_is_the_end_that_is_predicted():
    end = 16 + iterations_left(PRUNED, BUDGET, 0.875)
    assert [at(step, 16, PRUNED) for step in (80, 81, 100)] == [
        end,
        end + 1,
        end + 20,
    ]


@pytest.mark.parametrize('current', [FIRST, PRUNED, ANNEALED])
@pytest.mark.parametrize('delta', [0.0, 0.5, 0.875, 1.0])
@pytest.mark.parametrize('budget', [BUDGET, Budget(87, 32, 3)])
def test_iterations_grow_with_the_steps(current, delta, budget):
    iterations = [at(step, 16, current, budget, delta) for step in range(100)]
    assert iterations == sorted(iterations)
    end = 16 + iterations_left(current, budget, delta)
    assert max(iterations[: budget.steps + 1]) == end


@pytest.mark.parametrize('length', [0, 1])
def test_pass_that_waits_for_a_full_batch_makes_its_steps_later(length):
    assert at(25, 16, Pass(2, 20, 30, length)) == 17


def test_pass_that_is_over_knows_no_share():
    """A resumed run, before its next pass."""
    assert at(31, 16, Pass(2, 30, 30, 0)) == 17
    assert at(80, 16, Pass(2, 30, 30, 0)) == 66


@pytest.mark.parametrize(
    ('first', 'last', 'interval', 'offset'),
    [
        (1, 80, 10, 0),
        (10, 80, 10, 0),
        (11, 79, 10, 0),
        (5, 80, 7, 5),
        (6, 80, 7, 5),
        (9, 8, 1, 0),
        (1, 80, 0, 0),
        (1, 80, -1, 0),
        (81, 80, 1, 0),
    ],
)
def test_count_multiples_counts_one_by_one(first, last, interval, offset):
    expected = sum(
        interval > 0 and (number - offset) % interval == 0
        for number in range(first, last + 1)
    )
    assert count_multiples(first, last, interval, offset) == expected
