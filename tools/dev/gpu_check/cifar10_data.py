"""CIFAR-10 from JPEGs into one file, and its batches on the device.

    python -m tools.dev.gpu_check.cifar10_data cifar10.tar.xz cifar10.npz

The source is a folder or a tar archive of it with `train/CLASS/NAME.jpg` and
`test/CLASS/NAME.jpg`. Classes are numbered by name. `--wrong-labels` gives a
share of the training images the label of another class, always the same.
"""

import argparse
import io
import tarfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tools.dataset_converters.prepare_mnist import with_wrong_labels

SPLITS = ('train', 'test')


def read_files(source):
    """The encoded images of both splits.

    Args:
        source (Path): A folder or a tar archive.

    Returns:
        dict[str, list[tuple[str, str, bytes]]]: For each split the class,
        the name and the content of its files, sorted by class and name.

    Raises:
        ValueError: If a split has no images.
    """
    files = {split: [] for split in SPLITS}
    for path, content in iterate(source):
        parts = PurePosixPath(path).parts[-3:]
        if len(parts) == 3 and parts[0] in files and parts[2].endswith('.jpg'):
            files[parts[0]].append((*parts[1:], content))
    for split, entries in files.items():
        if not entries:
            raise ValueError(f'{source} has no {split}/CLASS/NAME.jpg.')
        entries.sort(key=lambda entry: entry[:2])
    return files


def iterate(source):
    """Path and content of all files of a folder or a tar archive."""
    source = Path(source)
    if source.is_dir():
        for path in source.rglob('*.jpg'):
            yield path.as_posix(), path.read_bytes()
        return
    with tarfile.open(source) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, archive.extractfile(member).read()


def decode(contents):
    """Decode JPEGs of one size to an array (N, H, W, 3) of uint8."""
    images = [Image.open(io.BytesIO(c)).convert('RGB') for c in contents]
    return np.stack([np.asarray(image) for image in images])


def decode_in_parallel(contents, workers):
    """As :func:`decode`, in processes of their own if there is much."""
    chunks = [contents[i : i + 1000] for i in range(0, len(contents), 1000)]
    if min(workers, len(chunks)) < 2:
        return decode(contents)
    with ProcessPoolExecutor(workers, get_context('spawn')) as pool:
        return np.concatenate(list(pool.map(decode, chunks)))


def convert(source, target, workers=16, wrong_labels=0.0):
    """Decode all images and write them to an npz file.

    Args:
        source (Path): A folder or a tar archive.
        target (Path): The file, with `SPLIT_images`, uint8 (N, H, W, 3),
            and `SPLIT_labels`, int64 (N,).
        workers (int): Processes. Defaults to 16.
        wrong_labels (float): Share of the training labels to make wrong, in
            [0, 1]. Defaults to 0.
    """
    arrays = {}
    for split, entries in read_files(source).items():
        names = sorted({name for name, _, _ in entries})
        arrays[f'{split}_labels'] = np.array(
            [names.index(name) for name, _, _ in entries]
        )
        arrays[f'{split}_images'] = decode_in_parallel(
            [content for _, _, content in entries], workers
        )
    arrays['train_labels'] = with_wrong_labels(
        arrays['train_labels'], wrong_labels, np.random.default_rng(0)
    )
    np.savez(target, **arrays)


def load(file):
    """Read what :func:`convert` wrote.

    Returns:
        dict[str, ndarray]: Arrays by name.

    Raises:
        ValueError: If the file is none of those.
    """
    try:
        with np.load(file) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except zipfile.BadZipFile:
        raise ValueError(f'{file} was not written by this tool.') from None


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    parser.add_argument('--workers', type=int, default=16)
    parser.add_argument(
        '--wrong-labels', type=float, default=0.0, metavar='SHARE'
    )
    args = parser.parse_args(argv)
    convert(args.source, args.target, args.workers, args.wrong_labels)


if __name__ == '__main__':
    main()
