"""A comparison as a table for the terminal and as a plot."""

import statistics
from pathlib import Path
from typing import Any, Dict, Sequence

from rich.table import Table

from .summary import Result, format_spread
from .variants import CONTROLS


def make_table(rows: Sequence[Dict[str, Any]], metric: str) -> Table:
    """Make the table for the terminal.

    Args:
        rows (list[dict]): From :func:`summarise_runs`.
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
        cells = [
            format_spread(row[key], form) for key, (_, form) in columns.items()
        ]
        table.add_row(row['variant'], row['setting'], *cells)
    return table


def save_plot(
    results: Sequence[Result],
    rows: Sequence[Dict[str, Any]],
    metric: str,
    file: Path,
) -> None:
    """Plot the metric against the visits, and the share kept per epoch.

    Args:
        results (list[dict]): Results of the runs.
        rows (list[dict]): Their summary, from :func:`summarise_runs`.
        metric (str): Name of the metric.
        file (Path): The file to write.
    """
    from matplotlib.figure import Figure  # takes long to import

    figure = Figure(figsize=(11, 4.2))
    left, right = figure.subplots(1, 2)
    for number, row in enumerate(rows):
        name = row['variant']
        runs = [r for r in results if r['settings']['variant'] == name]
        style = dict(color=f'C{number}', label=name)
        style['linestyle'] = '--' if name in CONTROLS else '-'
        _plot_metric(left, row, runs, metric, style)
        _plot_kept(right, runs, style)
    left.set(xlabel='samples visited', ylabel=metric)
    left.legend()
    right.set(xlabel='pass over the data', ylabel='samples kept (%)')
    right.set_ylim(0, 105)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _plot_metric(
    axes: Any,
    row: Dict[str, Any],
    runs: Sequence[Result],
    metric: str,
    style: Dict[str, str],
) -> None:
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


def _plot_kept(
    axes: Any, runs: Sequence[Result], style: Dict[str, str]
) -> None:
    """Share of the data that each pass visits, as the mean of the seeds."""
    kept = [
        statistics.mean(shares) for shares in zip(*(r['kept'] for r in runs))
    ]
    passes = range(1, len(kept) + 1)
    axes.plot(passes, [100 * share for share in kept], marker='.', **style)
