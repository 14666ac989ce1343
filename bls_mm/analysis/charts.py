"""The charts of the report: SVG that takes the colours of the page."""

import io
import re
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bls_mm.visualization.charts import (
    KEPT,
    PRUNED,
    counts,
    is_logarithmic,
    score_edges,
)

# Becomes the colour of the text of the page, whether that is dark or light.
_INK = '#010203'
_WIDTH = 5.4
_STYLE: Dict[Any, Any] = {
    'svg.fonttype': 'none',
    'font.size': 10,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    'figure.facecolor': 'none',
    'axes.facecolor': 'none',
    'savefig.facecolor': 'none',
    **dict.fromkeys(
        (
            'text.color',
            'axes.edgecolor',
            'axes.labelcolor',
            'xtick.color',
            'ytick.color',
        ),
        _INK,
    ),
}


def chart(draw: Callable[[Axes], None], height: float = 3.0) -> str:
    """Turn drawing into inline SVG.

    Args:
        draw (callable): Called with the axes of a new figure. Its name
            keeps the ids of several charts in one page apart.
        height (float): In inches. Defaults to 3.0.

    Returns:
        str: The element ``<svg>``.
    """
    # The salt keeps the ids of several charts in one page apart.
    with rc_context({**_STYLE, 'svg.hashsalt': draw.__qualname__}):
        figure = Figure(figsize=(_WIDTH, height), layout='constrained')
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', metadata={'Date': None})
    svg = buffer.getvalue()
    svg = svg[svg.index('<svg') :].replace(_INK, 'currentColor')
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.DOTALL)
    # The page has the font, and decides over the size by the `viewBox`.
    svg = re.sub(r'(font: [\d.]+px) [^;\"]*', r'\1 sans-serif', svg)
    return re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', '', svg, count=1)


def kept_chart(rows: Sequence[Dict[str, float]], by_epoch: bool) -> str:
    """Share kept in each pass and share saved so far.

    Args:
        rows (list[dict]): ``at``, ``kept`` and ``saved`` of each pass.
        by_epoch (bool): Whether ``at`` is an epoch, not an iteration.
    """

    def kept_share(axes: Axes) -> None:
        at = [row['at'] for row in rows]
        kept = [row['kept'] for row in rows]
        if by_epoch:
            axes.bar(at, kept, color=KEPT, label='kept in this epoch')
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            axes.step(at, kept, where='mid', color=KEPT, label='kept')
            axes.plot(at, kept, '.', color=KEPT)
        axes.plot(
            at,
            [row['saved'] for row in rows],
            '.-',
            color=PRUNED,
            label='saved so far',
        )
        axes.set(xlabel='epoch' if by_epoch else 'iteration', ylim=(0, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
        axes.legend(ncols=2, loc='lower center', bbox_to_anchor=(0.5, 1))

    return chart(kept_share)


def time_chart(
    passes: Sequence[float], quantiles: Sequence[np.ndarray]
) -> str:
    """Scores in each checkpoint.

    Args:
        passes (list[float]): Passes made by each of T checkpoints.
        quantiles (list[ndarray]): 5, 25, 50, 75 and 95 % of the scores in
            each, shape (T, 5).
    """

    def over_time(axes: Axes) -> None:
        q05, q25, q50, q75, q95 = np.asarray(quantiles).T
        style: Dict[str, Any] = dict(color=KEPT, linewidth=0)
        axes.fill_between(passes, q05, q95, alpha=0.2, label='90 %', **style)
        axes.fill_between(passes, q25, q75, alpha=0.4, label='50 %', **style)
        axes.plot(passes, q50, '.-', color=KEPT, label='median')
        if q05.min() > 0 and q95.max() > 20 * q05.min():
            axes.set_yscale('log')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel='passes over the data', ylabel='score')
        axes.legend(ncols=3, loc='lower center', bbox_to_anchor=(0.5, 1))

    return chart(over_time)


def histogram_chart(scores: np.ndarray, kept: Optional[np.ndarray]) -> str:
    """Distribution of scores, by what a selection keeps.

    Args:
        scores (ndarray): Shape (N,).
        kept (ndarray, optional): Which samples are kept, bool, shape (N,);
            None where nothing is selected.
    """

    def histogram(axes: Axes) -> None:
        edges = score_edges(scores)
        style: Dict[str, Any] = dict(width=np.diff(edges), align='edge')
        shown = scores if kept is None else scores[kept]
        of_kept = counts(shown, edges)
        name = 'samples' if kept is None else 'kept'
        axes.bar(edges[:-1], of_kept, color=KEPT, label=name, **style)
        if kept is not None and not kept.all():
            rest = counts(scores[~kept], edges)
            axes.bar(
                edges[:-1],
                rest,
                bottom=of_kept,
                color=PRUNED,
                label='pruned',
                **style,
            )
        if is_logarithmic(edges):
            axes.set_xscale('log')
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel='score (higher is harder)', ylabel='samples')
        axes.legend(ncols=2, loc='lower center', bbox_to_anchor=(0.5, 1))

    return chart(histogram)


def class_score_chart(rows: Sequence[Dict[str, Any]]) -> str:
    """Scores of each class: median, middle half and 90 %.

    Args:
        rows (list[dict]): ``name`` and ``quantiles`` of each class.
    """

    def class_scores(axes: Axes) -> None:
        places = np.arange(len(rows))[::-1]
        q05, q25, q50, q75, q95 = np.array([r['quantiles'] for r in rows]).T
        axes.hlines(places, q05, q95, color=KEPT, alpha=0.5, linewidth=2)
        axes.hlines(places, q25, q75, color=KEPT, linewidth=7)
        axes.plot(q50, places, '|', color=_INK, markersize=11)
        if q05.min() > 0 and q95.max() > 20 * q05.min():
            axes.set_xscale('log')
        axes.set(xlabel='score (higher is harder)')
        _name_classes(axes, rows, places)

    return chart(class_scores, _rows_height(rows))


def keep_rate_chart(rows: Sequence[Dict[str, Any]], overall: float) -> str:
    """Share of each class that is kept, with its interval.

    Args:
        rows (list[dict]): ``name``, ``kept``, ``low``, ``high`` and
            ``starved`` of each class.
        overall (float): Share of all samples that is kept.
    """

    def keep_rates(axes: Axes) -> None:
        places = np.arange(len(rows))[::-1]
        colors = [PRUNED if row['starved'] else KEPT for row in rows]
        low = [row['low'] for row in rows]
        high = [row['high'] for row in rows]
        axes.hlines(places, low, high, color=colors, linewidth=2)
        kept = [row['kept'] for row in rows]
        axes.scatter(kept, places, color=colors, zorder=3)
        axes.axvline(overall, color=_INK, linestyle='--', linewidth=1)
        axes.set(xlabel='kept (dashed: all samples)')
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        _name_classes(axes, rows, places)

    return chart(keep_rates, _rows_height(rows))


def _name_classes(
    axes: Axes, rows: Sequence[Dict[str, Any]], places: np.ndarray
) -> None:
    """Write the names of classes beside their rows."""
    names = [str(row['name']) for row in rows]
    short = [n if len(n) < 19 else f'{n[:17]}…' for n in names]
    axes.set_yticks(places, short)
    axes.set_ylim(-0.7, len(rows) - 0.3)


def _rows_height(rows: Sequence[Any]) -> float:
    """Height of a chart with a row for each class, in inches."""
    return 0.8 + 0.22 * max(3, len(rows))
