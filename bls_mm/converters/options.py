"""What the command lines of the converters have in common."""

import argparse
from pathlib import Path
from typing import Dict, Tuple

SPLITS = ('train', 'val', 'test')


def add_splits(
    parser: argparse.ArgumentParser, metavar: Tuple[str, str]
) -> None:
    """Add an option for each split, which takes two paths.

    Args:
        parser (ArgumentParser): The parser.
        metavar (tuple[str, str]): What the paths are.
    """
    for split in SPLITS:
        parser.add_argument(
            f'--{split}',
            nargs=2,
            type=Path,
            metavar=metavar,
            required=split == 'train',
        )


def find_splits(args: argparse.Namespace) -> Dict[str, Tuple[Path, Path]]:
    """The paths of the splits that were given, by split."""
    return {s: getattr(args, s) for s in SPLITS if getattr(args, s)}


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add where to write, and how many of the training images."""
    parser.add_argument(
        '--out', type=Path, required=True, help='folder to write'
    )
    parser.add_argument(
        '--subset', type=int, help='number of training images to keep'
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed that decides which ones; defaults to %(default)s',
    )


def describe(out: Path, counts: Dict[str, int]) -> str:
    """What a converter prints at its end."""
    sizes = ', '.join(f'{n} {split}' for split, n in counts.items())
    return f'{out} has {sizes} images'
