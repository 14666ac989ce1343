"""What the command lines have in common."""

import argparse
import sys
from contextlib import contextmanager
from typing import Iterator, Optional, Tuple, Type


def make_parser(
    description: str, examples: str, prog: Optional[str] = None
) -> argparse.ArgumentParser:
    """Make a parser whose help ends with examples.

    Args:
        description (str): What the command does.
        examples (str): Command lines, ``%(prog)s`` in front.
        prog (str, optional): How the command is called. Defaults to None,
            the script that is running.

    Returns:
        ArgumentParser: The parser.
    """
    return argparse.ArgumentParser(
        prog=prog or _script(),
        description=description,
        epilog=f'examples:\n{examples.rstrip()}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the config, a positional argument."""
    parser.add_argument(
        'config',
        help='a config file, or one of an installed package as PACKAGE::PATH',
    )


def add_pruning_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how to prune, once `--prune` says by which rule."""
    parser.add_argument(
        '--prune-ratio',
        type=float,
        metavar='SHARE',
        help='share of the prunable samples to drop, in [0, 1); defaults to '
        'that of the pruner',
    )
    parser.add_argument(
        '--target-saving',
        type=float,
        metavar='SHARE',
        help='share of the visits of the whole run to save, in (0, 1), '
        'instead of `--prune-ratio`',
    )
    parser.add_argument(
        '--score',
        metavar='NAME[:batch][:SETTING=VALUE]',
        help='what to score samples by, such as `ema:batch:alpha=0.7`; '
        '`batch` ignores the losses of single samples',
    )


@contextmanager
def short_errors(
    prog: Optional[str] = None, *others: Type[Exception]
) -> Iterator[None]:
    """Turn errors about what the user asked for into one line and exit.

    Args:
        prog (str, optional): How the command is called. Defaults to None,
            the script that is running.
        *others (type): Errors to turn besides ``OSError``, ``TypeError`` and
            ``ValueError``.

    Raises:
        SystemExit: If there is such an error.
    """
    errors: Tuple[Type[Exception], ...] = (OSError, TypeError, ValueError)
    try:
        yield
    except errors + others as error:
        raise SystemExit(f'{prog or _script()}: error: {error}') from None


def _script() -> str:
    return f'python {sys.argv[0]}'


def say(text: str) -> None:
    """Write to the standard output."""
    sys.stdout.write(f'{text}\n')
    sys.stdout.flush()
