"""Write a detection set with COCO annotations to where the configs read it.

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

from bls_mm.converters import convert_detection

SPLITS = ('train', 'val', 'test')


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for split in SPLITS:
        parser.add_argument(
            f'--{split}',
            nargs=2,
            type=Path,
            metavar=('JSON', 'IMAGES'),
            required=split == 'train',
        )
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument(
        '--subset', type=int, help='number of training images to keep'
    )
    parser.add_argument('--seed', type=int, default=0, help='which of them')
    args = parser.parse_args(argv)
    splits = {s: getattr(args, s) for s in SPLITS if getattr(args, s)}
    try:
        counts = convert_detection(splits, args.out, args.subset, args.seed)
    except (OSError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    sizes = ', '.join(f'{n} {split}' for split, n in counts.items())
    print(f'{args.out} has {sizes} images')


if __name__ == '__main__':
    main()
