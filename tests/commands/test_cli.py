"""`python -m bls_mm` and `bls-mm`: dispatch, and help that does not wait."""

import shlex
import subprocess
import sys
from importlib import import_module

import pytest

from bls_mm import __version__, cli
from bls_mm.commands import train


def test_command_gets_its_arguments_and_its_name(monkeypatch):
    calls = []
    monkeypatch.setattr(train, 'main', lambda *args: calls.append(args) or 3)
    assert cli.main(['train', 'config.py', '--amp'], 'bls-mm') == 3
    assert calls == [(['config.py', '--amp'], 'bls-mm train')]


def test_script_finds_modules_of_the_current_folder(tmp_path, monkeypatch):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(sys, 'argv', ['bls-mm', 'train', 'config.py'])
    monkeypatch.setattr(train, 'main', lambda *args: seen.append(sys.path[0]))
    cli.run_script()
    assert seen == [str(tmp_path)]


def test_unknown_command_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        cli.main(['trian', 'config.py'])
    error = capsys.readouterr().err
    assert "bls-mm: error: argument command: invalid choice: 'trian'" in error
    assert 'check-zoo' in error


def test_version_is_told(capsys):
    with pytest.raises(SystemExit):
        cli.main(['--version'])
    assert capsys.readouterr().out == f'{__version__}\n'


@pytest.mark.parametrize('argv', [[], ['--help']])
def test_help_lists_all_commands(argv, capsys):
    with pytest.raises(SystemExit):
        cli.main(argv, 'bls-mm')
    text = capsys.readouterr().out
    for name, summary in cli.COMMANDS.items():
        assert name in text and summary in text


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_examples_in_the_help_of_a_command_parse(name, capsys):
    module = import_module(f'bls_mm.commands.{name.replace("-", "_")}')
    prog = f'bls-mm {name}'
    with pytest.raises(SystemExit):
        module.parse_args(['--help'], prog)
    text = capsys.readouterr().out
    assert text.startswith(f'usage: {prog} ')
    examples = text.partition('\nexamples:\n')[2].replace('\\\n', ' ')
    commands = [line.partition(f'{prog} ')[2] for line in examples.split('\n')]
    commands = [shlex.split(command) for command in commands if command]
    assert commands
    for words in commands:
        module.parse_args(words)


@pytest.mark.skipif(sys.version_info < (3, 10), reason='see `cli.is_help`')
@pytest.mark.parametrize('command', [[], *([name] for name in cli.COMMANDS)])
def test_help_does_not_import_torch(command):
    done = subprocess.run(
        [sys.executable, '-X', 'importtime', '-m', 'bls_mm']
        + [*command, '--help'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(
        f'usage: {" ".join(["python -m bls_mm", *command])} '
    )
    modules = {
        line.rpartition('|')[2].strip() for line in done.stderr.split('\n')
    }
    assert 'bls_mm.cli' in modules
    assert not modules & {'torch', 'mmcv', 'mmdet', 'mmpretrain', 'mmseg'}


@pytest.mark.parametrize(
    'argv, process, expected',
    [
        (['bin/bls-mm', '--help'], [], True),
        (['bin/bls-mm'], [], True),
        (['bin/bls-mm', 'train', '-h'], [], True),
        (['bin/bls-mm', 'train', 'x.py'], [], False),
        (['-m', '--help'], ['python', '-u', '-m', 'bls_mm', '--help'], True),
        (['-m', 'train'], ['python', '-m', 'bls_mm', 'train'], False),
        (['-m', '--help'], ['python', '-m', 'bls_mm.x', '--help'], False),
        (['train.py', '--help'], ['python', 'train.py', '--help'], False),
        ([], [], False),
    ],
)
def test_only_own_help_skips_the_imports(monkeypatch, argv, process, expected):
    monkeypatch.setattr(sys, 'argv', argv)
    monkeypatch.setattr(sys, 'orig_argv', process, raising=False)
    assert cli.is_help() is expected
