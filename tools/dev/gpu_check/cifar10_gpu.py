"""What pruning is worth on CIFAR-10, in minutes on one GPU.

    python -m tools.dev.gpu_check.cifar10_data cifar10.tar.xz cifar10.npz
    python -m tools.dev.gpu_check.cifar10_gpu cifar10.npz --minutes 5

Trains a small network in full, pruned and with fewer epochs, paired by
seed, through MMEngine's runner, BLSHook and BLSSampler. The images lie on the
device. Seeds are run one after the other, each with all rows, as long as
another whole seed fits into the time; of several schedules the one comes next
that has had the least time.

Prints each run as it ends and the tables after each seed. Writes them to
`OUT/cifar10.md` and each run to `OUT/cifar10.csv`. The accuracy is that of
all test images as they are, after the last epoch.
"""

import argparse
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from tools.dev.gpu_check.cifar10_data import load
from tools.dev.gpu_check.cifar10_images import drawn_images
from tools.dev.gpu_check.cifar10_report import FULL, append, make_page
from tools.dev.gpu_check.cifar10_run import (
    ROWS,
    Settings,
    Splits,
    epochs_of,
    expected_visits,
    name_of,
    train,
)

DEFAULT_ROWS = [row for row in ROWS if row != 'InfoBatch, EMAScore']


class Clock:
    """Tell how long runs will take, from those that were made.

    Args:
        seconds (float): Time for all, from now on.
        size (int): Samples of an epoch.
        saving (float): As in `Settings`.
    """

    MARGIN = 1.1  # runs differ by some per cent

    def __init__(self, seconds, size, saving):
        self._end = time.perf_counter() + seconds
        self._size, self._saving = size, saving
        self._per_visit = 0.0
        self._per_run = 0.0

    def note(self, run, elapsed):
        """Learn from a run. The slowest counts.

        Args:
            run (dict): The run.
            elapsed (float): Seconds that it took with all around it.
        """
        self._per_visit = max(self._per_visit, run['seconds'] / run['visits'])
        self._per_run = max(self._per_run, elapsed - run['seconds'])

    def fits(self, rows, epochs):
        """Whether these rows of a schedule can end in time."""
        visits = sum(
            expected_visits(row, epochs, self._size, self._saving)
            for row in rows
        )
        needed = visits * self._per_visit + self._per_run * len(rows)
        return time.perf_counter() + self.MARGIN * needed <= self._end


def study(args, splits, settings):
    """Make the runs; return them and how many failed."""
    clock = Clock(60 * args.minutes, len(splits.train), settings.saving)
    # The first run loads and tunes kernels, the second tells the pace.
    for epochs in (1, 2):
        warm = guarded(FULL, epochs, 0, splits, settings, 'warm-up: ')
    if warm is None:
        return [], 1
    clock.note(*warm)
    runs, failures = [], 0
    spent, seeds = Counter(), Counter()
    while True:
        candidates = sorted(args.epochs, key=lambda e: (spent[e], e))
        epochs = next(
            (
                e
                for e in candidates
                if seeds[e] < args.seeds and clock.fits(args.rows, e)
            ),
            None,
        )
        if epochs is None:
            return runs, failures
        seed, start = args.first_seed + seeds[epochs], time.perf_counter()
        for row in args.rows:
            if not clock.fits([row], epochs):
                print(f'no time for {row}, {epochs} epochs, seed {seed}')
                continue
            made = guarded(row, epochs, seed, splits, settings)
            if made is None:
                failures += 1
                continue
            clock.note(*made)
            run = made[0]
            runs.append(run)
            append(args.out / 'cifar10.csv', run)
        seeds[epochs] += 1
        spent[epochs] += time.perf_counter() - start
        write(runs, args, settings)


def guarded(row, epochs, seed, splits, settings, title=''):
    """A run and its seconds, printed; None if it failed.

    A failure does not stop the others.
    """
    start = time.perf_counter()
    length = epochs_of(row, epochs, settings.saving)
    name = f'{title}{row}, {length} epochs, seed {seed}'
    try:
        run = train(row, epochs, seed, splits, settings)
    except Exception:
        print(f'FAILED: {name}\n{traceback.format_exc()}', flush=True)
        return None
    print(
        f'{name}: {run["accuracy"]:.2f} % '
        f'({run["accuracy_mirrored"]:.2f} % with mirror images), '
        f'loss {run["train_loss"]:.3f}, {run["visits"]:,} visits, '
        f'{run["seconds"]:.2f} s',
        flush=True,
    )
    return run, time.perf_counter() - start


def write(runs, args, settings):
    """Print the tables and write them."""
    if not runs:
        return
    caption = (
        f'{name_of(settings.device)}, torch {torch.__version__}, batch size '
        f'{settings.batch}, width {settings.width}. Differences are paired '
        'by seed; their error is the standard error of the mean.'
    )
    page = make_page(runs, caption)
    (args.out / 'cifar10.md').write_text(page)
    print(f'\n{page}', flush=True)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'data',
        nargs='?',
        type=Path,
        help='the file that cifar10_data.py wrote; drawn images with --smoke',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        default=5,
        help='time for all runs; none is begun that would not end in it. '
        'Defaults to 5',
    )
    parser.add_argument(
        '--epochs',
        nargs='+',
        type=int,
        default=[10, 30],
        help='schedules, by the epochs of the full run; defaults to 10 30',
    )
    parser.add_argument(
        '--seeds', type=int, default=50, help='the most; defaults to 50'
    )
    parser.add_argument(
        '--first-seed', type=int, default=0, metavar='N', help='defaults to 0'
    )
    parser.add_argument(
        '--rows',
        nargs='+',
        choices=list(ROWS),
        default=DEFAULT_ROWS,
        help='defaults to all but the last',
    )
    parser.add_argument(
        '--subset',
        type=int,
        metavar='N',
        help='train on N of the images, the same for all runs',
    )
    parser.add_argument(
        '--saving',
        type=float,
        default=Settings.saving,
        help='share of the visits to save; defaults to 0.4',
    )
    parser.add_argument('--batch', type=int, default=Settings.batch)
    parser.add_argument('--width', type=int, default=Settings.width)
    parser.add_argument('--lr', type=float, default=Settings.lr)
    parser.add_argument(
        '--device',
        choices=['cpu', 'cuda'],
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='defaults to cuda where there is one',
    )
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/gpu_check'), metavar='DIR'
    )
    parser.add_argument(
        '--smoke',
        action='store_true',
        help='the same in small: drawn images, a tiny network, two seeds',
    )
    args = parser.parse_args(argv)
    if args.smoke:
        torch.set_num_threads(1)  # so small that threads would only wait
        args.batch, args.width = min(args.batch, 32), min(args.width, 8)
        args.epochs, args.seeds = [5], min(args.seeds, 2)
    elif args.data is None:
        parser.error('give the file that cifar10_data.py wrote, or --smoke')
    if not 0 < args.saving < 1:
        parser.error(f'--saving should be in (0, 1), but got {args.saving}')
    if FULL not in args.rows:
        parser.error(f'--rows needs {FULL}, which the others are compared to')
    return args


def subset(arrays, size):
    """The same arrays with so many training images, the same every time."""
    chosen = np.random.default_rng(0).permutation(len(arrays['train_labels']))
    some = {
        name: array[chosen[:size]]
        for name, array in arrays.items()
        if name.startswith('train')
    }
    return {**arrays, **some}


def main(argv=None):
    args = parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / 'cifar10.csv').unlink(missing_ok=True)
    arrays = drawn_images() if args.data is None else load(args.data)
    if args.subset:
        arrays = subset(arrays, args.subset)
    splits = Splits.from_arrays(arrays, args.device)
    settings = Settings(
        args.device, args.batch, args.width, args.lr, saving=args.saving
    )
    runs, failures = study(args, splits, settings)
    seeds = {(run['epochs'], run['seed']) for run in runs}
    print(f'{len(runs)} runs, {len(seeds)} seeds, {failures} failed')
    raise SystemExit(1 if failures or not runs else 0)


if __name__ == '__main__':
    main()
