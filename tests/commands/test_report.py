"""`bls_mm report`: what it prints and writes."""

import pytest
from toy import EVERY_EPOCH, train

from bls_mm.commands import report


def test_command_prints_the_answer_and_the_files(tmp_path, capsys):
    saving = dict(default_hooks__checkpoint=EVERY_EPOCH)
    train(tmp_path, train_cfg__max_epochs=1, **saving)
    # A config in the work dir is what a run from a file leaves.
    config = 'train_cfg = dict(max_epochs=1)\ntrain_dataloader = dict(\n'
    config += "    dataset=dict(type='ToyDataset'), batch_size=4,\n"
    config += "    sampler=dict(type='BLSSampler'))\n"
    (tmp_path / 'config.py').write_text(config)
    out = tmp_path / 'out'
    report.main([str(tmp_path), '--out', str(out), '--top', '0'])
    printed = capsys.readouterr().out
    assert 'Nothing was pruned by the end of pass 1 of 1.' in printed
    assert f'Wrote {out}/report.html and {out}/scores.csv' in printed
    assert (out / 'report.html').is_file() and (out / 'scores.csv').is_file()


def test_command_line_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match='error: There is no checkpoint'):
        report.main([str(tmp_path)])


def test_negative_number_of_pictures_is_a_wrong_argument(tmp_path, capsys):
    with pytest.raises(SystemExit):
        report.main([str(tmp_path), '--top', '-1'])
    assert '`--top` should be 0 or more' in capsys.readouterr().err
