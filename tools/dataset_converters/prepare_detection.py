r"""Write a detection set with COCO annotations to where the configs read it.

Images may be in a folder or an archive (zip, tar, tar.gz, tar.xz), or below a
folder of an archive, as in `coco.zip/train2017`.

    python tools/dataset_converters/prepare_detection.py \
        --train train.json train.zip --val val.json val.zip --out data/bccd

The result is OUT/train.json with OUT/train/NAME.jpg and so on, which
`CocoDataset` of mmdet reads. `--subset` keeps that many training images, the
first of a seeded permutation, with their annotations; all others stay.
"""

import argparse
from pathlib import Path

from bls_mm.commands.parsing import short_errors
from bls_mm.converters import convert_detection
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
    add_splits(parser, ('JSON', 'IMAGES'))
    add_output(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    splits = find_splits(args)
    with short_errors(Path(__file__).name):
        counts = convert_detection(splits, args.out, args.subset, args.seed)
    print(describe(args.out, counts))


if __name__ == '__main__':
    main()
