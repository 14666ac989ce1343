"""The numbers of a comparison: runs paired by seed, means and deviations."""

import math
import statistics
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .variants import FULL

# Of a run, as `make_result` returns it, and of two with the same seed.
Result = Dict[str, Any]
Pair = Tuple[Result, Result]
# What packages rate a model by, though they report pixel accuracy (mmseg) or
# precision (mmocr) before it.
HEADLINES = ('mIoU', 'hmean')
# The file beside the runs with the name of the metric that was asked for last.
METRIC = 'metric.json'
# A mean and a sample standard deviation, None for one value.
Spread = Dict[str, Any]


def find_metric(
    result: Result, metric: Optional[str] = None
) -> Tuple[str, float]:
    """Find the metric that is compared.

    Args:
        result (dict): Result of a run.
        metric (str, optional): Name of the metric. Defaults to None, the
            first of the last validation that is one of :data:`HEADLINES`,
            or else the first.

    Returns:
        tuple[str, float]: Name and value.

    Raises:
        ValueError: If the run has no such metric.
    """
    metrics = result['metrics']
    first = next(iter(metrics), '')
    headlines = (m for m in metrics if m.split('/')[-1] in HEADLINES)
    name = metric or next(headlines, first)
    if name not in metrics:
        raise ValueError(
            f'There is no metric `{metric}`. Known: {", ".join(metrics)}.'
            if metrics
            else 'The last validation gave no number (`val_evaluator`), so '
            'there is nothing to compare.'
        )
    return name, metrics[name]


def summarise_runs(
    results: Sequence[Result], metric: Optional[str] = None
) -> List[Dict[str, Any]]:
    """Summarise the seeds of each variant.

    Args:
        results (list[dict]): Results of the runs, a full one for each seed.
        metric (str, optional): As for :func:`find_metric`. Defaults to None.

    Returns:
        list[dict]: One row for each variant: its name, what it used, its
        number of seeds, and spreads of the metric, its difference to the
        full run, the visits and the time, with what was saved in per cent.
    """
    rows = []
    for name, pairs in pair_runs(results).items():
        runs = [run for run, _ in pairs]
        rows.append(
            dict(
                variant=name,
                setting=describe_setting(runs),
                seeds=len(runs),
                metric=spread([find_metric(r, metric)[1] for r in runs]),
                to_full=spread(
                    [compute_difference(pair, metric) for pair in pairs]
                ),
                visited=spread([r['visited'] for r in runs]),
                saved=_spread_saving(pairs, 'visited'),
                train_seconds=spread([r['train_seconds'] for r in runs]),
                time_saved=_spread_saving(pairs, 'train_seconds'),
            )
        )
    return rows


def pair_runs(
    results: Sequence[Result], to: str = FULL
) -> Dict[str, List[Pair]]:
    """Pair the runs of each variant with those of one, seed by seed.

    Args:
        results (list[dict]): Results of the runs, `to` with every seed.
        to (str): The variant. Defaults to 'full'.

    Returns:
        dict[str, list[tuple]]: For each variant its runs, in order, each with
        that of `to`.
    """
    others = {
        r['settings']['seed']: r
        for r in results
        if r['settings']['variant'] == to
    }
    pairs: Dict[str, List[Pair]] = {}
    for result in results:
        variant, seed = (result['settings'][k] for k in ('variant', 'seed'))
        pairs.setdefault(variant, []).append((result, others[seed]))
    return pairs


def compute_difference(pair: Pair, metric: Optional[str]) -> float:
    """How far the metric of a run is above that of the other."""
    result, other = (find_metric(run, metric)[1] for run in pair)
    return result - other


def compute_saving(pair: Pair, key: str) -> float:
    """What a run saved of the full run with the same seed, in per cent."""
    result, full = pair
    return 100 * (1 - result[key] / full[key])


def _spread_saving(pairs: Sequence[Pair], key: str) -> Spread:
    return spread([compute_saving(pair, key) for pair in pairs])


def describe_setting(runs: Sequence[Result]) -> str:
    """Say what a variant really used: its ratio, or the length of the run."""
    if runs[0]['target_saving'] is not None:
        return f'target_saving {runs[0]["target_saving"]:g}'
    ratios = [r['prune_ratio'] for r in runs if r['prune_ratio'] is not None]
    if ratios:
        return f'prune_ratio {format_spread(spread(ratios), "{:.2f}")}'
    unit = 'epochs' if runs[0]['epochs'] else 'iterations'
    lengths = spread([run[unit] for run in runs])
    return f'{format_spread(lengths, "{:.4g}")} {unit}'


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (None for one value)."""
    std = None
    if len(values) > 1:  # `stdev` fails if a run has diverged
        finite = all(map(math.isfinite, values))
        std = statistics.stdev(values) if finite else math.nan
    return dict(mean=statistics.mean(values), std=std)


def format_spread(value: Spread, form: str) -> str:
    """Write a mean, and the deviation if there is one that is not 0."""
    text = form.format(value['mean'])
    if not value['std']:
        return text
    return f'{text} ± {form.replace("+", "").format(value["std"])}'
