"""`tools/analysis_tools/compare_pool.py`."""

import csv
import sys

import pytest
from studies import write_comparison

from tools.analysis_tools import compare_pool


def run(monkeypatch, *argv):
    monkeypatch.setattr(sys, 'argv', ['compare_pool.py', *map(str, argv)])
    compare_pool.main()


def test_pool_prints_a_markdown_table(tmp_path, monkeypatch, capsys):
    a, b = tmp_path / 'a', tmp_path / 'b'
    write_comparison(a, (98.0, 97.0, 96.5), (98.0, 98.0, 96.5))
    write_comparison(b, (0.5, 0.49, 0.48), (0.6, 0.57, 0.61))
    run(monkeypatch, a, b, '--csv', tmp_path / 'runs.csv')
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Metrics: a acc, b acc'
    cells = [[c.strip() for c in line.split('|')[1:-1]] for line in lines]
    rows = {row[0]: row[1:] for row in cells if row}
    assert rows['to full'][:3] == ['a', 'b', 'all']
    assert rows['full'][:4] == ['98.00', '55.00 ± 7.07', '', '']
    assert rows['infobatch'] == [
        '-0.50 ± 0.71', '-2.00 ± 1.41', '-1.25 ± 1.26', '0.63', '4', '40.0',
        '40.0',
    ]  # fmt: skip
    with open(tmp_path / 'runs.csv') as file:
        written = list(csv.DictReader(file))
    assert len(written) == 12
    assert [written[i]['value'] for i in (0, 5, 11)] == ['98', '96.5', '0.61']
    assert written[4] == dict(
        work_dir='a', config='resnet', row='infobatch',
        epochs='4', iterations='100', seed='1',
        metric='acc', value='98', visits='600',
        seconds='1.0', cpu_seconds='300.0',
    )  # fmt: skip
    with pytest.raises(SystemExit, match='error: .*no run of `seta`'):
        run(monkeypatch, a, '--to', 'seta', '--seeds', '1')
