"""Pool the runs of several `tools/compare.py`, against any of their variants.

    python tools/analysis_tools/compare_pool.py work_dirs/A work_dirs/B \
        --to random

For each variant: by how much its metric is above that of `--to` with the same
seed, as the mean ± sample standard deviation of the seeds. The last columns
take all work dirs together and give the standard error of the mean, and what
the variant saved of the visits and of the processor time of training, of the
full run. Metrics up to 1, as an mAP, are shown in per cent, as accuracies
are. The table is Markdown.
"""

import argparse
import json
import math
from pathlib import Path

from rich import box
from rich.table import Table

from bls_mm.comparison.report import (
    FULL,
    gained,
    metric_of,
    pair_runs,
    print_table,
    saved,
    show,
    spread,
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--to', default=FULL, metavar='VARIANT', help='defaults to full'
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, help='defaults to all that were run'
    )
    return parser.parse_args(argv)


def main():
    args = parse_args()
    try:
        groups = [read_pairs(d, args.to, args.seeds) for d in args.work_dirs]
    except (OSError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    headings = [folder.name for folder in args.work_dirs]
    print_table(make_table(headings, groups, args.to))


def read_pairs(folder, to, seeds):
    """Pair the runs of each variant with those that they are compared to.

    Args:
        folder (Path): Work dir of a `tools/compare.py`.
        to (str): Variant to compare to.
        seeds (list[int], optional): Those to read; None for all.

    Returns:
        dict[str, list[dict]]: For each variant and seed the metric, by how
        much it is above that of `to`, and the shares of the visits and of
        the processor time that it saved of the full run. All in per cent.

    Raises:
        FileNotFoundError: If no `tools/compare.py` ended there.
        ValueError: If it did not run `to`, or none of the seeds.
    """
    file = folder / 'compare.json'
    content = json.loads(file.read_text())
    runs = [
        run
        for run in content['runs']
        if seeds is None or run['settings']['seed'] in seeds
    ]
    to_full = pair_runs(runs)
    if to not in to_full:
        raise ValueError(
            f'{file} has no run of `{to}` with these seeds. '
            f'It has {", ".join(to_full) or "none"}.'
        )
    metric = content['metric']
    unit = 100 if metric_of(to_full[to][0][0], metric)[1] <= 1 else 1
    return {
        name: [
            dict(
                metric=unit * metric_of(pair[0], metric)[1],
                gained=unit * gained(pair, metric),
                visits=saved(with_full, 'visited'),
                cpu=saved(with_full, 'cpu_seconds'),
            )
            for pair, with_full in zip(pairs, to_full[name])
        ]
        for name, pairs in pair_runs(runs, to).items()
    }


def make_table(headings, groups, to):
    """The table, with a column for each work dir and those for all.

    Args:
        headings (list[str]): Names of the work dirs.
        groups (list[dict]): From :func:`read_pairs`, one for each.
        to (str): Variant that is compared to; its row has the metric itself.

    Returns:
        Table: A table of rich.
    """
    table = Table(box=box.MARKDOWN)
    for heading in (f'to {to}', *headings, 'all'):
        table.add_column(heading)
    for heading in ('error', 'runs', 'visits saved %', 'CPU saved %'):
        table.add_column(heading, justify='right')
    for name in dict.fromkeys(name for group in groups for name in group):
        columns = [group.get(name, []) for group in groups]
        pairs = [pair for column in columns for pair in column]
        if name == to:
            cells = [*(show_values(c, 'metric') for c in columns), '', '']
        else:
            cells = [show_values(c, 'gained') for c in [*columns, pairs]]
            cells.append(show_error(pairs))
        table.add_row(
            name,
            *cells,
            str(len(pairs)),
            *(show_values(pairs, key, '.1f') for key in ('visits', 'cpu')),
        )
    return table


def show_values(pairs, key, form=None):
    """Mean ± deviation of what is under `key`. Empty without pairs."""
    if not pairs:
        return ''
    form = form or ('+.2f' if key == 'gained' else '.2f')
    return show(spread([pair[key] for pair in pairs]), f'{{:{form}}}')


def show_error(pairs):
    """Standard error of the mean difference. Empty for a single run."""
    std = spread([pair['gained'] for pair in pairs])['std']
    return '' if std is None else f'{std / math.sqrt(len(pairs)):.2f}'


if __name__ == '__main__':
    main()
