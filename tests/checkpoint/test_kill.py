"""Real processes that are killed or told to end, and taken up again."""

import os
import signal
import time
from pathlib import Path
from random import Random

import pytest
import torch
from forked import ForkedTraining

from bls_mm.checkpoint.files import find_checkpoint
from tools.dev.resume_check.__main__ import Result, check_case, make_table
from tools.dev.resume_check.killed import Run, compare
from tools.dev.resume_check.processes import descendants, is_alive, kill_all
from tools.dev.resume_check.run import make_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path('/proc/self/stat').exists(), reason='reads /proc'
    ),
]
# Other cases, and at least 20 kills of each: `tools/dev/resume_check`.
CASES = {
    'epochs': ('epoch', 'InfoBatch', 1, ['saving', 'iteration']),
    'iterations': ('iter', 'SeTa', 1, ['saving']),
    'ranks': ('epoch', 'InfoBatch', 2, ['iteration']),
}


@pytest.fixture
def quick_start(monkeypatch):
    """Fork trainings of one rank, unless they might find a GPU."""
    start = Run.start

    def fork(run, place):
        if run.ranks > 1 or torch.cuda.is_available():
            return start(run, place)
        return ForkedTraining(place / 'run.py', place / 'output.log')

    monkeypatch.setattr(Run, 'start', fork)


@pytest.mark.usefixtures('quick_start')
@pytest.mark.parametrize('name', CASES)
def test_run_that_is_killed_is_the_run_that_was_not(tmp_path, name):
    *case, moments = CASES[name]
    result = check_case(*case, len(moments), 0, tmp_path, moments)
    assert not result.problems, '\n'.join(result.problems)
    assert result.kills >= len(moments)
    assert result.compared > 50


@pytest.mark.parametrize('change', [dict(lr=0.3), dict(indices=[2, 1])])
def test_check_resume_sees_a_difference(change):
    line = dict(iter=3, lr=0.1, indices=[1, 2])
    compare(dict(line), line, rank=0)
    with pytest.raises(Exception, match=f'iteration 3 .*{list(change)}'):
        compare(dict(line, **change), line, rank=0)


def test_check_resume_reports_what_differs():
    results = {
        ('epoch', 'SeTa', 1): Result(compared=7),
        ('iter', 'SeTa', 2): Result(problems=['seed 0: broken\nwith its log']),
    }
    good, bad = make_table(results).splitlines()[2:]
    assert good.endswith('| 7 | same |')
    assert bad.endswith('| seed 0: broken |')


@pytest.fixture
def sigint():
    """Let children hear SIGINT, which a background job inherits ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('sigint')
@pytest.mark.parametrize('ranks', [1, 2])
@pytest.mark.parametrize('sent', [signal.SIGINT, signal.SIGTERM])
def test_run_ends_at_once_and_can_be_resumed(tmp_path, sent, ranks):
    config = make_config('epoch', 'InfoBatch', ranks, seed=2)  # with workers
    assert config['train_dataloader']['num_workers'] == 2
    run = Run(tmp_path, config, ranks, Random(0))
    process = run.start(run.killed)
    family = [process.pid]
    try:
        deadline = time.monotonic() + 120
        while len(run.lines(run.killed, 0)) < 20:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        family += descendants(process.pid)
        assert len(family) >= 3 * ranks  # a rank and its two workers
        sent_at = time.monotonic()
        if sent == signal.SIGINT:  # as a terminal does: to the whole group
            os.killpg(process.pid, sent)
        else:
            process.send_signal(sent)
        assert process.wait(60) != 0
        # Workers look after their parent every 5 s.
        while any(is_alive(pid) for pid in family):
            assert time.monotonic() - sent_at < 60
            time.sleep(0.01)
    finally:
        kill_all(pid for pid in family if is_alive(pid))
    last = find_checkpoint(run.killed)
    assert run.checkpoints(run.killed)[Path(last)] >= 7
