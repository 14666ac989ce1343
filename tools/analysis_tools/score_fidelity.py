"""Measure how well scores follow the true losses of the samples.

    python tools/analysis_tools/score_fidelity.py CONFIG \
        --scores ema:batch mart:batch mart --batch-sizes 8 32 --every 3

Trains CONFIG once a batch size and seed, on all the data unless `--prune`
says otherwise, with all scores side by side: they see the same batches and
change nothing. `NAME:batch` is a score of batch losses, `NAME` the same one of
the losses of single samples, where the model computes them; settings follow,
as in `ema:batch:alpha=0.7:init=first`. Every few passes the true loss of each
training sample is taken with the weights of the moment, one sample at a time,
without augmentation, and compared with the scores. `offline` is no score, but
what can be had from batch losses at all: all of the batches so far, solved
together. `true`, in every table, is the truth itself: no score's top can hold
more of the loss. Ends with a table, `fidelity.json` and `fidelity.png`.

After an interruption the same command goes on: finished trainings are kept.
`bls_mm.analysis.measure_fidelity` does the same in Python.
"""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from bls_mm.analysis.fidelity import make_fidelity_table, measure_fidelity
from bls_mm.comparison import make_console


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or package::path')
    parser.add_argument(
        '--scores',
        nargs='+',
        default=['mart', 'ema', 'mart:batch', 'ema:batch'],
        metavar='NAME[:batch][:SETTING=VALUE]',
        help='defaults to mart and ema, both also with `:batch`; `offline` '
        'adds the best estimate from batch losses',
    )
    parser.add_argument('--batch-sizes', nargs='+', type=int)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument(
        '--every', type=int, default=3, help='passes from truth to truth'
    )
    parser.add_argument(
        '--prune', default='none', help='prune by the first of the scores'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/fidelity',
        help='defaults to work_dirs/fidelity',
    )
    parser.add_argument(
        '--resume',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='keep the finished trainings in the work dir; those with other '
        'settings are refused; `--no-resume` makes all anew',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}
    )
    return parser.parse_args(argv)


def main():
    args = parse_args()
    console = make_console()
    try:
        rows = measure_fidelity(**vars(args), console=console)
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    console.print(make_fidelity_table(rows))
    console.print(f'The same in {args.work_dir}/fidelity.json and .png')


if __name__ == '__main__':
    main()
