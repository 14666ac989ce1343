"""The command lines in the documents: as the tools take them."""

import argparse
import importlib.util
import json
import re

import pytest
from pages import (
    NOTEBOOK,
    PAGES,
    ROOT,
    blocks_of,
    commands_of,
    named,
    tokens_of,
)

from bls_mm.cli import COMMANDS
from bls_mm.zoo import zoo_path

# What the documents call the files of a reader.
PLACEHOLDERS = re.compile(r'CONFIG|my_\w+\.py')
# A command in the middle of a sentence, with something after its name.
COMMAND = re.compile(
    r'((python )?tools/[\w/]+\.py|(bls-mm|python -m bls_mm) [\w-]+) '
)
TARGETS = re.findall('(?m)^([a-z0-9-]+):', (ROOT / 'Makefile').read_text())


class ParsedError(Exception):
    """Stops a tool when it has parsed its command line."""


def parse(name, argv, monkeypatch):
    """Arguments as a tool takes them; ends the test if it refuses them."""
    dotted = name.replace('/', '.')
    spec = importlib.util.find_spec(dotted)
    if spec.submodule_search_locations:
        dotted += '.__main__'
    tool = importlib.import_module(dotted)
    if hasattr(tool, 'parse_args'):
        return tool.parse_args(argv)
    parse_args = argparse.ArgumentParser.parse_args

    def stop(self, args=None, namespace=None):
        raise ParsedError(parse_args(self, argv))

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, 'parse_args', stop)
        with pytest.raises(ParsedError) as caught:
            tool.main()
    return caught.value.args[0]


def tool_command(words):
    """The tool that a command comes down to, and its arguments."""
    if words[:3] == ['mim', 'train', 'bls_mm']:
        return 'tools.train', words[3:]
    if words[:3] == ['mim', 'run', 'bls_mm']:
        return f'tools.{words[3]}', words[4:]
    if words[0] == 'bls-mm':
        return package_command(words[1:])
    if 'bls_mm' in words and words[words.index('bls_mm') - 1] == '-m':
        return package_command(words[words.index('bls_mm') + 1 :])
    if words[0] == 'bash' or words[0].endswith('python'):
        words = words[1:]
    if words[:1] == ['-m'] and words[1].startswith('tools.'):
        return words[1], words[2:]
    tool = re.fullmatch(r'tools/([\w/]+)\.(py|sh)', words[0])
    if tool is None:
        return None, words
    if tool[1] == 'dist_train':
        return 'tools.train', [words[1], *words[3:]]
    if tool[1] == 'slurm_train':
        return 'tools.train', words[3:]
    return f'tools.{tool[1]}', words[1:]


def package_command(words):
    """The module of `bls-mm COMMAND`, and its arguments."""
    if words[0].startswith('-'):
        return 'bls_mm.cli', words
    assert words[0] in COMMANDS, words[0]
    return f'bls_mm.commands.{words[0].replace("-", "_")}', words[1:]


def check_command(words, monkeypatch):
    """Hold a command against what it would run."""
    words = [w for i, w in enumerate(words) if i or '=' not in w]
    if re.fullmatch(r'tools/dev/\w+\.sh', words[0]):
        script = (ROOT / words[0]).read_text()
        options = [w for w in words if w.startswith('--')]
        assert all(f'\n#   {option} ' in script for option in options)
        return
    tool, args = tool_command(words)
    if words[0] == 'make':
        assert words[1] in TARGETS
    if tool is None:
        assert not re.search('tools/|bls.mm', ' '.join(words)), 'what is it?'
        return
    parsed = parse(tool, args, monkeypatch)
    configs = [getattr(parsed, 'config', None)]
    configs += getattr(parsed, 'end_to_end', None) or []
    for config in configs:
        if config is not None and not PLACEHOLDERS.fullmatch(config):
            check_config_path(config, by_name=words[0] == 'mim')


def check_config_path(config, by_name):
    """Look whether a config is there; `mim` looks for the name alone."""
    if '::' in config:
        if importlib.util.find_spec(config.partition('::')[0]):
            assert zoo_path(config).is_file()
    elif by_name and '/' not in config:
        assert len(list((ROOT / 'configs').rglob(config))) == 1, config
    else:
        assert (ROOT / config).is_file(), config


@pytest.mark.parametrize('page', named(PAGES))
def test_commands_of_page_parse(page, monkeypatch):
    for block in blocks_of(page, 'shell', 'bash', ''):
        for words in commands_of(block):
            check_command(words, monkeypatch)


def test_commands_of_notebook_parse(monkeypatch):
    cells = json.loads(NOTEBOOK.read_text())['cells']
    code = '\n'.join(''.join(cell['source']) for cell in cells)
    commands = re.findall(r'(?m)^!(python (?:\\\n|[^>\n])*)', code)
    assert len(commands) > 2
    for command in commands:
        for words in commands_of(command):
            check_command(words, monkeypatch)


@pytest.mark.parametrize('page', named(PAGES))
def test_flags_in_text_of_page_exist(page, monkeypatch, capsys):
    for token in tokens_of(page):
        if token.type != 'code_inline' or not COMMAND.match(token.content):
            continue
        tool, _ = tool_command(token.content.split())
        with pytest.raises(SystemExit):
            parse(tool, ['--help'], monkeypatch)
        known = re.findall(r'(?<![\w-])--[\w-]+', capsys.readouterr().out)
        flags = re.findall(r'(?<= )--[\w-]+', token.content)
        assert set(flags) <= set(known), token.content
