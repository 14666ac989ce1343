"""The pictures of a training run, drawn with matplotlib."""

from typing import Any, Dict, Optional, Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

KEPT, PRUNED = '#2b7bba', '#f0a04b'
_BINS = 48
_COLUMNS = 4
# Of the grid, in inches.
_CELL, _CAPTION, _HEADING = 2.0, 0.22, 0.35
# Pixels an inch, and of the longer side of a picture in the grid.
_DPI, _PICTURE = 100, 190


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
    figure = Figure(figsize=(6.4, 3.6), dpi=_DPI)
    axes = figure.add_axes((0.11, 0.14, 0.86, 0.76))
    figure.text(0.5, 0.93, title, ha='center', fontsize=10)
    edges = score_edges(scores)
    below = np.zeros(_BINS)
    if kept is not None and not kept.all():
        below = counts(scores[kept], edges)
        axes.stairs(below, edges, fill=True, color=KEPT, label='kept')
        scores = scores[~kept]
    of_rest = 'samples' if kept is None else 'kept'
    color = KEPT
    if below.any():
        of_rest, color = 'pruned', PRUNED
    axes.stairs(
        below + counts(scores, edges),
        edges,
        baseline=below,
        fill=True,
        color=color,
        label=of_rest,
    )
    axes.set_ylim(bottom=0)
    if is_logarithmic(edges):
        axes.set_xscale('log')
    axes.set(xlabel='score (higher is harder)', ylabel='samples')
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
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
    figure = Figure(figsize=(width, height), dpi=_DPI)
    figure.text(0.5, 1 - 0.25 / height, title, ha='center', fontsize=11)
    top = height - 0.4
    style: Dict[str, Any] = dict(ha='center')
    for group, texts, heading, number in zip(rows, captions, headings, lines):
        top -= _HEADING
        figure.text(
            *(0.5, (top + 0.1) / height, heading),
            **dict(style, fontsize=10, fontweight='bold'),
        )
        for place, (picture, text) in enumerate(zip(group, texts)):
            line, column = divmod(place, _COLUMNS)
            middle = (column + 0.5) * _CELL
            bottom = top - (line + 1) * (_CELL + _CAPTION)
            # Without axes, which take 20 times as long.
            fitted = fit(picture, _PICTURE)
            figure.figimage(
                fitted,
                round(middle * _DPI - fitted.shape[1] / 2),
                round((bottom + _CELL / 2) * _DPI - fitted.shape[0] / 2),
            )
            figure.text(
                *(middle / width, (bottom + _CELL + 0.03) / height, text),
                **dict(style, fontsize=8),
            )
        top -= number * (_CELL + _CAPTION)
    return _pixels(figure)


def fit(picture: np.ndarray, side: int) -> np.ndarray:
    """Scale a picture so that its longer side is ``side`` pixels.

    Args:
        picture (ndarray): Uint8, shape (H, W, 3).
        side (int): In pixels.

    Returns:
        ndarray: Uint8, shape (H', W', 3); pixels stay sharp where they
        are enlarged.
    """
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA
    return cv2.resize(picture, size, interpolation=method)


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
