"""The log of a run, line by line and as a whole."""

import json

import pytest

from bls_mm.analysis.snapshots import read_snapshots
from bls_mm.analysis.work_dir import Scalars, parse_line, read_scalars


def test_scalars_are_those_of_each_epoch(run):
    scalars = read_scalars(run[0])
    rows = scalars.per_pass()
    assert scalars.by_epoch and [row['at'] for row in rows] == [*range(1, 9)]
    kept = [s.kept for s in read_snapshots(run[0])[0]]
    assert [row['kept'] for row in rows] == pytest.approx(kept)
    expected = [{'toy/acc': 1.0, 'step': step} for step in range(1, 9)]
    assert scalars.validations == expected


def test_resumed_part_replaces_what_it_does_again(tmp_path):
    for name, iters in (('20260101', (1, 2, 3, 4)), ('20260102', (3, 4, 5))):
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        lines = []
        for i in iters:
            lines.append(dict(bls_kept=1.0, bls_saved=int(name), iter=i))
            lines.append(dict(acc=int(name), step=i))
        text = '\n'.join(map(json.dumps, lines))
        (folder / 'scalars.json').write_text(text)
    scalars = read_scalars(tmp_path)
    assert [row['iter'] for row in scalars.rows] == [1, 2, 3, 4, 5]
    assert [row['bls_saved'] % 10 for row in scalars.rows] == [1, 1, 2, 2, 2]
    assert [row['step'] for row in scalars.validations] == [1, 2, 3, 4, 5]
    assert [row['acc'] % 10 for row in scalars.validations] == [1, 1, 2, 2, 2]
    assert scalars.metrics() == dict(acc=20260102)


@pytest.mark.parametrize(
    'line, expected',
    [
        ('', None),
        ('{"bls_kept": 1, "bls_sa', None),
        ('{"loss": 1, "lr": 0.1, "iter": 3, "step": 3}', None),  # no BLSHook
        ('{"time": 1, "data_time": 0.1, "step": 3}', None),  # no metric
        ('{"acc": 1, "time": 2.0, "step": 3}', dict(acc=1, step=3)),
        ('{"val/acc": 1, "step": 3}', dict(acc=1, step=3)),
        (
            '{"train/bls_kept": 0.5, "train/bls_saved": 0.1, "step": 3}',
            dict(bls_kept=0.5, bls_saved=0.1, step=3, iter=3),
        ),
    ],
)
def test_line_of_the_log(line, expected):
    assert parse_line(line) == expected


def test_pass_that_the_log_is_too_coarse_for_is_missing():
    rows = [
        dict(iter=50, bls_kept=1.0, bls_saved=0.0),
        dict(iter=100, bls_kept=0.5, bls_saved=0.2),
        dict(iter=150, bls_kept=0.5, bls_saved=0.2),
    ]
    scalars = Scalars(rows)
    assert [row['at'] for row in scalars.per_pass()] == [50, 100]
    assert not scalars.by_epoch
