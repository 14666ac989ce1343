"""Report which samples a pruned training found hard, from its checkpoints.

Writes `report.html`, one file to open in a browser, and `scores.csv` into
the folder `analyze` of the work dir. Nothing is trained. Run it where the
training ran, since the config names the data by relative paths:

    python tools/analyze_scores.py work_dirs/CONFIG
"""

import argparse
from pathlib import Path

from bls_mm.analysis import WorkDirError, analyze_scores


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('work_dir', type=Path, help='where the run was saved')
    parser.add_argument(
        '--out',
        type=Path,
        help='folder to write; defaults to WORK_DIR/analyze',
    )
    parser.add_argument(
        '--top',
        type=int,
        default=16,
        help='pictures of a kind; defaults to %(default)s',
    )
    args = parser.parse_args(argv)
    if args.top < 0:
        parser.error(f'`--top` should be 0 or more, but got {args.top}.')
    return args


def main(argv=None):
    args = parse_args(argv)
    try:
        report = analyze_scores(args.work_dir, args.out, args.top)
    except WorkDirError as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    for sentence in (*report.answer.paid, *report.answer.hard):
        print(sentence)
    print(f'Wrote {report.page} and {report.table}')


if __name__ == '__main__':
    main()
