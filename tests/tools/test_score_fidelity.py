"""`tools/analysis_tools/score_fidelity.py`."""

import sys

import pytest
from blobs import CONFIG, write_blobs

from tools.analysis_tools import score_fidelity


def run(monkeypatch, *argv):
    monkeypatch.setattr(sys, 'argv', ['tool.py', CONFIG, *map(str, argv)])
    score_fidelity.main()


@pytest.mark.slow
def test_command_prints_the_table(tmp_path, monkeypatch, capsys):
    options = write_blobs(tmp_path / 'data')
    argv = ['--scores', 'mart:batch', '--every', '1', '--work-dir', tmp_path]
    argv += ['--cfg-options', *(f'{k}={v}' for k, v in options.items())]
    run(monkeypatch, *argv, 'train_cfg.max_epochs=1')
    output = capsys.readouterr().out
    assert '==> Training 1 of 1: batches of 32, seed 0' in output
    assert 'spearman' in output and 'mart:batch' in output
    assert (tmp_path / 'fidelity.json').exists()


def test_command_ends_in_one_line_where_it_cannot_run(monkeypatch):
    with pytest.raises(SystemExit, match='tool.py: error: .*magic'):
        run(monkeypatch, '--scores', 'magic')
