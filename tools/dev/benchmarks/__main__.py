r"""Measure what pruning costs, next to plain reference implementations.

    python -m tools.dev.benchmarks
    python -m tools.dev.benchmarks --only hook update \
        --markdown docs/benchmark.md
    python -m tools.dev.benchmarks --only end-to-end \
        --end-to-end configs/demo/resnet_mnist.py

Says on standard error what is being measured, prints a table for each section
and writes them all as JSON:

- `hook`: what BLSHook adds to an iteration of a real MMEngine training,
- `update`: the score update of a batch,
- `select`: a selection, the start of a pass, and their memory,
- `seams`: a visit in an iteration-based run of many short passes,
- `merge`: the merge of the scores of two processes over gloo,
- `end-to-end`: time saved against visits saved, for the configs given.

What is compared runs in turns in one process, and every measurement in a
process of its own. A reference that would take minutes is skipped. See
docs/benchmark.md for the meaning of each figure.
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mmengine
import torch

import bls_mm
from tools.dev.benchmarks.common import PRUNERS
from tools.dev.benchmarks.end_to_end import measure_end_to_end
from tools.dev.benchmarks.hook import BLOCK, RUNS, measure_hook, measure_update
from tools.dev.benchmarks.merge import measure_merge
from tools.dev.benchmarks.seams import measure_seams
from tools.dev.benchmarks.select import (
    measure_select_memory,
    measure_select_time,
)
from tools.dev.benchmarks.tables import make_tables, put_into

SIZES = (50_000, 1_281_167, 12_800_000, 100_000_000)
# Below this, the noise of a process is as large as what a selection needs.
SMALLEST_MEMORY_SIZE = 1_000_000
SEAMS_ITERATIONS = 240


# The sections


def hook_rows(args):
    for run in RUNS:
        for batch in (32, 128) if run == 'plain' else (32,):
            yield measure(
                'hook',
                args,
                iterations=args.iterations,
                run=run,
                batch=batch,
            )


def update_rows(args):
    for batch in (2, 32, 128):
        yield measure('update', args, batch=batch)


def select_rows(args):
    for size in args.sizes:
        for pruner in PRUNERS:
            task = dict(pruner=pruner, size=size)
            row = measure('select_time', args, **task)
            if size >= SMALLEST_MEMORY_SIZE:
                row.update(measure('select_memory', args, **task))
            yield row


def seams_rows(args):
    for persistent in (False, True):
        yield measure(
            'seams',
            args,
            iterations=min(args.iterations, SEAMS_ITERATIONS),
            persistent=persistent,
        )


def merge_rows(args):
    for size in args.sizes:
        yield measure('merge', args, size=size)


def end_to_end_rows(args):
    for config in args.end_to_end:
        env = environment(args.device)
        yield from measure_end_to_end(config, args.seeds, env)


SECTIONS = {
    'hook': hook_rows,
    'update': update_rows,
    'select': select_rows,
    'seams': seams_rows,
    'merge': merge_rows,
    'end-to-end': end_to_end_rows,
}
MEASUREMENTS = {
    'hook': measure_hook,
    'update': measure_update,
    'select_time': measure_select_time,
    'select_memory': measure_select_memory,
    'seams': measure_seams,
    'merge': measure_merge,
}


def measure(what, args, **task):
    """Take a measurement in a process of its own.

    Args:
        what (str): Key of ``MEASUREMENTS``.
        args (Namespace): The command line.
        **task: What the measurement depends on.

    Returns:
        dict: Its result.

    Raises:
        RuntimeError: If it fails. The message has the end of its output.
    """
    settings = ', '.join(f'{name} {value}' for name, value in task.items())
    print(f'{what}: {settings} ... ', end='', file=sys.stderr, flush=True)
    start = time.monotonic()
    task.update(device=args.device, repeats=args.repeats)
    env = environment(args.device)
    if what == 'select_memory':
        # Give freed memory back at once. It costs time, so not otherwise.
        env['MALLOC_MMAP_THRESHOLD_'] = env['MALLOC_TRIM_THRESHOLD_'] = '65536'
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'result.json')
        command = [sys.executable, '-m', __spec__.name, '--measure', what]
        done = subprocess.run(
            [*command, json.dumps(task), str(file)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(
                f'{what} {task} failed ({done.returncode}). Its last lines:\n'
                + '\n'.join(done.stdout.splitlines()[-20:])
            )
        print(f'{time.monotonic() - start:.0f} s', file=sys.stderr, flush=True)
        return json.loads(file.read_text())


def measure_here(what, task, file):
    """The other side of :func:`measure`."""
    result = MEASUREMENTS[what](json.loads(task))
    Path(file).write_text(json.dumps(result))


def environment(device):
    """The environment of a measurement: MMEngine takes any GPU it sees."""
    hidden = {'CUDA_VISIBLE_DEVICES': ''} if device == 'cpu' else {}
    return {**os.environ, **hidden}


def describe_machine(on_gpu):
    """What the figures depend on."""
    info = Path('/proc/cpuinfo')
    name = re.search(
        r'model name\s*: (.*)', info.read_text() if info.exists() else ''
    )
    return dict(
        date=datetime.date.today().isoformat(),
        cpu=name[1] if name else platform.processor(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        load=os.getloadavg()[0],
        gpu=torch.cuda.get_device_name() if on_gpu else None,
        cuda=torch.version.cuda if on_gpu else None,
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        bls_mm=bls_mm.__version__,
    )


# The command line


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--sizes', nargs='+', type=int, default=SIZES, metavar='N'
    )
    parser.add_argument(
        '--device',
        choices=['cpu', 'cuda'],
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='defaults to cuda where there is one',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=10,
        help='pairs of trainings with and without the hook, and repetitions '
        'of the other measurements; defaults to 10',
    )
    parser.add_argument(
        '--iterations',
        type=int,
        default=24 * BLOCK,
        help='iterations of an unpruned epoch in section hook; defaults to '
        f'{24 * BLOCK}',
    )
    parser.add_argument(
        '--json', default='work_dirs/benchmark.json', metavar='FILE'
    )
    parser.add_argument(
        '--markdown',
        metavar='FILE',
        help='replace the tables in this file, between comments with their '
        'names; for docs/benchmark.md',
    )
    parser.add_argument(
        '--only', nargs='+', choices=list(SECTIONS), metavar='SECTION'
    )
    parser.add_argument(
        '--end-to-end',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help='configs to train in full and pruned, which takes minutes',
    )
    parser.add_argument(
        '--seeds',
        nargs='+',
        type=int,
        default=[0],
        help='seeds of the trainings end to end',
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    content = dict(device=args.device, repeats=args.repeats, sections={})
    for section in args.only or SECTIONS:
        machine = describe_machine(args.device == 'cuda')
        rows = []
        # Row by row, so that what was measured survives an interruption.
        for row in SECTIONS[section](args):
            rows.append(row)
            content['sections'][section] = dict(machine=machine, rows=rows)
            file = Path(args.json)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content, indent=2) + '\n')
        if not rows:
            continue
        known = {key: value for key, value in machine.items() if value}
        caption = ', '.join(f'{key} {value}' for key, value in known.items())
        for title, table in make_tables(section, rows).items():
            text = f'{table}\n\n{caption}.'
            print(f'{title}\n\n{text}\n', flush=True)
            if args.markdown:
                put_into(args.markdown, title, text)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--measure']:
        measure_here(*sys.argv[2:])
    else:
        main()
