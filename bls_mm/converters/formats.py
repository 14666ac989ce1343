"""Classification sets: which images there are, of which classes."""

import gzip
import io
import pickle
import re
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np

from .sources import Source

# What `CustomDataset` of mmpretrain reads, and what it passes over.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif')
NOT_READ = ('.webp', '.gif', '.tiff', '.jfif', '.avif', '.heic')
IDX = re.compile(r'(.*)-(images|labels)[-.]idx[13]-ubyte(\.gz)?')
IDX_SPLITS = dict(train='train', t10k='test')
# The files of each split, and the keys of labels and of names of classes.
PICKLES = (
    (
        dict(
            train=[f'data_batch_{i}' for i in range(1, 6)],
            test=['test_batch'],
            meta=['batches.meta'],
        ),
        'labels',
        'label_names',
    ),
    (
        dict(train=['train'], test=['test'], meta=['meta']),
        'fine_labels',
        'fine_label_names',
    ),
)
# Bytes of a record before its pixels; the last is the label.
BINARY_LABELS = {10: 1, 100: 2}
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Split:
    """The images of a split.

    Attributes:
        names (list[str]): File names, relative to the folder of the class.
        classes (list[str]): Names of the classes of the images.
        read (Callable): Takes indices and yields pairs of an index and the
            content of the file, in any order.
    """

    names: List[str]
    classes: List[str]
    read: Callable[[Sequence[int]], Iterator[Tuple[int, bytes]]]


def read_splits(source: Source) -> Dict[str, Split]:
    """Find the images of a classification set, whatever its format.

    Args:
        source (Source): Python or binary version of CIFAR, IDX files as of
            MNIST, or image files as ``SPLIT/CLASS/NAME.jpg``, whatever folder
            that is in.

    Returns:
        dict[str, Split]: Splits by name, which are those of the files.

    Raises:
        ValueError: If the source has none of these formats.
    """
    names = source.list_names()
    for find in (_find_pickles, _find_binaries, _find_idx, _find_folders):
        splits = find(source, names)
        if splits:
            return splits
    raise ValueError(
        f'`{source.path}` has no images in a known format: the Python or '
        'binary files of CIFAR, IDX files, or SPLIT/CLASS/NAME.jpg.'
    )


# Image files in folders


def _find_folders(source: Source, names: List[str]) -> Dict[str, Split]:
    groups: Dict[str, List[str]] = {}
    depths: Dict[int, str] = {}
    for name in names:
        parts = PurePosixPath(name).parts
        if len(parts) < 3:
            continue
        if name.lower().endswith(NOT_READ):
            raise ValueError(
                f'`{source.path}` has {name}, a format that `CustomDataset` '
                'does not read. Convert such images to PNG or JPEG.'
            )
        if not name.lower().endswith(SUFFIXES):
            continue
        depths.setdefault(len(parts), name)
        groups.setdefault(parts[-3], []).append(name)
    if len(depths) > 1:
        first, second = list(depths.values())[:2]
        raise ValueError(
            f'`{source.path}` has {first} and {second}, which cannot both be '
            'SPLIT/CLASS/NAME. Give a folder in which all images are.'
        )
    return {
        split: _make_files(source, group) for split, group in groups.items()
    }


def _make_files(source: Source, names: List[str]) -> Split:
    def read(indices: Sequence[int]) -> Iterator[Tuple[int, bytes]]:
        index_of = {names[i]: i for i in indices}
        for name, content in source.read(list(index_of)):
            yield index_of[name], content

    parts = [PurePosixPath(name).parts for name in names]
    return Split([p[-1] for p in parts], [p[-2] for p in parts], read)


# Arrays


def _make_arrays(
    images: np.ndarray, labels: np.ndarray, classes: List[str]
) -> Split:
    """Images that become PNG files, numbered as they come.

    Args:
        images (ndarray): Uint8, shape (N, H, W) or, RGB, (N, H, W, 3).
        labels (ndarray): Integers, shape (N,).
        classes (list[str]): Names of the labels.
    """
    from PIL import Image

    def read(indices: Sequence[int]) -> Iterator[Tuple[int, bytes]]:
        for index in indices:
            stream = io.BytesIO()
            Image.fromarray(images[index]).save(stream, 'PNG')
            yield index, stream.getvalue()

    if len(images) != len(labels):
        raise ValueError(
            f'There are {len(images)} images but {len(labels)} labels.'
        )
    names = [f'{number:05d}.png' for number in range(len(images))]
    return Split(names, [classes[label] for label in labels], read)


def _as_images(pixels: np.ndarray) -> np.ndarray:
    """Rows of CIFAR, channel by channel, as images (N, 32, 32, 3)."""
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


# CIFAR, version for Python


class _Unpickler(pickle.Unpickler):
    """Reads arrays, lists and dicts, and runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition('.')[0] == 'numpy' and name in (
            '_reconstruct', 'ndarray', 'dtype',
        ):  # fmt: skip
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f'{module}.{name} is no array.')


def _unpickle(name: str, data: bytes) -> Any:
    try:
        # Written by Python 2, where arrays are in text.
        return _Unpickler(io.BytesIO(data), encoding='latin1').load()
    except pickle.UnpicklingError as error:
        raise ValueError(f'{name} cannot be read: {error}') from None


def _find_pickles(source: Source, names: List[str]) -> Dict[str, Split]:
    found = {PurePosixPath(name).name: name for name in names}
    layouts = [
        layout
        for layout in PICKLES
        if all(any(n in found for n in group) for group in layout[0].values())
    ]
    if not layouts:
        return {}
    files, labels, classes = layouts[0]
    here = {
        split: [found[name] for name in group if name in found]
        for split, group in files.items()
    }
    wanted = [name for group in here.values() for name in group]
    content = {n: _unpickle(n, data) for n, data in source.read(wanted)}
    [meta] = here.pop('meta')
    splits = {}
    for split, group in here.items():
        batches = [content[name] for name in group]
        splits[split] = _make_arrays(
            _as_images(np.concatenate([batch['data'] for batch in batches])),
            np.concatenate([batch[labels] for batch in batches]),
            content[meta][classes],
        )
    return splits


# CIFAR, binary version


def _find_binaries(source: Source, names: List[str]) -> Dict[str, Split]:
    meta = [
        name
        for name in names
        if PurePosixPath(name).name
        in ('batches.meta.txt', 'fine_label_names.txt')
    ]
    files = [name for name in names if name.endswith('.bin')]
    if not meta or not files:
        return {}
    [(_, text)] = source.read(meta)
    classes = text.decode().split()
    skip = BINARY_LABELS[len(classes)]
    groups: Dict[str, List[np.ndarray]] = {}
    for name, content in sorted(source.read(files)):
        split = 'test' if 'test' in PurePosixPath(name).name else 'train'
        records = np.frombuffer(content, np.uint8)
        groups.setdefault(split, []).append(records.reshape(-1, skip + PIXELS))
    return {
        split: _make_arrays(
            _as_images(records[:, skip:]), records[:, skip - 1], classes
        )
        for split, parts in groups.items()
        for records in [np.concatenate(parts)]
    }


# IDX


def _find_idx(source: Source, names: List[str]) -> Dict[str, Split]:
    groups: Dict[str, Dict[str, str]] = {}
    for name in names:
        match = IDX.fullmatch(PurePosixPath(name).name)
        if match:
            groups.setdefault(match[1], {})[match[2]] = name
    arrays = {}
    for prefix, files in groups.items():
        if len(files) < 2:
            raise ValueError(
                f'`{source.path}` has {next(iter(files.values()))} but not '
                'the images and labels that belong together.'
            )
        content = dict(source.read(list(files.values())))
        arrays[IDX_SPLITS.get(prefix, prefix)] = [
            _read_idx(files[kind], content[files[kind]])
            for kind in ('images', 'labels')
        ]
    # All splits number the classes alike.
    tops = [labels.max(initial=0) for _, labels in arrays.values()]
    last = int(max(tops, default=0))
    classes = [f'{i:0{len(str(last))}d}' for i in range(last + 1)]
    return {
        split: _make_arrays(images, labels, classes)
        for split, (images, labels) in arrays.items()
    }


def _read_idx(name: str, content: bytes) -> np.ndarray:
    """Read an array of bytes in the IDX format, compressed or not."""
    try:
        if content[:2] == b'\x1f\x8b':
            content = gzip.decompress(content)
        zeros, kind, dims = content[:2], content[2], content[3]
        shape = np.frombuffer(content, '>u4', dims, offset=4).astype(int)
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * dims)
        if zeros == b'\0\0' and kind == 8:
            return values.reshape(shape)
    except (EOFError, IndexError, OSError, ValueError, zlib.error) as error:
        raise ValueError(f'{name} is damaged: {error}') from None
    raise ValueError(f'{name} should hold unsigned bytes, as IDX files do.')
