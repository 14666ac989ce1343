r"""Write a classification set as folders of images, one for each class.

SOURCE is a folder or an archive (zip, tar, tar.gz, tar.xz) with any of:

    CIFAR-10 or CIFAR-100, Python or binary version, as downloaded
    IDX files, compressed or not: train-images-idx3-ubyte.gz, ... (MNIST)
    image files: train/CLASS/NAME.jpg, test/CLASS/NAME.jpg

The result is OUT/train/CLASS/NAME.jpg and OUT/test/CLASS/NAME.jpg, which
`CustomDataset` of mmpretrain reads. Image files are copied as they are, arrays
become PNG files. `--subset` keeps that many training images, the first of a
seeded permutation, and all of the test images. `--wrong-labels` moves a share
of them to other classes, to study what those do; the names of these files
begin with the true class.

    python tools/dataset_converters/prepare_classification.py \
        cifar-10-python.tar.gz --out data/cifar10-10k --subset 10000
"""

import argparse
from pathlib import Path

from bls_mm.commands.parsing import short_errors
from bls_mm.converters import convert_classification
from bls_mm.converters.options import add_output, describe


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('source', type=Path)
    add_output(parser)
    parser.add_argument(
        '--wrong-labels',
        type=float,
        default=0.0,
        metavar='SHARE',
        help='share of the training images to give a wrong label',
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    with short_errors(Path(__file__).name):
        counts = convert_classification(**vars(args))
    print(describe(args.out, counts))


if __name__ == '__main__':
    main()
