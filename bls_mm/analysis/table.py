"""The table of all samples, ``scores.csv``."""

import csv
from array import array
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

import numpy as np

from .classes import Labels, classes_of
from .dataset import Data
from .statistics import percentiles_of, ranks_of

COLUMNS = (
    'sample_id',
    'dataset_index',
    'score',
    'rank',
    'percentile',
    'mean_score',
    'classes',
    'kept',
    'image_path',
)
_CHUNK = 65536


def write_csv(
    file: Path,
    data: Data,
    scores: np.ndarray,
    means: np.ndarray,
    kept: Optional[np.ndarray],
) -> Labels:
    """Write a row for each sample, in the order of the ids.

    Args:
        file (Path): Where to.
        data (Data): The dataset.
        scores (ndarray): Shape (N,).
        means (ndarray): Mean score over all checkpoints, shape (N,).
        kept (ndarray, optional): Which are kept, bool, shape (N,).

    Returns:
        Labels: Classes of the samples, which are looked up on the way.
    """
    of_maps = data.map_classes()
    # One value a pair, not a Python object: of 1.28 million samples.
    samples, classes = array('q'), array('q')
    single, checked = not of_maps, 0
    with file.open('w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for numbers in _numbers(data.indices, scores, means, kept):
            sample = numbers[0]
            info = data.info(sample)
            found = of_maps.get(sample) or classes_of(info)
            samples.extend([sample] * len(found))
            classes.extend(found)
            checked += bool(found)
            single = single and len(found) < 2 and 'instances' not in info
            names = ';'.join(map(str, found))
            path = info.get('img_path') or ''
            writer.writerow((*numbers[:-1], names, numbers[-1], path))
    return Labels(
        np.array(samples, np.int64),
        np.array(classes, np.int64),
        single and checked > 0,
        checked,
    )


def _numbers(
    indices: np.ndarray,
    scores: np.ndarray,
    means: np.ndarray,
    kept: Optional[np.ndarray],
) -> Iterator[Tuple[Any, ...]]:
    """The columns that are numbers, a row at a time, ``kept`` at the end."""
    ranks = ranks_of(scores)
    percentiles = percentiles_of(ranks)
    for start in range(0, len(scores), _CHUNK):
        part = slice(start, start + _CHUNK)
        shown = [''] * len(scores[part])
        if kept is not None:
            shown = kept[part].astype(int).tolist()
        yield from zip(
            range(start, start + len(shown)),
            indices[part].tolist(),
            [f'{score:.7g}' for score in scores[part].tolist()],
            ranks[part].tolist(),
            percentiles[part].round(4).tolist(),
            [f'{mean:.7g}' for mean in means[part].tolist()],
            shown,
        )
