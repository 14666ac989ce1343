"""Prune every training config of the installed OpenMMLab packages.

Each config is trained for a few passes, with and without pruning. Its data is
a stub of a few batches and its model one parameter; its dataset wrappers,
sampler, batch sampler, loop, schedules, optimizer and the hooks that touch
the data loader are its own. A config passes if

- each batch holds the very samples that the hook scores,
- pruned passes are smaller and the run visits fewer samples,
- the schedules, and with them the learning rate, end where they do without
  pruning, and the run ends with the iteration that it announced.

    python tools/check_zoo.py --packages mmdet --filter '*retinanet*'

A config that cannot be trained without pruning either is listed as broken,
one that a clear message turns away as refused. Anything else is a failure.
"""

import argparse
import fnmatch
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from importlib.metadata import distributions
from importlib.util import find_spec
from multiprocessing.connection import wait
from pathlib import Path

import torch

from bls_mm.zoo_check.run import VERDICTS, check

PACKAGES = ('mmdet', 'mmpretrain', 'mmseg')


# Worker processes, so that a crash or a hang costs one config


class Worker:
    """A process that checks one config after the other."""

    def __init__(self, work_dir):
        context = multiprocessing.get_context('spawn')
        self.pipe, other_end = context.Pipe()
        self._process = context.Process(
            target=serve, args=(other_end, work_dir), daemon=True
        )
        self._process.start()
        other_end.close()

    def give(self, path, timeout):
        self.path = path
        self.start = time.monotonic()
        self.timeout = timeout
        self.pipe.send(path)

    def result(self):
        """The result, None as long as there is none."""
        result = None
        if self.pipe.poll():
            try:
                result = self.pipe.recv()
            except (EOFError, ConnectionError):
                self.stop()
                result = dict(verdict='FAILED', reason='the process died')
        elif time.monotonic() > self.start + self.timeout:
            self.stop()
            reason = f'no end after {self.timeout:g} s'
            result = dict(verdict='FAILED', reason=reason)
        if result is not None:
            seconds = round(time.monotonic() - self.start, 2)
            result.update(path=str(self.path), seconds=seconds)
        return result

    @property
    def alive(self):
        return self._process.is_alive()

    def stop(self):
        self._process.kill()
        self._process.join()


def serve(pipe, work_dir):
    """Check the configs that come through a pipe."""
    torch.set_num_threads(1)
    # Progress bars and warnings; some hold on to the stream itself.
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    while True:
        pipe.send(check(pipe.recv(), work_dir))


def sweep(paths, workers=1, timeout=300):
    """Check configs in worker processes.

    Args:
        paths (list[Path]): Their files.
        workers (int): Number of processes. Defaults to 1.
        timeout (float): Seconds that a config may take. Defaults to 300.

    Yields:
        dict: What :func:`check` returns, with ``path`` and ``seconds``.
    """
    todo, idle, busy = deque(paths), [], []
    with tempfile.TemporaryDirectory() as work_dir:
        try:
            while todo or busy:
                while todo and len(busy) < workers:
                    busy.append(idle.pop() if idle else Worker(work_dir))
                    busy[-1].give(todo.popleft(), timeout)
                wait([worker.pipe for worker in busy], timeout=1)
                for worker in [*busy]:
                    result = worker.result()
                    if result is None:
                        continue
                    busy.remove(worker)
                    if worker.alive:
                        idle.append(worker)
                    yield result
        finally:
            for worker in idle + busy:
                worker.stop()


# Reporting


def find_configs(package, patterns):
    """Config files that a package brings along, without the base files.

    Args:
        package (str): Its import name.
        patterns (list[str]): What to look for, such as ``mmdet::yolox/*``.

    Returns:
        dict[str, str]: Zoo path of each file.
    """
    root = Path(find_spec(package).submodule_search_locations[0])
    root = root / '.mim' / 'configs'
    files = {}
    for file in sorted(root.rglob('*.py')):
        name = f'{package}::{file.relative_to(root).as_posix()}'
        if '_base_' not in file.parts and any(
            fnmatch.fnmatch(name, pattern) for pattern in patterns
        ):
            files[str(file)] = name
    return files


def versions():
    """The installed packages of the OpenMMLab family, and torch."""
    family = 'torch|(onedl-)?mm(engine|cv|det|detection|pretrain|segmentation)'
    installed = {d.metadata['Name']: d.version for d in distributions()}
    return ', '.join(
        f'{name} {installed[name]}'
        for name in sorted(installed)
        if re.fullmatch(family, name)
    )


def report(results):
    """Print a line for each config that did not pass, and the table.

    Args:
        results (list[dict]): What :func:`sweep` yields, with ``name``.
    """
    by_package = defaultdict(list)
    for result in sorted(results, key=lambda result: result['name']):
        by_package[result['name'].partition('::')[0]].append(result)
        if result['verdict'] not in ('passed', 'no training'):
            print(f'{result["verdict"]:10} {result["name"]}')
            print(f'{"":10} {result["reason"][:300]}')
    print(f'\n{versions()}\n')
    columns = ('package', 'configs', *VERDICTS, 'unreadable')
    print(' '.join(f'{column:>10}' for column in columns))
    for package, checked in by_package.items():
        print(_row(package, checked))
    print(_row('all', results))


def _row(name, checked):
    counts = Counter(result['verdict'] for result in checked)
    numbers = [counts[verdict] for verdict in VERDICTS]
    row = (name, sum(numbers), *numbers, counts['unreadable'])
    return ' '.join(f'{cell:>10}' for cell in row)


def show_progress(total, counts, start):
    """Keep one line up to date, or add one now and then to a log."""
    done = sum(counts.values())
    line = f'{done} of {total} files, {time.monotonic() - start:.0f} s: '
    line += ', '.join(f'{n} {verdict}' for verdict, n in counts.items())
    if sys.stderr.isatty():
        end = '\n' if done == total else ''
        print(f'\r\033[K{line}', end=end, file=sys.stderr, flush=True)
    elif done % 100 == 0 or done == total:
        print(line, file=sys.stderr, flush=True)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--packages',
        nargs='+',
        default=[name for name in PACKAGES if find_spec(name)],
        help='import names; defaults to those of '
        f'{", ".join(PACKAGES)} that are installed',
    )
    parser.add_argument(
        '--filter',
        nargs='+',
        default='*',
        metavar='GLOB',
        help='check only these configs, such as "mmdet::retinanet/*"',
    )
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--timeout', type=float, default=300, help='seconds for a config'
    )
    parser.add_argument(
        '--goal',
        type=float,
        default=0.99,
        help='share of the training configs that should pass',
    )
    parser.add_argument('--json', help='write the results to this file, too')
    args = parser.parse_args(argv)
    for name in args.packages:
        if find_spec(name) is None:
            parser.error(f'The package `{name}` is not installed.')
    return args


def main(argv=None):
    args = parse_args(argv)
    names = {}
    for package in args.packages:
        names.update(find_configs(package, args.filter))
    if not names:
        raise SystemExit('check_zoo.py: error: There are no such configs.')
    results, counts, start = [], Counter(), time.monotonic()
    for result in sweep(list(names), args.workers, args.timeout):
        result['name'] = names[result.pop('path')]
        results.append(result)
        counts[result['verdict']] += 1
        show_progress(len(names), counts, start)
    report(results)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))
    checked = sum(counts[verdict] for verdict in VERDICTS)
    reached = counts['passed'] >= args.goal * checked
    return int(counts['FAILED'] > 0 or not reached)


if __name__ == '__main__':
    sys.exit(main())
