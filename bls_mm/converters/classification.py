"""Folders of images, one for each class, which ``CustomDataset`` reads."""

from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

import numpy as np

from bls_mm.checks import check_range

from .formats import Split, read_splits
from .output import draw_subset, write_once
from .sources import Source, describe_source

TRAIN = 'train'


def convert_classification(
    source: Union[str, Path],
    out: Union[str, Path],
    subset: Optional[int] = None,
    seed: int = 0,
    wrong_labels: float = 0.0,
) -> Dict[str, int]:
    """Write a classification set as ``OUT/SPLIT/CLASS/NAME.jpg``.

    Image files are copied as they are, arrays become PNG files. A class
    without images keeps its folder, so that the classes of all splits are
    numbered alike.

    Args:
        source (str or Path): A folder or an archive, see :func:`read_splits`
            for the formats.
        out (str or Path): Folder to write.
        subset (int, optional): Number of training images; all of the other
            splits stay. Defaults to None, all.
        seed (int): Which training images, and which wrong labels. Defaults
            to 0.
        wrong_labels (float): Share of the training images that get the label
            of another class, each other class as likely, in [0, 1]. Defaults
            to 0.

    Returns:
        dict[str, int]: Number of images of each split.

    Raises:
        FileExistsError: If there is something else in ``out``.
        FileNotFoundError: If there is no such source.
        TypeError: If ``subset`` is not an integer.
        ValueError: If the source has no known format or too few images, or
            if the share of wrong labels is out of range.
    """
    check_range('wrong_labels', wrong_labels, 0, 1, '[0, 1]')
    opened = Source(source)

    def write(folder: Path) -> Dict[str, int]:
        splits = read_splits(opened)
        classes = sorted({c for s in splits.values() for c in s.classes})
        counts = {}
        for name, split in splits.items():
            for label in classes:
                (folder / name / label).mkdir(parents=True, exist_ok=True)
            _check_names(name, split)
            indices = list(range(len(split.names)))
            if name == TRAIN:
                indices = draw_subset(indices, subset, seed)
                split = _mislabel(split, indices, classes, wrong_labels, seed)
            _write_split(folder / name, split, indices)
            counts[name] = len(indices)
        if (subset is not None or wrong_labels) and TRAIN not in splits:
            raise ValueError(f'`{source}` has no split `{TRAIN}`.')
        return counts

    settings: Dict[str, Any] = dict(
        source=describe_source(source), subset=subset, seed=seed
    )
    if wrong_labels:
        settings['wrong_labels'] = wrong_labels
    return write_once(out, settings, write)


def _mislabel(
    split: Split,
    indices: List[int],
    classes: List[str],
    share: float,
    seed: int,
) -> Split:
    """The split with other classes for a share of some images.

    Their file names begin with the true class: two classes may have images of
    the same name, and whoever looks for wrong labels finds out.
    """
    if not share:
        return split
    if len(classes) == 1:
        raise ValueError('Wrong labels need at least two classes.')
    rng = np.random.default_rng(seed)
    names, labels = list(split.names), list(split.classes)
    for index in rng.permutation(indices)[: round(share * len(indices))]:
        true = labels[index]
        others = [label for label in classes if label != true]
        labels[index] = others[rng.integers(len(others))]
        name = Path(names[index])
        names[index] = str(name.with_name(f'{true}-{name.name}'))
    return Split(names, labels, split.read)


def _check_names(name: str, split: Split) -> None:
    """Refuse images that would be written over each other."""
    files = Counter(zip(split.classes, split.names))
    for (label, file), count in files.most_common(1):
        if count > 1:
            raise ValueError(
                f'{count} images would become {name}/{label}/{file}: the '
                f'source has several folders `{name}`. Give one of them.'
            )


def _write_split(folder: Path, split: Split, indices: list) -> None:
    for index, content in split.read(indices):
        file = folder / split.classes[index] / split.names[index]
        file.write_bytes(content)
