"""Write a classification set as folders of images, one for each class.

SOURCE is a folder or an archive (zip, tar, tar.gz, tar.xz) with any of:

    CIFAR-10 or CIFAR-100, Python or binary version, as downloaded
    IDX files, compressed or not: train-images-idx3-ubyte.gz, ... (MNIST)
    image files: train/CLASS/NAME.jpg, test/CLASS/NAME.jpg

The result is OUT/train/CLASS/NAME.jpg and OUT/test/CLASS/NAME.jpg, which
`CustomDataset` of mmpretrain reads. Image files are copied as they are, arrays
become PNG files. `--subset` keeps that many training images, the first of a
seeded permutation, and all of the test images.

    python tools/dataset_converters/prepare_classification.py \
        cifar-10-python.tar.gz --out data/cifar10-10k --subset 10000
"""

import argparse
from pathlib import Path

from bls_mm.converters import convert_classification


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', type=Path)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument(
        '--subset', type=int, help='number of training images to keep'
    )
    parser.add_argument('--seed', type=int, default=0, help='which of them')
    args = parser.parse_args(argv)
    try:
        counts = convert_classification(**vars(args))
    except (OSError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    sizes = ', '.join(f'{n} {split}' for split, n in counts.items())
    print(f'{args.out} has {sizes} images')


if __name__ == '__main__':
    main()
