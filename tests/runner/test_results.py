"""Results in files: kept, refused, torn."""

import pytest

from bls_mm.runner.results import read_result, start_run, write_json

SETTINGS = dict(config_hash='a', options=dict(sizes=(1, 2)), ratio=0.5)


@pytest.fixture
def folder(tmp_path):
    """The folder of a run that has ended."""
    folder = tmp_path / 'run'
    start_run(folder, SETTINGS)
    write_json(folder / 'result.json', dict(settings=SETTINGS, loss=1.5))
    return folder


def test_result_is_read_where_the_settings_are_the_same(folder):
    assert read_result(folder, SETTINGS)['loss'] == 1.5


@pytest.mark.parametrize(
    'change, told',
    [
        (dict(ratio=0.25), '`ratio` was 0.5 and is 0.25'),
        (dict(config_hash='b'), 'the content of the config has changed'),
        (dict(score='ema'), "`score` was None and is 'ema'"),
        (dict(options={}), r"`options` was {'sizes': \[1, 2\]} and is {}"),
    ],
)
def test_result_of_other_settings_is_refused(folder, change, told):
    with pytest.raises(ValueError, match=f'run has the result .*{told}.*--no'):
        read_result(folder, {**SETTINGS, **change})


@pytest.mark.parametrize(
    'content', ['', '{"settings": {"config', '{}', '[]', None]
)
def test_torn_or_missing_result_is_none(folder, content):
    file = folder / 'result.json'
    file.write_text(content) if content is not None else file.unlink()
    assert read_result(folder, SETTINGS) is None


def test_run_starts_without_what_another_left(folder):
    (folder / 'epoch_3.pth').touch()
    start_run(folder, SETTINGS)
    assert [file.name for file in folder.iterdir()] == ['settings.json']


def test_folder_of_something_else_is_not_emptied(tmp_path):
    (tmp_path / 'thesis.tex').touch()
    start_run(tmp_path, SETTINGS)
    assert (tmp_path / 'thesis.tex').exists()


def test_what_is_no_json_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / 'a.json'
    write_json(file, [1])
    with pytest.raises(TypeError):
        write_json(file, [object()])
    assert file.read_text() == '[\n  1\n]\n'
