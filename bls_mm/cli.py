"""The command line of the package: `python -m bls_mm`, or `bls-mm`."""

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import List, Optional

from .version import __version__

# Command -> what it does. Its module, in `bls_mm.commands`, is imported when
# the command runs.
COMMANDS = {
    'train': 'train a config, optionally with data pruning',
    'compare': 'train with and without pruning, and compare',
    'report': 'show which samples a training found hard',
    'make-config': 'write a config that prunes the data of another one',
    'fidelity': 'measure how well scores match the true losses',
    'check-zoo': 'check that the configs of installed packages can be pruned',
}
EXAMPLES = """\
examples:
  %(prog)s train my_config.py --prune infobatch --target-saving 0.2
  %(prog)s compare my_config.py --prune infobatch random --target-saving 0.2
  %(prog)s report work_dirs/my_config
  %(prog)s train --help
"""


def main(
    argv: Optional[List[str]] = None, prog: str = 'bls-mm'
) -> Optional[int]:
    """Run a command.

    Args:
        argv (list[str], optional): The command and its arguments. Defaults
            to None, those of the process.
        prog (str): How the package was called. Defaults to 'bls-mm'.

    Returns:
        int or None: The exit status; None stands for 0.
    """
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in COMMANDS:
        name, *rest = words
        module = import_module(f'bls_mm.commands.{name.replace("-", "_")}')
        return module.main(rest, f'{prog} {name}')
    make_parser(prog).parse_args(words or ['--help'])
    return None


def run_script() -> Optional[int]:
    """Run `bls-mm`: like `python -m bls_mm`, it finds modules of the user.

    Configs name them in ``custom_imports``. A script alone would not look for
    them in the current folder.

    Returns:
        int or None: As :func:`main`.
    """
    if not getattr(sys.flags, 'safe_path', False):  # from Python 3.11 on
        sys.path.insert(0, os.getcwd())
    return main()


def make_parser(prog: str) -> argparse.ArgumentParser:
    """The parser of what stands in front of a command.

    Args:
        prog (str): How the package was called.

    Returns:
        ArgumentParser: A parser that knows the names of all commands.
    """
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog=prog,
        usage='%(prog)s COMMAND ...',
        description='Skip the training samples that an OpenMMLab model has '
        'already learned.\n\ncommands:\n'
        + '\n'.join(f'  {c:{width}}  {text}' for c, text in COMMANDS.items()),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('command', choices=COMMANDS, help=argparse.SUPPRESS)
    parser.add_argument('--version', action='version', version=__version__)
    return parser


def is_help() -> bool:
    """Whether this process only shows help on the command line and ends."""
    name, *words = getattr(sys, 'argv', None) or ['']
    ours = Path(name).stem == 'bls-mm'
    if name == '-m':  # what Python sets while it looks for the module
        process = getattr(sys, 'orig_argv', ['-m', ''])  # from Python 3.10 on
        ours = process[process.index('-m') + 1] == 'bls_mm'
    return ours and (not words or bool({'-h', '--help'} & {*words}))
