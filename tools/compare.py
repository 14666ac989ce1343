"""Train a config in full and pruned, and say what pruning saves and costs.

    python tools/compare.py CONFIG --prune infobatch seta random \
        --seeds 0 1 2 --fewer-epochs

A variant is `PRUNER`, or `PRUNER:SCORE` as in `infobatch:ema:batch:alpha=0.7`.
The score `true` is the ceiling of all others: the true loss of every sample,
taken anew at the start of each epoch, which costs a forward pass over the
data. Each run is a process of its own. Two runs are honest controls: `random`
drops random samples, as many as the first variant that uses scores dropped
with the same seed; `--fewer-epochs` trains on all the data, with the whole
schedule compressed to as many visits as that variant made. Ends with a table
on the terminal, `compare.json` and `compare.png`; `compare_pool.py` compares
its variants with any other than the full run, and pools several tables.

After an interruption the same command goes on: finished runs are kept, the
one that was interrupted starts again. `bls_mm.comparison.compare` does the
same in Python.
"""

import argparse
from pathlib import Path

from mmengine.config import DictAction

from bls_mm.comparison import compare, make_console


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or package::path')
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
        help='ratio of the variants that use scores; defaults to those of '
        'the pruners',
    )
    parser.add_argument(
        '--target-saving',
        type=float,
        help='share of the visits that these variants should save, in place '
        'of a ratio',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument(
        '--fewer-epochs',
        action='store_true',
        help='also train on all the data with a shorter schedule',
    )
    parser.add_argument(
        '--metric', help='what to compare; defaults to the first val metric'
    )
    parser.add_argument(
        '--work-dir', help='defaults to work_dirs/compare_CONFIG'
    )
    parser.add_argument(
        '--resume',
        action=argparse.BooleanOptionalAction,
        default=True,
        help='keep the finished runs in the work dir, which is the default; '
        'runs with other settings are refused; `--no-resume` makes all anew',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings that override the config in all runs, as key=value',
    )
    return parser.parse_args(argv)


def main():
    args = parse_args()
    console = make_console()
    try:
        found = compare(**vars(args), console=console)
    except (FileNotFoundError, RuntimeError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    except KeyboardInterrupt:
        raise SystemExit(
            'Interrupted. Finished runs are kept; the command goes on with '
            'them unless it has `--no-resume`.'
        ) from None
    console.print(found.make_table())
    console.print(
        f'The same in {found.file}, a plot in {found.plot}',
        markup=False,
        soft_wrap=True,
    )


if __name__ == '__main__':
    main()
