"""Write a segmentation set to where the configs read it.

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

from bls_mm.converters import convert_segmentation

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
            metavar=('IMAGES', 'MAPS'),
            required=split == 'train',
        )
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument(
        '--subset', type=int, help='number of training images to keep'
    )
    parser.add_argument('--seed', type=int, default=0, help='which of them')
    parser.add_argument(
        '--ignore', type=int, help='value of pixels without a class'
    )
    args = parser.parse_args(argv)
    splits = {s: getattr(args, s) for s in SPLITS if getattr(args, s)}
    try:
        counts = convert_segmentation(
            splits, args.out, args.subset, args.seed, args.ignore
        )
    except (OSError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    sizes = ', '.join(f'{n} {split}' for split, n in counts.items())
    print(f'{args.out} has {sizes} images')


if __name__ == '__main__':
    main()
