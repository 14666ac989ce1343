"""Toy runs of every kind do what they did when they were recorded."""

from pathlib import Path

import pytest
from observed import first_difference, read_records
from record_reference_runs import RUNS, record_alone, record_together

EXPECTED = read_records(
    Path(__file__).parents[1] / 'data' / 'reference_runs.json'
)
ALONE = [name for name, run in RUNS.items() if run.ranks == 1]
TOGETHER = [name for name, run in RUNS.items() if run.ranks == 2]


def assert_as_recorded(name, record):
    assert first_difference(record, EXPECTED[name], tolerance=1e-5) is None


def test_every_recorded_run_is_made():
    assert list(EXPECTED) == list(RUNS)


def test_resumed_runs_begin_in_the_middle_of_a_pass():
    resumed = [name for name, run in RUNS.items() if run.resumed]
    for name in resumed:
        whole = EXPECTED[name.replace(', resumed', '')]
        assert EXPECTED[name]['iters'][0] not in whole['pass_starts']
    assert resumed


# A pass that ends after a resume, and gradients that are accumulated, step
# the schedule before the optimizer.
@pytest.mark.filterwarnings('ignore:Detected call of .*scheduler.step')
@pytest.mark.parametrize('name', ALONE)
def test_run_does_as_recorded(tmp_path, name):
    assert_as_recorded(name, record_alone(tmp_path, RUNS[name]))


@pytest.fixture(scope='module')
def together(tmp_path_factory):
    return record_together(tmp_path_factory.mktemp('ranks'), TOGETHER)


@pytest.mark.parametrize('name', TOGETHER)
def test_run_of_two_ranks_does_as_recorded(together, name):
    assert_as_recorded(name, together[name])
