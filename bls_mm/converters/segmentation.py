"""Images and label maps, which the datasets of mmseg read."""

import io
from pathlib import Path, PurePosixPath
from typing import Dict, Mapping, Optional, Tuple, Union

import numpy as np

from .formats import SUFFIXES
from .output import draw_subset, write_once
from .sources import Source, describe_source

TRAIN = 'train'
IGNORED = 255  # what the losses and metrics of mmseg leave out by default
AnyPath = Union[str, Path]


def convert_segmentation(
    splits: Mapping[str, Tuple[AnyPath, AnyPath]],
    out: AnyPath,
    subset: Optional[int] = None,
    seed: int = 0,
    ignore: Optional[int] = None,
) -> Dict[str, int]:
    """Write a set as ``OUT/img_dir/SPLIT`` and ``OUT/ann_dir/SPLIT``.

    Images are copied as they are. Label maps become PNG files of one channel
    with the same stem, whose values are the classes.

    Args:
        splits (dict[str, tuple]): For each split the folder or archive of its
            images and that of its label maps, see :class:`Source`. Maps have
            the stems of their images and the class of each pixel, gray or in
            a palette.
        out (str or Path): Folder to write.
        subset (int, optional): Number of training images; all of the other
            splits stay. Defaults to None, all.
        seed (int): Which training images. Defaults to 0.
        ignore (int, optional): Value of pixels without a class, which becomes
            255. Defaults to None, no such value.

    Returns:
        dict[str, int]: Number of images of each split.

    Raises:
        FileExistsError: If there is something else in ``out``.
        FileNotFoundError: If there is no such source.
        TypeError: If ``subset`` is not an integer.
        ValueError: If an image has no map, a map has colours and no palette,
            or there are too few images.
    """

    def write(folder: Path) -> Dict[str, int]:
        counts = {}
        for split, (images, maps) in splits.items():
            pictures, labels = Source(images), Source(maps)
            stems = _by_stem(pictures)
            maps_of = _by_stem(labels)
            missing = sorted(stems.keys() - maps_of.keys())
            if missing or not stems:
                lack = f'a map for {missing[0]}' if missing else 'any images'
                raise ValueError(f'The split `{split}` lacks {lack}.')
            _check_suffixes(split, stems)
            chosen = sorted(stems)
            if split == TRAIN:
                chosen = draw_subset(chosen, subset, seed)
            target = folder / 'img_dir' / split
            target.mkdir(parents=True)
            for name, content in pictures.read([stems[s] for s in chosen]):
                (target / PurePosixPath(name).name).write_bytes(content)
            target = folder / 'ann_dir' / split
            target.mkdir(parents=True)
            for name, content in labels.read([maps_of[s] for s in chosen]):
                file = target / f'{PurePosixPath(name).stem}.png'
                file.write_bytes(_convert_map(name, content, ignore))
            counts[split] = len(chosen)
        return counts

    names = {
        k: list(map(describe_source, paths)) for k, paths in splits.items()
    }
    settings = dict(splits=names, subset=subset, seed=seed, ignore=ignore)
    return write_once(out, settings, write)


def _by_stem(source: Source) -> Dict[str, str]:
    names: Dict[str, str] = {}
    for name in source.list_names():
        if not name.lower().endswith((*SUFFIXES, '.tiff', '.webp')):
            continue
        stem = PurePosixPath(name).stem
        other = names.setdefault(stem, name)
        if other != name:
            raise ValueError(
                f'`{source.path}` has {other} and {name}, which would both '
                f'become {stem}. Give a folder that has such a name once.'
            )
    return names


def _check_suffixes(split: str, names: Dict[str, str]) -> None:
    """Refuse images of which a dataset would read a part."""
    suffixes = {PurePosixPath(name).suffix for name in names.values()}
    if len(suffixes) > 1:
        raise ValueError(
            f'The images of the split `{split}` end with '
            f'{", ".join(sorted(suffixes))}, but the datasets of mmseg read '
            'those that end with one `img_suffix`.'
        )


def _convert_map(name: str, content: bytes, ignore: Optional[int]) -> bytes:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        labels = np.array(image)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(
            f'The label map {name} should have one channel of 8 bits.'
        )
    if ignore is not None:
        labels[labels == ignore] = IGNORED
    stream = io.BytesIO()
    Image.fromarray(labels).save(stream, 'PNG')
    return stream.getvalue()
