r"""Pool the runs of several comparisons, against any of their variants.

    python tools/analysis_tools/compare_pool.py work_dirs/A work_dirs/B \
        --to random

Shows how far the metric of each variant is above that of `--to` with the same
seed (for an error, above is worse), for each work dir: the mean ± sample
standard deviation over the seeds. The last columns are for all work dirs
together: the mean, its standard error, and the shares of visits and of the
processor time of training that the variant saved, compared to the full run.
Metrics up to 1, such as an mAP, are shown in per cent, as accuracies are. The
table is Markdown. A comparison that has not ended counts with the runs that
have. `--csv` also writes a line for each run. In Python, this is
`bls_mm.comparison.pool`, `make_pool_table` and `write_runs`.
"""

import argparse
from pathlib import Path

from bls_mm.comparison import (
    make_console,
    make_pool_table,
    pool,
    read_metric,
    write_runs,
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--to', default='full', metavar='VARIANT', help='defaults to full'
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, help='defaults to all that were run'
    )
    parser.add_argument(
        '--csv', type=Path, metavar='FILE', help='also write all runs there'
    )
    return parser.parse_args(argv)


def main():
    args = parse_args()
    try:
        rows = pool(args.work_dirs, to=args.to, seeds=args.seeds)
        if args.csv:
            write_runs(args.csv, args.work_dirs)
        metrics = [f'{f.name} {read_metric(f)}' for f in args.work_dirs]
    except (OSError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    headings = [folder.name for folder in args.work_dirs]
    console = make_console()
    console.print(
        f'Metrics: {", ".join(metrics)}',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(make_pool_table(rows, headings, args.to))


if __name__ == '__main__':
    main()
