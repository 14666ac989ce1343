"""The answer that the report opens with: did pruning pay, what is hard?"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from .statistics import Saved

_MOST_METRICS, _MOST_CLASSES, _MOST_STARVED = 3, 3, 12


class Answer(NamedTuple):
    """Sentences with the figures that matter most.

    Attributes:
        paid (list[str]): What was saved, and the accuracy.
        hard (list[str]): Which classes and how few samples.
    """

    paid: List[str]
    hard: List[str]


def describe_saving(saved: Saved, done: float, passes: int) -> str:
    """What of the visits was saved, and by when.

    Args:
        saved (Saved): What was saved.
        done (float): Passes that have been made.
        passes (int): Passes of the whole run.
    """
    by = f'pass {max(1, -int(-done // 1))} of {passes}'
    if saved.visited >= saved.of_visits:
        return f'Nothing was pruned by the end of {by}.'
    return (
        f'Pruning saved {100 * saved.visits:.1f} % of the visits: '
        f'{saved.visited:,} instead of {saved.of_visits:,} by the end of '
        f'{by}.'
    )


def describe_time(saved: Saved) -> str:
    """What that is in iterations and, if known, in time."""
    made = (
        f'{saved.iterations:,} of {saved.of_iterations:,} iterations were '
        'skipped'
    )
    if saved.time is None or saved.of_time is None:
        return (
            f'{made}. The work dir has no log (`LocalVisBackend` writes it), '
            'so the time is not known.'
        )
    return (
        f'{made}, about {duration(saved.time)} of {duration(saved.of_time)} '
        f'at {saved.seconds:.3g} s each.'
    )


def describe_accuracy(metrics: Dict[str, float], validations: int) -> str:
    """The metrics of the last validation."""
    if not metrics:
        return 'No validation was logged, so the accuracy is not known.'
    shown = list(metrics.items())[:_MOST_METRICS]
    texts = ', '.join(f'{name} {value:.4g}' for name, value in shown)
    which = 'the only validation'
    if validations > 1:
        which = f'the last of {validations} validations'
    return f'{which[0].upper()}{which[1:]}: {texts}.'


def describe_classes(rows: Sequence[Dict[str, Any]], median: float) -> str:
    """The hardest classes and the easiest.

    Args:
        rows (list[dict]): Classes, the hardest first, at least two.
        median (float): Median score of all samples.
    """
    shown = rows[: min(_MOST_CLASSES, len(rows) - 1)]
    texts = [f'{row["name"]} ({row["quantiles"][2]:.3g})' for row in shown]
    easiest = rows[-1]
    return (
        f'Hardest classes by median score: {", ".join(texts)}. The easiest: '
        f'{easiest["name"]} ({easiest["quantiles"][2]:.3g}). '
        f'Of all samples: {median:.3g}.'
    )


def describe_starved(rows: Sequence[Dict[str, Any]]) -> str:
    """Classes that are kept less than chance explains."""
    starved = [row['name'] for row in rows if row['starved']]
    if not starved:
        return 'No class is kept less than chance explains.'
    more = ', …' if len(starved) > _MOST_STARVED else ''
    verb = 'is' if len(starved) == 1 else 'are'
    return (
        f'{len(starved)} of {len(rows)} classes {verb} kept less than chance '
        f'explains: {", ".join(starved[:_MOST_STARVED])}{more}.'
    )


def describe_hardest(share: Optional[float]) -> str:
    """How much of the scores the hardest samples hold."""
    if share is None:
        return ''
    return (
        f'The hardest tenth of the samples holds {100 * share:.0f} % of the '
        'sum of all scores.'
    )


def duration(seconds: float) -> str:
    """A time as one would say it."""
    for unit, size in (('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'
