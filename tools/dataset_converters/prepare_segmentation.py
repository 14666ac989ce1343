r"""Write a segmentation set to where the configs read it.

Images and label maps may each be in a folder or an archive (zip, tar, tar.gz,
tar.xz), or below a folder of an archive, as in `train.zip/img`. A map has the
stem of its image and the class of each pixel, gray or in a palette.

    python tools/dataset_converters/prepare_segmentation.py --out data/camvid \
        --train train.zip/img train.zip/ann --test test.zip/img test.zip/ann \
        --ignore 11

The result is OUT/img_dir/train/NAME.jpg with OUT/ann_dir/train/NAME.png and so
on, which the datasets of mmseg read. `--ignore` is the value of pixels without
a class, which becomes 255. `--subset` keeps that many training images, the
first of a seeded permutation; all others stay.
"""

import argparse
from pathlib import Path

from bls_mm.commands.parsing import short_errors
from bls_mm.converters import convert_segmentation
from bls_mm.converters.options import (
    add_output,
    add_splits,
    describe,
    find_splits,
)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_splits(parser, ('IMAGES', 'MAPS'))
    add_output(parser)
    parser.add_argument(
        '--ignore',
        type=int,
        help='value of pixels without a class, which becomes 255',
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    splits = find_splits(args)
    with short_errors(Path(__file__).name):
        counts = convert_segmentation(
            splits, args.out, args.subset, args.seed, args.ignore
        )
    print(describe(args.out, counts))


if __name__ == '__main__':
    main()
