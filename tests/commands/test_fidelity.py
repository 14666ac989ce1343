"""The command `fidelity`."""

import pytest
from blobs import CONFIG

from bls_mm.analysis import fidelity
from bls_mm.commands.fidelity import main


def test_command_prints_the_table(tmp_path, monkeypatch, capsys):
    runs = []

    def train(base, run, folder):
        runs.append(run)
        shared = dict(batch_size=run['batch_size'], seed=run['seed'])
        measures = dict.fromkeys(fidelity.MEASURES, 0.25)
        return [dict(shared, score='ema', passes=2, **measures)]

    monkeypatch.setattr(fidelity, '_train', train)
    argv = ['--scores', 'ema', 'offline', '--every', '2', '--seeds', '3', '4']
    argv += ['--work-dir', str(tmp_path), '--cfg-options', 'log_level=ERROR']
    main([CONFIG, *argv])
    assert [run['seed'] for run in runs] == [3, 4]
    assert runs[0]['scores'] == ['ema', 'offline']
    assert runs[0]['every'] == 2
    assert runs[0]['cfg_options'] == dict(log_level='ERROR')
    output = capsys.readouterr().out
    assert '==> Training 2 of 2: batches of 32, seed 4' in output
    assert 'spearman' in output and '0.25 ± 0.00' in output
    assert output.rstrip().endswith('/fidelity.png')
    assert (tmp_path / 'fidelity.png').exists()


def test_command_ends_in_one_line_where_it_cannot_run():
    with pytest.raises(SystemExit, match='^bls-mm fidelity: error: .*magic'):
        main([CONFIG, '--scores', 'magic'], 'bls-mm fidelity')
