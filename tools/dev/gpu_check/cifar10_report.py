"""The rows of runs as CSV, and their table paired by seed."""

import csv
import math
import statistics

FULL = 'full'
MEASURED = [
    'accuracy', 'accuracy_mirrored', 'train_loss', 'visits', 'seconds',
]  # fmt: skip
FIELDS = ['row', 'epochs', 'saving', 'seed', *MEASURED, 'device']
HEADINGS = [
    'row', 'seeds', 'accuracy %', 'to full', 'its error', 'mirrored too %',
    'training loss', 'visits', 'visits saved', 'seconds', 'time saved',
]  # fmt: skip


def append(file, run):
    """Add a run to a CSV file, which gets a header if it is new."""
    is_new = not file.exists()
    with open(file, 'a', newline='') as stream:
        writer = csv.DictWriter(stream, FIELDS)
        if is_new:
            writer.writeheader()
        writer.writerow(run)


def summarize(runs):
    """One entry for each row of a schedule, paired with the full runs.

    Args:
        runs (list[dict]): Runs of one schedule.

    Returns:
        list[dict]: Means over the seeds that the row and `full` have in
        common; `error` is the standard error of the mean difference, None
        for a single seed. Empty without a full run.
    """
    full = {run['seed']: run for run in runs if run['row'] == FULL}
    entries = []
    for row in dict.fromkeys(run['row'] for run in runs):
        pairs = [
            (run, full[run['seed']])
            for run in runs
            if run['row'] == row and run['seed'] in full
        ]
        if not pairs:
            continue
        mean = {
            key: statistics.fmean(run[key] for run, _ in pairs)
            for key in MEASURED
        }
        gained = [run['accuracy'] - base['accuracy'] for run, base in pairs]
        entries.append(
            dict(
                mean,
                row=row,
                seeds=len(pairs),
                gained=statistics.fmean(gained),
                error=standard_error(gained),
                visits_saved=saved(pairs, 'visits'),
                time_saved=saved(pairs, 'seconds'),
            )
        )
    return entries


def standard_error(values):
    """That of the mean; None for a single value."""
    if len(values) < 2:
        return None
    return statistics.stdev(values) / math.sqrt(len(values))


def saved(pairs, key):
    """Share that the runs saved of what the full runs needed."""
    return 1 - sum(r[key] for r, _ in pairs) / sum(b[key] for _, b in pairs)


def make_table(runs):
    """The table of a schedule, in Markdown."""
    lines = [HEADINGS, ['---', *['---:'] * (len(HEADINGS) - 1)]]
    for entry in summarize(runs):
        is_full = entry['row'] == FULL
        error = entry['error']
        lines.append(
            [
                entry['row'],
                str(entry['seeds']),
                f'{entry["accuracy"]:.2f}',
                '' if is_full else f'{entry["gained"]:+.2f}',
                '' if is_full or error is None else f'{error:.2f}',
                f'{entry["accuracy_mirrored"]:.2f}',
                f'{entry["train_loss"]:.3f}',
                f'{entry["visits"]:,.0f}',
                '' if is_full else f'{entry["visits_saved"]:.1%}',
                f'{entry["seconds"]:.1f}',
                '' if is_full else f'{entry["time_saved"]:.1%}',
            ]
        )
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def make_page(runs, caption):
    """All tables, in Markdown: one for each schedule."""
    parts = []
    for epochs in sorted({run['epochs'] for run in runs}):
        of_schedule = [run for run in runs if run['epochs'] == epochs]
        parts.append(f'### {epochs} epochs\n\n{make_table(of_schedule)}\n')
    return '\n'.join([*parts, f'{caption}\n'])
