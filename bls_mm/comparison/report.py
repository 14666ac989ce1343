"""Summarise the runs of `tools/compare.py` as a table and a plot."""

import statistics
import sys

from rich.console import Console
from rich.table import Table

FULL = 'full'  # the variant that is saved against
RANDOM, FEWER = CONTROLS = 'random', 'fewer epochs'


def metric_of(result, metric=None):
    """Name and value of the metric that is compared.

    Args:
        result (dict): Result of a run.
        metric (str, optional): Name of the metric. Defaults to None, the
            first of the last validation.

    Returns:
        tuple[str, float]: Name and value.

    Raises:
        ValueError: If the run has no such metric.
    """
    metrics = result['metrics']
    name = metric or next(iter(metrics), None)
    if name not in metrics:
        raise ValueError(
            f'There is no metric `{metric}`. Known: {", ".join(metrics)}.'
            if metrics
            else 'The config has no validation, so nothing to compare.'
        )
    return name, metrics[name]


def summarise(results, metric=None):
    """Summarise the seeds of each variant.

    Args:
        results (list[dict]): Results of the runs, a full one for each seed.
        metric (str, optional): As for :func:`metric_of`.

    Returns:
        list[dict]: One row for each variant, with a mean and a sample
        standard deviation (None for one seed) of each number.
    """
    rows = []
    for name, pairs in pair_runs(results).items():
        runs = [run for run, _ in pairs]
        rows.append(
            dict(
                variant=name,
                setting=setting(runs),
                seeds=len(runs),
                metric=spread([metric_of(r, metric)[1] for r in runs]),
                to_full=spread([gained(pair, metric) for pair in pairs]),
                visited=spread([r['visited'] for r in runs]),
                saved=spread([saved(pair, 'visited') for pair in pairs]),
                train_seconds=spread([r['train_seconds'] for r in runs]),
                time_saved=spread(
                    [saved(pair, 'train_seconds') for pair in pairs]
                ),
            )
        )
    return rows


def pair_runs(results, to=FULL):
    """Pair the runs of each variant with those of one, seed by seed.

    Args:
        results (list[dict]): Results of the runs, `to` with every seed.
        to (str): The variant. Defaults to the full run.

    Returns:
        dict[str, list[tuple]]: For each variant its runs, in order, each with
        that of `to`.
    """
    others = {
        r['settings']['seed']: r
        for r in results
        if r['settings']['variant'] == to
    }
    pairs = {}
    for result in results:
        variant, seed = (result['settings'][k] for k in ('variant', 'seed'))
        pairs.setdefault(variant, []).append((result, others[seed]))
    return pairs


def gained(pair, metric):
    """By how much a run is better than the one that it is paired with."""
    result, other = (metric_of(run, metric)[1] for run in pair)
    return result - other


def saved(pair, key):
    """What a run saved of the full run with the same seed, in per cent."""
    result, full = pair
    return 100 * (1 - result[key] / full[key])


def setting(runs):
    """What a variant really used: its ratio, or the length of the run."""
    if runs[0]['target_saving'] is not None:
        return f'target_saving {runs[0]["target_saving"]:g}'
    ratios = [r['prune_ratio'] for r in runs if r['prune_ratio'] is not None]
    if ratios:
        return f'prune_ratio {show(spread(ratios), "{:.2f}")}'
    unit = 'epochs' if runs[0]['epochs'] else 'iterations'
    return f'{show(spread([r[unit] for r in runs]), "{:.4g}")} {unit}'


def spread(values):
    """Mean and sample standard deviation (None for one value)."""
    std = statistics.stdev(values) if len(values) > 1 else None
    return dict(mean=statistics.mean(values), std=std)


def show(value, form):
    """Write a mean, and the deviation if there is one that is not 0."""
    text = form.format(value['mean'])
    if not value['std']:
        return text
    return f'{text} ± {form.replace("+", "").format(value["std"])}'


def make_table(rows, metric):
    """The table for the terminal.

    Args:
        rows (list[dict]): From :func:`summarise`.
        metric (str): Name of the metric.

    Returns:
        Table: A table of rich.
    """
    seeds = rows[0]['seeds']
    note = f'mean ± sample standard deviation of {seeds} seeds'
    table = Table(caption=note if seeds > 1 else None)
    table.add_column('run')
    table.add_column('setting')
    digits = 2 if abs(rows[0]['metric']['mean']) > 1.5 else 4
    columns = {
        'metric': (metric, f'{{:.{digits}f}}'),
        'to_full': ('to full', f'{{:+.{digits}f}}'),
        'visited': ('samples visited', '{:,.0f}'),
        'saved': ('saved %', '{:.1f}'),
        'train_seconds': ('train time s', '{:.1f}'),
        'time_saved': ('time saved %', '{:.1f}'),
    }
    for heading, _ in columns.values():
        table.add_column(heading, justify='right')
    for row in rows:
        cells = [show(row[key], form) for key, (_, form) in columns.items()]
        table.add_row(row['variant'], row['setting'], *cells)
    return table


def print_table(table):
    """Print a table; not at 80 columns where the output goes to a file."""
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def plot(results, rows, metric, file):
    """Plot the metric against the visits, and the share kept per epoch."""
    import matplotlib  # not needed where only the schedule is asked for

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    for number, row in enumerate(rows):
        name = row['variant']
        runs = [r for r in results if r['settings']['variant'] == name]
        style = dict(color=f'C{number}', label=name)
        style['linestyle'] = '--' if name in CONTROLS else '-'
        plot_metric(left, row, runs, metric, style)
        plot_kept(right, runs, style)
    left.set(xlabel='samples visited', ylabel=metric)
    left.legend()
    right.set(xlabel='pass over the data', ylabel='samples kept (%)')
    right.set_ylim(0, 105)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)


def plot_metric(axes, row, runs, metric, style):
    """The mean of a variant with its deviation, and each of its seeds."""
    axes.errorbar(
        row['visited']['mean'],
        row['metric']['mean'],
        xerr=row['visited']['std'],
        yerr=row['metric']['std'],
        marker='o',
        capsize=3,
        **dict(style, linestyle='none'),
    )
    if len(runs) > 1:
        axes.scatter(
            [r['visited'] for r in runs],
            [r['metrics'][metric] for r in runs],
            color=style['color'],
            alpha=0.4,
            s=12,
        )


def plot_kept(axes, runs, style):
    """Share of the data that each pass visits, as the mean of the seeds."""
    kept = [
        statistics.mean(shares) for shares in zip(*(r['kept'] for r in runs))
    ]
    passes = range(1, len(kept) + 1)
    axes.plot(passes, [100 * share for share in kept], marker='.', **style)
