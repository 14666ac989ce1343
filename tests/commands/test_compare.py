"""The command `compare`."""

import pytest
from studies import FakeRuns, write_config

from bls_mm.commands.compare import main


@pytest.fixture
def runs(monkeypatch):
    return FakeRuns(monkeypatch)


@pytest.fixture
def argv(tmp_path):
    """A command, with the default variants."""
    return [write_config(tmp_path), '--work-dir', str(tmp_path / 'out')]


def test_compare_ends_with_the_table_and_the_path_of_the_plot(
    argv, runs, capsys
):
    main([*argv, '--fewer-epochs'])
    output = capsys.readouterr().out
    assert runs.made == ['full', 'infobatch', 'random', 'fewer_epochs']
    assert 'time saved %' in output and 'fewer epochs' in output
    assert output.rstrip().endswith('/out/compare.png')


def test_interrupted_compare_goes_on_unless_told_otherwise(argv, runs, capsys):
    runs.stop_at = 'random'
    with pytest.raises(SystemExit, match='Interrupted. Finished runs are ke'):
        main(argv)
    runs.made.clear()
    main([*argv, '--resume'])
    assert runs.made == ['random']
    main([*argv, '--no-resume'])
    assert runs.made == ['random', 'full', 'infobatch', 'random']


def test_compare_ends_in_one_line_where_it_cannot_run(argv):
    with pytest.raises(
        SystemExit, match='^bls-mm compare: error: .*InfoBatch'
    ):
        main([*argv, '--prune', 'magic'], 'bls-mm compare')
