"""Train a config in full and pruned, and compare."""

import argparse
from typing import List, Optional

from mmengine.config import DictAction

from .parsing import add_config, make_parser, short_errors

DESCRIPTION = """\
Train a config with and without pruning, and report savings and costs.

A variant is `PRUNER`, or `PRUNER:SCORE` as in `infobatch:ema:batch:alpha=0.7`.
The score `true` is an upper bound for all others: the true loss of every
sample, recomputed before each selection, which costs a forward pass over
the data. Two variants are controls: `random` drops random samples;
`--fewer-epochs` trains on all the data, with the whole schedule compressed.
Both save `--target-saving` or, without it, as many visits as the first variant
that uses scores saved with the same seed.

Each run is a process of its own. After an interruption, the same command
continues: finished runs are kept, the one that was interrupted starts again.

Ends with a table on the terminal, `compare.json` and `compare.png`.
`tools/analysis_tools/compare_pool.py` pools several comparisons, and compares
with any variant instead of the full run. In Python, the command is
`bls_mm.comparison.compare`.
"""
EXAMPLES = """\
  %(prog)s my_config.py --prune infobatch seta random \\
      --target-saving 0.2 --fewer-epochs --seeds 0 1 2
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
        nargs='+',
        default=['infobatch', 'random'],
        metavar='PRUNER[:SCORE]',
        help='the pruned variants; defaults to infobatch and random',
    )
    parser.add_argument(
        '--prune-ratio',
        type=float,
        metavar='SHARE',
        help='ratio of the variants that use scores; defaults to those of '
        'the pruners',
    )
    parser.add_argument(
        '--target-saving',
        type=float,
        metavar='SHARE',
        help='share of the visits that the pruned variants save, instead of '
        'a ratio',
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0],
        metavar='N',
        help='all variants are trained with each of these seeds; defaults '
        'to 0',
    )
    parser.add_argument(
        '--fewer-epochs',
        action='store_true',
        help='also train on all the data with a shorter schedule',
    )
    parser.add_argument(
        '--metric',
        help='metric to compare; defaults to mIoU (mmseg), hmean (mmocr) or '
        'the first of the validation',
    )
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help='where the runs go; defaults to work_dirs/compare_CONFIG',
    )
    parser.add_argument(
        '--resume',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='keep the finished runs in the work dir, which is the default; '
        'runs with other settings are refused; `--no-resume` repeats all',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='settings that override the config in all runs',
    )
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command; arguments as in :func:`parse_args`."""
    args = parse_args(argv, prog)
    from bls_mm.comparison import compare, make_console

    console = make_console()
    try:
        with short_errors(prog):
            found = compare(**vars(args), console=console)
    except KeyboardInterrupt:
        raise SystemExit(
            'Interrupted. Finished runs are kept: the same command continues '
            'from them, unless it has `--no-resume`.'
        ) from None
    console.print(found.make_table())
    console.print(
        f'The same in {found.file}, a plot in {found.plot}',
        markup=False,
        soft_wrap=True,
    )
