"""Compare the cost of an iteration with that of another version of bls_mm.

    git worktree add ../before TAG_OR_COMMIT
    python -m tools.dev.benchmarks.against ../before

Trainings without bls_mm, with the other version and with this one take turns
every 128 iterations on one core, so that all meet the same machine. The first
to be made is some us faster than its twin, so there are two of each version,
in the order other, this, this, other, and the mean of the two is printed. An
iteration is the CPU time of its thread. Low percentiles are what it takes
when nobody disturbs it. They leave out the updates of the scores, which come
once in 128 iterations; see section `update` of the benchmarks for those.
"""

import argparse
import importlib
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook

import bls_mm
from tools.dev.benchmarks.common import make_runner
from tools.dev.benchmarks.hook import BLOCK, RUNS, Turns, on_one_core

_OTHER = 'bls_before'


def import_other(root, folder):
    """Import another version of bls_mm under another name.

    Args:
        root (str): Root of its repository.
        folder (str): Where to put a copy of the package.
    """
    skipped = shutil.ignore_patterns('.mim', '__pycache__')
    copy = Path(folder, _OTHER)
    shutil.copytree(Path(root, 'bls_mm'), copy, ignore=skipped)
    for file in copy.rglob('*.py'):
        text = file.read_text().replace('bls_mm', _OTHER)
        text = text.replace('register_module()', 'register_module(force=True)')
        file.write_text(text)
    sys.path.insert(0, folder)
    return importlib.import_module(_OTHER)


class IterationClock(Hook):
    """Time each iteration after the first epoch; take turns every block."""

    priority = 'VERY_LOW'

    def __init__(self, turns, number):
        self._turns = turns
        self._number = number
        self._start = None
        self.seconds = []

    def before_train(self, runner):
        self._turns.wait(self._number)
        self._start = time.thread_time()

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.epoch > 0:
            self.seconds.append(time.thread_time() - self._start)
        if not (runner.iter + 1) % BLOCK:
            self._turns.pass_on(self._number)
            self._turns.wait(self._number)
        self._start = time.thread_time()


def measure(run, packages, iterations, folder):
    """Seconds of the iterations of a training for each package."""
    turns = Turns(len(packages))
    clocks = [IterationClock(turns, i) for i in range(len(packages))]
    runners = [
        make_runner(
            iterations * 32,
            [clock],
            folder,
            package and dict(type=package.InfoBatch, delta=1.0),
            package=package,
            **RUNS[run],
        )
        for package, clock in zip(packages, clocks)
    ]

    def train(runner):
        try:
            runner.train()
        finally:
            turns.leave()

    with ThreadPoolExecutor(len(packages)) as threads:
        list(threads.map(train, runners))
    return [np.array(clock.seconds) for clock in clocks]


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('root', help='root of the other repository')
    parser.add_argument(
        '--iterations',
        type=int,
        default=8 * BLOCK,
        help=f'of an unpruned epoch; defaults to {8 * BLOCK}',
    )
    parser.add_argument(
        '--runs', nargs='+', default=list(RUNS), choices=list(RUNS)
    )
    args = parser.parse_args(argv)
    names = ('percentile', 'without µs', 'before µs', 'now µs', 'ratio')
    print(f'| run | {" | ".join(names)} |')
    print('| --- | ---: | ---: | ---: | ---: | ---: |', flush=True)
    with tempfile.TemporaryDirectory() as folder, on_one_core():
        other = import_other(args.root, folder)
        packages = [None, other, bls_mm, bls_mm, other]
        for run in args.runs:
            seconds = measure(run, packages, args.iterations, folder)
            for percentile in (5, 25):
                each = [1e6 * np.percentile(s, percentile) for s in seconds]
                row = [each[0], (each[1] + each[4]) / 2, sum(each[2:4]) / 2]
                cells = ' | '.join(f'{value:.1f}' for value in row)
                print(
                    f'| {run} | {percentile} | {cells} | '
                    f'{row[2] / row[1]:.3f} |',
                    flush=True,
                )


if __name__ == '__main__':
    main()
