"""`tools/compare.py` and `tools/analysis_tools/compare_pool.py`."""

import sys

import pytest
from studies import FakeRuns, write_comparison, write_config

from tools import compare
from tools.analysis_tools import compare_pool


@pytest.fixture
def runs(monkeypatch):
    return FakeRuns(monkeypatch)


def run(tool, monkeypatch, *argv):
    monkeypatch.setattr(sys, 'argv', ['tool.py', *map(str, argv)])
    tool.main()


@pytest.fixture
def argv(tmp_path):
    """A command, with the default variants."""
    return write_config(tmp_path), '--work-dir', tmp_path / 'out'


def test_compare_ends_with_the_table_and_the_path_of_the_plot(
    argv, runs, monkeypatch, capsys
):
    run(compare, monkeypatch, *argv, '--fewer-epochs')
    output = capsys.readouterr().out
    assert runs.made == ['full', 'infobatch', 'random', 'fewer_epochs']
    assert 'time saved %' in output and 'fewer epochs' in output
    assert output.rstrip().endswith('/out/compare.png')


def test_interrupted_compare_goes_on_unless_told_otherwise(
    argv, runs, monkeypatch, capsys
):
    runs.stop_at = 'random'
    with pytest.raises(SystemExit, match='Interrupted. Finished runs are ke'):
        run(compare, monkeypatch, *argv)
    runs.made.clear()
    run(compare, monkeypatch, *argv, '--resume')
    assert runs.made == ['random']
    run(compare, monkeypatch, *argv, '--no-resume')
    assert runs.made == ['random', 'full', 'infobatch', 'random']


def test_compare_ends_in_one_line_where_it_cannot_run(argv, monkeypatch):
    with pytest.raises(SystemExit, match='tool.py: error: .*InfoBatch'):
        run(compare, monkeypatch, *argv, '--prune', 'magic')


# compare_pool.py


def test_pool_prints_a_markdown_table(tmp_path, monkeypatch, capsys):
    a, b = tmp_path / 'a', tmp_path / 'b'
    write_comparison(a, (98.0, 97.0, 96.5), (98.0, 98.0, 96.5))
    write_comparison(b, (0.5, 0.49, 0.48), (0.6, 0.57, 0.61))
    run(compare_pool, monkeypatch, a, b)
    lines = capsys.readouterr().out.splitlines()
    cells = [[c.strip() for c in line.split('|')[1:-1]] for line in lines]
    rows = {row[0]: row[1:] for row in cells if row}
    assert rows['to full'][:3] == ['a', 'b', 'all']
    assert rows['full'][:4] == ['98.00', '55.00 ± 7.07', '', '']
    assert rows['infobatch'] == [
        '-0.50 ± 0.71', '-2.00 ± 1.41', '-1.25 ± 1.26', '0.63', '4', '40.0',
        '40.0',
    ]  # fmt: skip
    with pytest.raises(SystemExit, match='error: .*no run of `seta`'):
        run(compare_pool, monkeypatch, a, '--to', 'seta', '--seeds', '1')
