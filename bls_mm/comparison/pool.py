"""Several comparisons as one, against any of their variants."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple, Union

from rich import box
from rich.table import Table

from bls_mm.runner.results import RESULT

from .summary import (
    METRIC,
    Result,
    Spread,
    compute_difference,
    compute_saving,
    find_metric,
    format_spread,
    pair_runs,
    spread,
)
from .variants import FEWER, FULL, RANDOM

# For each variant its runs, each with numbers in per cent.
Group = Dict[str, List[Dict[str, float]]]


@dataclass(frozen=True)
class PooledRow:
    """A variant in all work dirs.

    Attributes:
        variant (str): Name of the variant.
        groups (list[dict or None]): For each work dir the spread of the
            differences, for the variant that is compared to of the metric
            itself; None where the variant was not run.
        all (dict or None): Spread of the differences in all work dirs
            together; None for the variant that is compared to.
        error (float or None): Standard error of that mean; None for one run.
        runs (int): Number of runs.
        visits_saved (dict): Spread of the visits saved of the full run.
        cpu_saved (dict): The same of the processor time of training.
    """

    variant: str
    groups: List[Optional[Spread]]
    all: Optional[Spread]
    error: Optional[float]
    runs: int
    visits_saved: Spread
    cpu_saved: Spread


def pool(
    work_dirs: Sequence[Union[str, Path]],
    *,
    to: str = FULL,
    seeds: Optional[Sequence[int]] = None,
) -> List[PooledRow]:
    """Pool comparisons: how far the variants are above one of them.

    Above is worse where the metric is an error.

    Runs are paired by work dir and seed. Numbers are in per cent: metrics up
    to 1, such as an mAP, are multiplied by 100. A comparison that has not
    ended counts with the runs that have, of the seeds that have one of ``to``.

    Args:
        work_dirs (list[str or Path]): Those of :func:`compare`.
        to (str): Variant to compare to. Defaults to 'full'.
        seeds (list[int], optional): Those to read. Defaults to None, all.

    Returns:
        list[PooledRow]: One for each variant.

    Raises:
        FileNotFoundError: If no run ended in one of the folders.
        ValueError: If one did not run ``to``, or none of the seeds, or has
            runs that were not made alike.
    """
    groups = [_read_group(Path(folder), to, seeds) for folder in work_dirs]
    names = dict.fromkeys(name for group in groups for name in group)
    return [
        _pool_row(name, [group.get(name, []) for group in groups], name == to)
        for name in names
    ]


def _read_group(
    folder: Path, to: str, seeds: Optional[Sequence[int]]
) -> Group:
    metric, runs = _read_runs(folder)
    known = [
        r for r in runs if seeds is None or r['settings']['seed'] in seeds
    ]
    runs = [
        run
        for run in known
        if {FULL, to} <= _list_variants(known, run['settings']['seed'])
    ]
    if not runs:
        names = dict.fromkeys(run['settings']['variant'] for run in known)
        raise ValueError(
            f'{folder} has no run of `{to}` with these seeds. '
            f'It has {", ".join(names) or "none"}.'
        )
    to_full = pair_runs(runs)
    unit = 100 if find_metric(to_full[to][0][0], metric)[1] <= 1 else 1
    return {
        name: [
            dict(
                metric=unit * find_metric(pair[0], metric)[1],
                difference=unit * compute_difference(pair, metric),
                visits=compute_saving(with_full, 'visited'),
                cpu=compute_saving(with_full, 'cpu_seconds'),
            )
            for pair, with_full in zip(pairs, to_full[name])
        ]
        for name, pairs in pair_runs(runs, to).items()
    }


def _read_runs(folder: Path) -> Tuple[Optional[str], List[Result]]:
    """The metric, None for the default, and the runs in the order made.

    ``compare.json`` has only the variants and seeds that were asked for last.
    """
    files = sorted(
        folder.glob(f'seed*/*/{RESULT}'), key=lambda f: f.stat().st_mtime_ns
    )
    if not files:
        raise FileNotFoundError(f'{folder} has no run that has ended.')
    runs = [json.loads(file.read_text()) for file in files]
    settings = [run['settings'] for run in runs]
    for key in ('config_hash', 'cfg_options', 'target_saving'):
        values = [s[key] for s in settings if s[key] is not None]
        if any(value != values[0] for value in values):
            raise ValueError(
                f'{folder} has runs with another `{key}` than the others, '
                'from before `--no-resume`. Remove those.'
            )
    _check_variants(folder, settings)
    metric = None
    for name in ('compare.json', METRIC):  # old: the first
        if (folder / name).exists():
            metric = json.loads((folder / name).read_text())['metric']
    return metric, runs


def _check_variants(folder: Path, settings: List[Dict[str, Any]]) -> None:
    """Refuse seeds of a variant that were not pruned alike."""
    pruned = {s['variant'] for s in settings} - {FULL, FEWER}
    for variant in sorted(pruned):
        for key in ('target_saving', 'prune_ratio'):
            if key == 'prune_ratio' and variant == RANDOM and len(pruned) > 1:
                continue  # may be matched to another variant, seed by seed
            values = [s.get(key) for s in settings if s['variant'] == variant]
            if any(value != values[0] for value in values):
                raise ValueError(
                    f'{folder} has runs of `{variant}` with `{key}` '
                    f'{" and ".join(map(str, dict.fromkeys(values)))}. '
                    'Remove those that are not meant.'
                )


def read_metric(work_dir: Union[str, Path]) -> str:
    """The name of the metric that a comparison is pooled by.

    Args:
        work_dir (str or Path): That of :func:`compare`, ended or not.

    Raises:
        FileNotFoundError: If no run ended there.
    """
    metric, runs = _read_runs(Path(work_dir))
    return find_metric(runs[0], metric)[0]


def _list_variants(runs: Sequence[Result], seed: int) -> Set[str]:
    settings = [run['settings'] for run in runs]
    return {s['variant'] for s in settings if s['seed'] == seed}


def write_runs(
    file: Union[str, Path], work_dirs: Sequence[Union[str, Path]]
) -> None:
    """Write a CSV file with a line for each run of some comparisons.

    Args:
        file (str or Path): The file to write.
        work_dirs (list[str or Path]): Those of :func:`compare`, ended or not.

    Raises:
        FileNotFoundError: If no run ended in one of the folders.
    """
    with open(file, 'w', newline='') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(
            ('work_dir', 'config', 'row', 'epochs', 'iterations', 'seed')
            + ('metric', 'value', 'visits', 'seconds', 'cpu_seconds')
        )
        for folder in map(Path, work_dirs):
            metric, runs = _read_runs(folder)
            for run in runs:
                name, value = find_metric(run, metric)
                settings = run['settings']
                writer.writerow(
                    (
                        folder.name,
                        Path(settings['config']).stem,
                        settings['variant'],
                        run['epochs'],
                        run['iterations'],
                        settings['seed'],
                        name,
                        f'{value:.6g}',
                        run['visited'],
                        f'{run["train_seconds"]:.1f}',
                        f'{run["cpu_seconds"]:.1f}',
                    )
                )


def _pool_row(
    name: str, groups: List[List[Dict[str, float]]], is_compared_to: bool
) -> PooledRow:
    runs = [run for group in groups for run in group]
    key = 'metric' if is_compared_to else 'difference'
    spreads = [
        spread([run[key] for run in group]) if group else None
        for group in groups
    ]
    together, error = None, None
    if not is_compared_to:
        together = spread([run['difference'] for run in runs])
        if together['std'] is not None:
            error = together['std'] / math.sqrt(len(runs))
    return PooledRow(
        variant=name,
        groups=spreads,
        all=together,
        error=error,
        runs=len(runs),
        visits_saved=spread([run['visits'] for run in runs]),
        cpu_saved=spread([run['cpu'] for run in runs]),
    )


def make_pool_table(
    rows: Sequence[PooledRow],
    headings: Sequence[str],
    to: str = FULL,
) -> Table:
    """Make a Markdown table, with a column for each work dir.

    Args:
        rows (list[PooledRow]): From :func:`pool`.
        headings (list[str]): Names of the work dirs.
        to (str): The variant that was compared to. Defaults to 'full'.

    Returns:
        Table: A table of rich.
    """
    table = Table(box=box.MARKDOWN)
    for heading in (f'to {to}', *headings, 'all'):
        table.add_column(heading)
    for heading in ('error', 'runs', 'visits saved %', 'CPU saved %'):
        table.add_column(heading, justify='right')
    for row in rows:
        form = '{:.2f}' if row.variant == to else '{:+.2f}'
        table.add_row(
            row.variant,
            *(_format(value, form) for value in row.groups),
            _format(row.all, form),
            '' if row.error is None else f'{row.error:.2f}',
            str(row.runs),
            _format(row.visits_saved, '{:.1f}'),
            _format(row.cpu_saved, '{:.1f}'),
        )
    return table


def _format(value: Optional[Dict[str, Any]], form: str) -> str:
    return '' if value is None else format_spread(value, form)
