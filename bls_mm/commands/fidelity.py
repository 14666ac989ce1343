"""Measure how well scores match the true losses of the samples."""

import argparse
from typing import List, Optional

from mmengine.config import DictAction

from .parsing import add_config, make_parser, short_errors

DESCRIPTION = """\
Measure how well scores match the true losses of the samples.

Trains the config once per batch size and seed, on all the data unless
`--prune` says otherwise. All scores see the same batches and change nothing.
`NAME:batch` scores by batch losses, `NAME` by the losses of single samples if
the model computes them; settings follow, as in
`ema:batch:alpha=0.7:init=first`. Every few passes the true loss of each
training sample alone is computed with the current weights,
without augmentation, and compared with the scores.

`offline` is not a score. It shows the best that batch losses allow: all
batches so far, solved together. `true`, in every table, is the true losses
themselves: the hardest samples of no score can hold more of the loss.

Ends with a table, `fidelity.json` and `fidelity.png`. After an interruption,
the same command continues: finished trainings are kept. In Python, the command
is `bls_mm.analysis.fidelity.measure_fidelity`.
"""
EXAMPLES = """\
  %(prog)s my_config.py --scores ema:batch mart:batch mart \\
      --batch-sizes 8 32 --every 3
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
        '--scores',
        nargs='+',
        default=['mart', 'ema', 'mart:batch', 'ema:batch'],
        metavar='NAME[:batch][:SETTING=VALUE]',
        help='defaults to mart and ema, both also with `:batch`; `offline` '
        'adds the best estimate from batch losses',
    )
    parser.add_argument(
        '--batch-sizes',
        nargs='+',
        type=int,
        metavar='N',
        help='defaults to that of the config; learning rates are scaled',
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0],
        metavar='N',
        help='defaults to 0',
    )
    parser.add_argument(
        '--every',
        type=int,
        default=3,
        metavar='PASSES',
        help='passes between two comparisons with the true losses; defaults '
        'to %(default)s',
    )
    parser.add_argument(
        '--prune',
        default='none',
        metavar='PRUNER',
        help='pruner, which uses the first of the scores; defaults to '
        '%(default)s',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/fidelity',
        metavar='DIR',
        help='where the trainings go; defaults to %(default)s',
    )
    parser.add_argument(
        '--resume',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='keep the finished trainings in the work dir, which is the '
        'default; those with other settings are refused; `--no-resume` '
        'repeats all',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='settings that override the config',
    )
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command; arguments as in :func:`parse_args`."""
    args = parse_args(argv, prog)
    from bls_mm.analysis.fidelity import make_fidelity_table, measure_fidelity
    from bls_mm.comparison import make_console

    console = make_console()
    with short_errors(prog):
        rows = measure_fidelity(**vars(args), console=console)
    console.print(make_fidelity_table(rows))
    console.print(
        f'The same in {args.work_dir}/fidelity.json, a plot in '
        f'{args.work_dir}/fidelity.png',
        markup=False,
        soft_wrap=True,
    )
