"""What a run is resumed from, also when its last checkpoint is damaged."""

import os
import shutil

import pytest
from toy import EVERY_EPOCH, VALIDATED, make_runner
from toy import train as train_toy

from bls_mm.checkpoint.files import find_checkpoint, is_complete
from bls_mm.runner.build import make_config


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A work folder as MMEngine leaves it: epochs 1 to 4."""
    folder = tmp_path_factory.mktemp('trained')
    train_toy(
        folder,
        train_cfg=dict(by_epoch=True, max_epochs=4),
        default_hooks__checkpoint=dict(
            EVERY_EPOCH, save_best='acc', rule='greater'
        ),
        **VALIDATED,
    )
    return folder


@pytest.fixture
def work_dir(trained, tmp_path):
    """A copy of it, in the place that `last_checkpoint` names."""
    folder = tmp_path / 'work'
    shutil.copytree(trained, folder)
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_4.pth'))
    return folder


@pytest.fixture
def said(monkeypatch):
    """What went to the log."""
    said = []
    monkeypatch.setattr(
        'bls_mm.checkpoint.files.print_log',
        lambda text, **_: said.append(text),
    )
    return said


def cut(path, share):
    os.truncate(path, int(path.stat().st_size * share))


def test_find_checkpoint_takes_the_one_that_is_named(work_dir, said):
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth'))
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')
    assert not said


def test_find_checkpoint_finds_none_before_the_first_one(tmp_path):
    assert find_checkpoint(tmp_path) is None
    assert find_checkpoint(tmp_path / 'missing') is None


@pytest.mark.parametrize('share', [0, 0.1, 0.9, 0.999])
def test_find_checkpoint_falls_back_when_the_last_is_cut_short(
    work_dir, said, share
):
    cut(work_dir / 'epoch_4.pth', share)
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')
    (text,) = said
    assert "epoch_4.pth', which is damaged. The run" in text
    assert text.endswith('resumed from ' + str(work_dir / 'epoch_3.pth.'))


def test_find_checkpoint_falls_back_when_the_last_is_gone(work_dir, said):
    (work_dir / 'epoch_4.pth').unlink()
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')
    (text,) = said
    assert "epoch_4.pth', which is not there. The run" in text


def test_find_checkpoint_passes_over_several_damaged_ones(work_dir):
    for number in (4, 3):
        cut(work_dir / f'epoch_{number}.pth', 0.5)
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


def test_find_checkpoint_finds_the_newest_without_a_name(work_dir):
    """A kill has emptied the file with the name; `best_*` is no choice."""
    (work_dir / 'last_checkpoint').write_text('')
    os.utime(work_dir / 'epoch_2.pth')
    assert list(work_dir.glob('best_*'))
    for path in work_dir.glob('best_*'):
        os.utime(path)
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')


def test_find_checkpoint_finds_a_folder_that_was_moved(work_dir, tmp_path):
    moved = work_dir.rename(tmp_path / 'moved')
    os.utime(moved / 'epoch_1.pth')
    assert find_checkpoint(moved) == str(moved / 'epoch_4.pth')


@pytest.mark.parametrize(
    'name',
    [
        '/home/someone/run/epoch_3.pth',
        'D:\\projects\\run 1\\epoch_3.pth',
        'work_dirs\\run\\epoch_3.pth',
        '\\\\server\\share\\epoch_3.pth',
        'C:/run/epoch_3.pth',
        'work_dirs/run/epoch_3.pth',
        './epoch_3.pth',
        '~/run/epoch_3.pth',
        '/home/ä ö/é/epoch_3.pth',
        'file:///home/some%20one/epoch_3.pth',
        'file:///D:/run/epoch_3.pth',
        '"D:\\run\\epoch_3.pth"',
        "'/home/someone/epoch_3.pth'",
        '/home/someone/epoch_3.pth/',
        '  /home/someone/epoch_3.pth\r\n\r\n',
    ],
)
def test_find_checkpoint_reads_the_name_of_another_place(work_dir, name):
    os.utime(work_dir / 'epoch_1.pth')
    (work_dir / 'last_checkpoint').write_bytes(name.encode())
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'cp1252'])
def test_find_checkpoint_reads_what_windows_has_written(work_dir, encoding):
    name = 'C:\\Läufe\\epoch_3.pth\r\n'
    (work_dir / 'last_checkpoint').write_bytes(name.encode(encoding))
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_3.pth')


def test_find_checkpoint_reads_accents_as_macos_writes_them(work_dir):
    apart, composed = 'e\u0301poche_3.pth', '\u00e9poche_3.pth'
    (work_dir / 'epoch_3.pth').rename(work_dir / composed)
    name = f'/Users/someone/run/{apart}'
    (work_dir / 'last_checkpoint').write_text(name, encoding='utf-8')
    assert find_checkpoint(work_dir) == str(work_dir / composed)


def test_find_checkpoint_takes_every_spelling_of_the_right_place(
    work_dir, monkeypatch, said
):
    path = work_dir / 'epoch_3.pth'
    monkeypatch.chdir(work_dir.parent)
    monkeypatch.setenv('HOME', str(work_dir.parent))
    for name in (
        'work/epoch_3.pth',
        '~/work/epoch_3.pth',
        f'{path}/',
        f'"{path}"\n',
        path.as_uri(),
    ):
        (work_dir / 'last_checkpoint').write_text(name)
        assert os.path.samefile(find_checkpoint(work_dir), path)
        assert os.path.isfile(find_checkpoint(work_dir))
    assert not said


def test_find_checkpoint_takes_mmengines_names_when_none_is_alike(
    work_dir, said
):
    """A checkpoint of another hook, as one saved when time was up."""
    (work_dir / 'last_checkpoint').write_text('/home/me/preempted.pth')
    os.utime(work_dir / 'epoch_2.pth')
    os.utime(next(work_dir.glob('best_*')))
    assert find_checkpoint(work_dir) == str(work_dir / 'epoch_2.pth')
    assert "'/home/me/preempted.pth', which is not there" in said[0]


def test_find_checkpoint_looks_where_the_last_one_was(work_dir, tmp_path):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    for number in (1, 2):
        name = f'epoch_{number}.pth'
        (work_dir / name).rename(elsewhere / name)
    for path in work_dir.glob('*.pth'):
        path.unlink()
    last = elsewhere / 'epoch_2.pth'
    cut(last, 0.5)
    (work_dir / 'last_checkpoint').write_text(str(last))
    assert find_checkpoint(work_dir) == str(elsewhere / 'epoch_1.pth')


def test_find_checkpoint_refuses_to_start_anew_beside_damaged_ones(work_dir):
    for path in work_dir.glob('epoch_*.pth'):
        cut(path, 0.5)
    with pytest.raises(ValueError, match='no other checkpoint can be'):
        find_checkpoint(work_dir)


@pytest.mark.parametrize('name', ['s3://bucket/run/epoch_4.pth', 'sharded'])
def test_find_checkpoint_leaves_what_it_cannot_read_to_mmengine(
    work_dir, name, monkeypatch
):
    monkeypatch.chdir(work_dir)
    (work_dir / 'sharded').mkdir()
    (work_dir / 'last_checkpoint').write_text(f'{name}\n')
    assert find_checkpoint(work_dir) == name


def test_is_complete_notices_a_changed_byte(work_dir):
    path = work_dir / 'epoch_4.pth'
    assert is_complete(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    assert not is_complete(path)


def test_is_complete_looks_into_folders(work_dir):
    folder = work_dir / 'sharded'
    folder.mkdir()
    for number in (1, 2):
        (work_dir / f'epoch_{number}.pth').rename(folder / f'rank{number}.pth')
    assert is_complete(folder)
    cut(folder / 'rank1.pth', 0.5)
    assert not is_complete(folder)


def test_train_resumes_from_the_newest_readable_checkpoint(work_dir):
    """What the command line makes of it, down to the runner."""
    cut(work_dir / 'epoch_4.pth', 0.5)
    config = work_dir / 'config.py'
    config.write_text("train_cfg = dict(by_epoch=True)\nwork_dir = 'none'\n")
    cfg = make_config(config, work_dir=str(work_dir), resume='auto')
    runner = make_runner(
        work_dir, resume=cfg.resume, load_from=cfg.load_from, val_cfg=None
    )
    runner.train_loop  # noqa: B018  has to be there to be resumed
    runner.load_or_resume()
    assert runner.epoch == 3
