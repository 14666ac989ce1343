"""Kill training runs at random moments, and compare with one that was not.

    python -m tools.dev.resume_check --kills 20

For each loop, pruner and number of ranks a small run is killed (SIGKILL) that
many times: at its start, within an iteration, between two, while a checkpoint
is being written. `tools/train.py --resume` continues it each time. Every
iteration of every attempt, on every rank, has to be that of the run that was
never killed: indices, loss weight, loss, scores, learning rate, parameters
and momenta, to the bit; and so has the last checkpoint. Now and then the
newest checkpoint is cut short by hand as well. Prints a table; the exit
status is 1 if anything differs. Runs on the CPU, and on Linux only.
"""

import argparse
import random
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from tools.dev.resume_check.killed import (
    BALLAST,
    MOMENTS,
    DifferenceError,
    Run,
)
from tools.dev.resume_check.run import LOOPS, PRUNERS, make_config

KILLS_A_RUN = 7


@dataclass
class Result:
    """What happened in all runs of a case."""

    moments: Counter = field(default_factory=Counter)
    seeds: int = 0
    cut: int = 0
    compared: int = 0
    problems: list = field(default_factory=list)

    @property
    def kills(self):
        return sum(self.moments.values())

    def first_lines(self):
        return [problem.partition('\n')[0] for problem in self.problems]


def check_case(loop, pruner, ranks, kills, seed, folder, moments=None):
    """Kill runs with different seeds until there were enough kills.

    ``moments`` fixes when the kills of a run come; random by default.
    """
    result = Result()
    name = f'{loop}-{pruner}-{ranks}'
    chance = random.Random(zlib.crc32(name.encode()) + seed)
    while result.kills < kills and not result.problems:
        config = make_config(loop, pruner, ranks, seed, BALLAST)
        run = Run(folder / f'{name}-{seed}', config, ranks, chance)
        try:
            run.check(min(kills - result.kills, KILLS_A_RUN), moments, result)
        except DifferenceError as problem:
            result.problems.append(f'seed {seed}: {problem}')
        else:
            shutil.rmtree(run.folder)
        seed += 1
        result.seeds += 1
    return result


def make_table(results):
    head = ['loop', 'pruner', 'ranks', 'seeds', 'kills', *MOMENTS]
    rows = [[*head, 'cut by hand', 'iterations compared', 'result']]
    for (loop, pruner, ranks), result in results.items():
        moments = [result.moments[moment] for moment in MOMENTS]
        rows.append(
            [loop, pruner, ranks, result.seeds, result.kills, *moments]
            + [result.cut, result.compared]
            + ['; '.join(result.first_lines()) or 'same']
        )
    rows.insert(1, ['---'] * len(rows[0]))
    return '\n'.join(f'| {" | ".join(map(str, row))} |' for row in rows)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--kills', type=int, default=20, help='of each case; default 20')
    add('--loop', nargs='+', choices=LOOPS, default=LOOPS)
    add('--pruner', nargs='+', choices=PRUNERS, default=PRUNERS)
    add('--ranks', nargs='+', type=int, default=[1, 2])
    add('--seed', type=int, default=0, help='the first one; default 0')
    add('--jobs', type=int, default=1, help='cases at a time; default 1')
    add('--work-dir', help='default: a temporary folder')
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    folder = Path(args.work_dir or tempfile.mkdtemp(prefix='check_resume'))
    cases = list(product(args.loop, args.pruner, args.ranks))

    def check(case):
        result = check_case(*case, args.kills, args.seed, folder)
        print(*case, result, file=sys.stderr, flush=True)
        return result

    with ThreadPoolExecutor(args.jobs) as pool:
        results = dict(zip(cases, pool.map(check, cases)))
    print(make_table(results))
    if any(result.problems for result in results.values()):
        sys.exit(1)
    if not args.work_dir:
        shutil.rmtree(folder)


if __name__ == '__main__':
    main()
