"""Processes of runs: what they print, and how they end."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from studies import write_config

from bls_mm.comparison import process

ROOT = Path(__file__).parents[2]
LOG = '11/26 10:00:00 - mmengine - INFO - {}\n'
STEPS = [LOG.format('Epoch(train) [1][5/10]'), LOG.format('BLS: 20 % saved.')]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a module of this code as if it were a run."""
    monkeypatch.setenv('PYTHONPATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(process, 'RUN', 'other_run')
    shown = []

    def start(code):
        (tmp_path / 'other_run.py').write_text(code)
        log = tmp_path / 'output.log'
        process.run_process(tmp_path / 'settings.json', log, shown.append)
        return shown, log.read_text()

    return start


def test_progress_is_shown_and_all_is_kept(start):
    output = ['a warning\n', *STEPS, LOG.format('Config: ...')]
    shown, log = start(f'print({"".join(output)!r}, end="")')
    assert shown == [line.rstrip('\n') for line in STEPS]
    assert log == ''.join(output)


def test_failure_has_the_end_of_the_output(start):
    code = 'print("\\n" * 40 + "nearly"); raise KeyError("NoSuchModel")'
    with pytest.raises(
        ChildProcessError, match=r'(?s)output\.log.*NoSuchModel'
    ):
        start(code)


def test_run_has_one_core_less_than_there_are(start, monkeypatch):
    code = 'import os; print(os.environ["OMP_NUM_THREADS"])'
    monkeypatch.setattr(os, 'cpu_count', lambda: 8)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    assert start(code)[1] == '7\n'
    monkeypatch.setenv('OMP_NUM_THREADS', '3')
    assert start(code)[1] == '3\n'


@pytest.mark.slow
def test_run_ends_with_a_study_that_is_killed(tmp_path, monkeypatch):
    config = write_config(tmp_path)
    with open(config, 'a') as file:
        file.write('train_cfg["max_epochs"] = 1_000_000\n')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(sys.path))
    folder = tmp_path / 'seed0' / 'full'
    study = psutil.Popen(
        [sys.executable, 'tools/compare.py', config, '--work-dir', tmp_path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with study:
        try:
            assert any('Epoch(train)' in line for line in study.stdout)
            (run,) = study.children()
        finally:
            study.kill()
    _, alive = psutil.wait_procs([run], timeout=60)
    assert not alive
    assert (folder / 'settings.json').exists()
    assert not (folder / 'result.json').exists()
