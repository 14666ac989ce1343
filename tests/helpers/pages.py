"""The documents as the tests read them."""

import shlex
from pathlib import Path
from string import Template

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PATTERNS = ('*.md', 'docs/*.md', 'configs/*/README.md')
PAGES = [p for pattern in PATTERNS for p in sorted(ROOT.glob(pattern))]
NOTEBOOK = ROOT / 'docs' / 'first_run.ipynb'


def tokens_of(page):
    """Markdown tokens of a page, those inside of a line included."""
    for token in MarkdownIt().enable('table').parse(page.read_text()):
        yield token
        yield from token.children or ()


def blocks_of(page, *languages):
    """The code blocks of a page in some languages; '' are indented ones."""
    return [
        token.content
        for token in tokens_of(page)
        if token.type in ('fence', 'code_block') and token.info in languages
    ]


def named(pages):
    """Pages as parameters of a test."""
    return [
        pytest.param(page, id=page.relative_to(ROOT).as_posix())
        for page in pages
    ]


def commands_of(text):
    """Words of each command of a script, its variables filled in."""
    variables = {}
    for line in text.replace('\\\n', ' ').splitlines():
        line = Template(line).safe_substitute(variables)
        words = shlex.split(line, comments=True)
        if len(words) == 1 and words[0].partition('=')[0].isidentifier():
            name, _, value = words[0].partition('=')
            variables[name] = value
        elif words:
            yield words
