"""Show which samples a pruned training found hard."""

import argparse
from pathlib import Path
from typing import List, Optional

from .parsing import make_parser, say, short_errors

DESCRIPTION = """\
Report which samples a pruned training found hard, from its checkpoints.

Writes `report.html`, one file to open in a browser, and `scores.csv` into
the folder `analyze` of the work dir. Nothing is trained. Run it where the
training ran, since the config names the data by relative paths.
`bls_mm.analysis.analyze_scores` does the same in Python.
"""
EXAMPLES = """\
  %(prog)s work_dirs/my_config
  %(prog)s work_dirs/my_config --out reports/first --top 50
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
    parser.add_argument('work_dir', type=Path, help='where the run was saved')
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder to write; defaults to WORK_DIR/analyze',
    )
    parser.add_argument(
        '--top',
        type=int,
        default=16,
        metavar='N',
        help='pictures of each kind; defaults to %(default)s',
    )
    args = parser.parse_args(argv)
    if args.top < 0:
        parser.error(f'`--top` should be 0 or more, but got {args.top}.')
    return args


def main(argv: Optional[List[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command; arguments as in :func:`parse_args`."""
    args = parse_args(argv, prog)
    from bls_mm.analysis import WorkDirError, analyze_scores

    with short_errors(prog, WorkDirError):
        report = analyze_scores(args.work_dir, args.out, args.top)
    for sentence in (*report.answer.paid, *report.answer.hard):
        say(sentence)
    say(f'Wrote {report.page} and {report.table}')
