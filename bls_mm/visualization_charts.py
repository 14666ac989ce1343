"""The pictures of a training run, drawn with matplotlib."""

from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

KEPT, PRUNED = '#2b7bba', '#f0a04b'
_BINS = 48
_COLUMNS = 4
# Of the grid, in inches.
_CELL, _CAPTION, _HEADING = 2.0, 0.22, 0.35


def score_edges(scores: np.ndarray) -> np.ndarray:
    """Edges of bins that show scores over orders of magnitude.

    Args:
        scores (ndarray): Finite, shape (N,), N at least 1.

    Returns:
        ndarray: Ascending, shape (49,): in equal ratios if all scores are
        positive, 0 standing for "not seen yet", and spread widely, else at
        equal distances.
    """
    positive = scores[scores > 0]
    low, high = float(scores.min()), float(scores.max())
    if low >= 0 and len(positive):
        least = float(np.quantile(positive, 0.001))
        if high > 20 * least:
            return np.geomspace(least, high, _BINS + 1)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def is_logarithmic(edges: np.ndarray) -> bool:
    """Whether bins are in equal ratios."""
    if edges[0] <= 0:
        return False
    return bool(np.isclose(edges[1] / edges[0], edges[-1] / edges[-2]))


def counts(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Scores in each bin; those below the first in the first."""
    return np.histogram(scores.clip(edges[0], edges[-1]), edges)[0]


def draw_histogram(
    scores: np.ndarray, kept: Optional[np.ndarray], title: str
) -> np.ndarray:
    """Draw the distribution of scores, and what of it is kept.

    Args:
        scores (ndarray): Shape (N,).
        kept (ndarray, optional): Which samples are kept, bool, shape (N,);
            None if that is not to be shown.
        title (str): What stands above.

    Returns:
        ndarray: Uint8, RGB, shape (360, 640, 3).
    """
    figure = Figure(figsize=(6.4, 3.6), dpi=100)
    axes = figure.add_axes((0.11, 0.14, 0.86, 0.76))
    edges = score_edges(scores)
    width, left = np.diff(edges), edges[:-1]
    below = np.zeros(len(left))
    if kept is not None and not kept.all():
        below = counts(scores[kept], edges)
        axes.bar(left, below, width, align='edge', color=KEPT, label='kept')
        scores = scores[~kept]
    of_rest = 'samples' if kept is None else 'kept'
    color = KEPT
    if below.any():
        of_rest, color = 'pruned', PRUNED
    axes.bar(
        left,
        counts(scores, edges),
        width,
        below,
        align='edge',
        color=color,
        label=of_rest,
    )
    if is_logarithmic(edges):
        axes.set_xscale('log')
    axes.set(xlabel='score (higher is harder)', ylabel='samples')
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False)
    axes.spines[['top', 'right']].set_visible(False)
    return _pixels(figure)


def draw_grid(
    rows: Sequence[Sequence[np.ndarray]],
    captions: Sequence[Sequence[str]],
    headings: Sequence[str],
    title: str,
) -> np.ndarray:
    """Draw groups of pictures under a heading each.

    Args:
        rows (list[list[ndarray]]): The pictures of each group.
        captions (list[list[str]]): What stands above each of them.
        headings (list[str]): What stands above each group.
        title (str): What stands above all.

    Returns:
        ndarray: Uint8, RGB, 2 inches of 100 pixels for each picture.
    """
    lines = [-(-len(group) // _COLUMNS) for group in rows]
    width, height = (
        _CELL * _COLUMNS,
        0.4 + sum(_HEADING + number * (_CELL + _CAPTION) for number in lines),
    )
    figure = Figure(figsize=(width, height), dpi=100)
    figure.text(0.5, 1 - 0.25 / height, title, ha='center', fontsize=11)
    top = height - 0.4
    for group, texts, heading, number in zip(rows, captions, headings, lines):
        top -= _HEADING
        style: Dict[str, Any] = dict(
            ha='center', fontsize=10, fontweight='bold'
        )
        figure.text(0.5, (top + 0.1) / height, heading, **style)
        for place, (picture, text) in enumerate(zip(group, texts)):
            line, column = divmod(place, _COLUMNS)
            bottom = top - (line + 1) * (_CELL + _CAPTION)
            box = (column * _CELL + 0.05, bottom, _CELL - 0.1, _CELL)
            cell = figure.add_axes(_shares(box, width, height))
            cell.axis('off')
            cell.imshow(picture)
            cell.set_title(text, fontsize=8, pad=2)
        top -= number * (_CELL + _CAPTION)
    return _pixels(figure)


def _shares(
    box: Tuple[float, float, float, float], width: float, height: float
) -> Tuple[float, float, float, float]:
    """A box in inches as shares of a figure."""
    left, bottom, wide, high = box
    return left / width, bottom / height, wide / width, high / height


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
