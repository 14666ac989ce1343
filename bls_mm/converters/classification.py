"""Folders of images, one for each class, which ``CustomDataset`` reads."""

from pathlib import Path
from typing import Dict, Optional, Union

from .formats import Split, read_splits
from .output import draw_subset, write_once
from .sources import Source

TRAIN = 'train'


def convert_classification(
    source: Union[str, Path],
    out: Union[str, Path],
    subset: Optional[int] = None,
    seed: int = 0,
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
        seed (int): Which training images. Defaults to 0.

    Returns:
        dict[str, int]: Number of images of each split.

    Raises:
        FileExistsError: If there is something else in ``out``.
        FileNotFoundError: If there is no such source.
        TypeError: If ``subset`` is not an integer.
        ValueError: If the source has no known format or too few images.
    """
    opened = Source(source)

    def write(folder: Path) -> Dict[str, int]:
        splits = read_splits(opened)
        classes = sorted({c for s in splits.values() for c in s.classes})
        counts = {}
        for name, split in splits.items():
            for label in classes:
                (folder / name / label).mkdir(parents=True, exist_ok=True)
            indices = list(range(len(split.names)))
            if name == TRAIN:
                indices = draw_subset(indices, subset, seed)
            _write_split(folder / name, split, indices)
            counts[name] = len(indices)
        if subset is not None and TRAIN not in splits:
            raise ValueError(f'`{source}` has no split `{TRAIN}`.')
        return counts

    settings = dict(source=opened.path.name, subset=subset, seed=seed)
    return write_once(out, settings, write)


def _write_split(folder: Path, split: Split, indices: list) -> None:
    for index, content in split.read(indices):
        file = folder / split.classes[index] / split.names[index]
        file.write_bytes(content)
