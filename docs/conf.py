"""How the site is built; see ``make docs``.

The source folder is that of the repository, not this one, so that links
between pages, READMEs and files are the same here and on GitHub.
"""

import io
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from docutils import nodes
from docutils.parsers.rst import Directive

from bls_mm.version import __version__

sys.path.append(str(Path(__file__).parents[1]))

project = 'bls_mm'
author = 'The bls_mm authors'
project_copyright = f'2026, {author}'
version = release = __version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
root_doc = 'docs/index'
include_patterns = ['*.md', 'docs/*.md', 'configs/*/README.md']
# Folders that need not be searched.
exclude_patterns = ['.*', 'bls_mm', 'data', 'tests', 'tools', 'work_dirs']

myst_heading_anchors = 4
highlight_language = 'text'

# Arguments stand in the docstrings of classes, with their types.
autodoc_class_signature = 'separated'
autodoc_default_options = {'exclude-members': '__init__, __new__'}
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'
napoleon_use_ivar = True
napoleon_use_rtype = False
smartquotes_action = 'D'  # quotes are code

html_theme = 'furo'
html_title = f'bls_mm {__version__}'
html_extra_path = ['_root']  # leads from / to docs/
html_copy_source = False


def help_of(parse_args, *prog):
    """What a command prints for ``--help``."""
    env = {'COLUMNS': '79', 'NO_COLOR': '1'}
    text = io.StringIO()
    with (
        patch.dict('os.environ', env),
        redirect_stdout(text),
        suppress(SystemExit),
    ):
        parse_args(['--help'], *prog)
    return [nodes.literal_block(text.getvalue(), text.getvalue())]


class ToolHelp(Directive):
    """``{tool-help} NAME``: what ``tools/NAME.py --help`` prints."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        tool = import_module(f'tools.{name}'.replace('/', '.'))
        with patch('sys.argv', [f'tools/{name}.py']):
            return help_of(tool.parse_args)


class CommandHelp(Directive):
    """``{command-help} NAME``: what ``bls-mm NAME --help`` prints."""

    required_arguments = 1

    def run(self):
        name = self.arguments[0]
        module = f'bls_mm.commands.{name.replace("-", "_")}'
        return help_of(import_module(module).parse_args, f'bls-mm {name}')


def setup(app):
    app.add_directive('tool-help', ToolHelp)
    app.add_directive('command-help', CommandHelp)
    return {'parallel_read_safe': True}
