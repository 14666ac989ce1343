"""`bls_mm check-zoo`: what it prints, writes and returns."""

import json

import pytest

import bls_mm.zoo_check
from bls_mm.commands import check_zoo


@pytest.mark.parametrize(
    'verdicts, expected',
    [
        (['passed'] * 99 + ['broken'], 0),
        (['passed'] * 98 + ['broken', 'refused'], 1),
        (['passed'] * 199 + ['FAILED'], 1),
        (['passed', 'unreadable', 'no training'], 0),
    ],
)
def test_exit_status_is_the_goal(
    monkeypatch, capsys, tmp_path, verdicts, expected
):
    def sweep(paths, workers, timeout):
        for path, kind in zip(paths, verdicts):
            yield dict(path=path, verdict=kind, reason='')

    def find_configs(package, patterns):
        return {f'{i}.py': f'mmdet::{i}.py' for i in range(len(verdicts))}

    monkeypatch.setattr(bls_mm.zoo_check, 'sweep', sweep)
    monkeypatch.setattr(bls_mm.zoo_check, 'find_configs', find_configs)
    file = tmp_path / 'made' / 'results.json'
    words = ['--packages', 'mmdet', '--json', str(file)]
    assert check_zoo.main(words) == expected
    out, err = capsys.readouterr()
    row = out.split('\n')[-2].split()
    counted = [v for v in verdicts if v in bls_mm.zoo_check.VERDICTS]
    assert row[:3] == ['all', str(len(counted)), str(counted.count('passed'))]
    assert f'{len(verdicts)} of {len(verdicts)} files, ' in err
    assert [r['verdict'] for r in json.loads(file.read_text())] == verdicts


@pytest.mark.parametrize(
    'words, message',
    [
        (['--packages', 'mmnothing'], 'package `mmnothing` is not installed'),
        (['--packages', 'torch'], 'No config matches'),
        (['--workers', '0'], '`workers` should be'),
        (['--json', f'{__file__}/results.json'], 'exists|Not a directory'),
    ],
)
def test_what_cannot_be_checked_is_one_line(words, message, monkeypatch):
    if '--packages' not in words:
        monkeypatch.setattr(
            bls_mm.zoo_check, 'find_configs', lambda *_: {'a.py': 'mmdet::a'}
        )
        words = ['--packages', 'mmdet', *words]
    with pytest.raises(SystemExit, match=f'^bls-mm x: error: .*{message}'):
        check_zoo.main(words, 'bls-mm x')
