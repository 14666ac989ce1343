"""Write the config file that prunes the data of another config."""

import argparse
import shlex
from typing import List, Optional

from .parsing import (
    add_config,
    add_pruning_options,
    make_parser,
    say,
    short_errors,
)

DESCRIPTION = """\
Write the config file that prunes the data of another config.

The file inherits from the other one and sets only what changes. Any launcher
trains it.
"""
EXAMPLES = """\
  %(prog)s my_config.py --prune infobatch --target-saving 0.2 \\
      -o my_config_pruned.py

  # print the whole config and the plan of its training, write nothing
  %(prog)s mmdet::retinanet/retinanet_r50_fpn_1x_coco.py \\
      --prune seta --dry-run
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: Optional[str] = None
) -> argparse.Namespace:
    """Read the command line.

    Args:
        argv (list[str], optional): The words. Defaults to None, those of the
            process.
        prog (str, optional): How the command is called. Defaults to None,
            the script that is running.

    Returns:
        Namespace: The options.
    """
    parser = make_parser(DESCRIPTION, EXAMPLES, prog)
    add_config(parser)
    parser.add_argument(
        '--prune',
        default='infobatch',
        metavar='{infobatch,importance,seta,random,none}',
        help='how to prune the data; defaults to infobatch',
    )
    add_pruning_options(parser)
    parser.add_argument('-o', '--output', metavar='FILE', help='file to write')
    parser.add_argument(
        '--force', action='store_true', help='overwrite an existing file'
    )
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='print the config and the plan of its training: passes, '
        'iterations, visits, validations and checkpoints; write nothing',
    )
    args = parser.parse_args(argv)
    if args.output is None and not args.dry_run:
        parser.error('`-o FILE` or `--dry-run` is needed.')
    return args


def main(argv: Optional[List[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command; arguments as in :func:`parse_args`."""
    args = parse_args(argv, prog)
    settings = vars(args)
    output, force = settings.pop('output'), settings.pop('force')
    with short_errors(prog):
        if settings.pop('dry_run'):
            from bls_mm.runner.build import make_config

            from .train import show_plan

            show_plan(make_config(**settings))
            return
        from bls_mm.config import write_config

        path = write_config(output=output, force=force, **settings)
    command = f'python -m bls_mm train {shlex.quote(str(path))}'
    say(f'Wrote {path}. To train it: {command}')
