"""Train for long on a small model: do memory and time per iteration stay flat?

    python tools/dev/soak.py --epochs 200

Trains in an epoch-based and in an iteration-based loop, with workers, pruned
and, since MMEngine's own history of logged values grows, without bls_mm as
well. Prints the resident memory of the main process and of its workers, and
the time of an iteration, at several moments of each run. The exit status is 1
if the main process or the workers grow by more than `--limit` MB beyond what
they grow by without bls_mm.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor

import psutil
import rich.box
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table
from torch.utils.data import TensorDataset

from bls_mm import BLSHook, BLSSampler

SAMPLES, BATCH, WORKERS = 1000, 20, 2
MOMENTS = 5  # rows of a run; growth is counted from the second
MEASURED = 20  # measurements of which a row is the median


class Model(BaseModel):
    """A linear classifier."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 2)

    def forward(self, points, labels, mode='tensor'):
        logits = self.linear(points)
        return dict(loss=torch.nn.functional.cross_entropy(logits, labels))


class Meter(Hook):
    """Measure memory and time at equal distances.

    Attributes:
        rows (list): Of each measurement: progress, MB of the main process,
            MB of all workers, ms of an iteration, CPU ms of the main process
            in it, which does not depend on what else the machine does.
    """

    priority = 'LOWEST'

    def __init__(self):
        self.rows = []
        self._process = psutil.Process()
        self._next = 0.0

    def before_train(self, runner):
        self._last = runner.iter, time.perf_counter(), time.process_time()

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        # Of the data: a pruned run has fewer iterations.
        progress = (runner.iter + 1) / runner.max_iters
        if progress < self._next:
            return
        self._next += 1 / (MOMENTS * MEASURED)
        before, start, cpu_start = self._last
        now, cpu_now = time.perf_counter(), time.process_time()
        iterations = max(1, runner.iter - before)
        workers = self._process.children(recursive=True)
        self.rows.append(
            (
                progress,
                self._process.memory_info().rss / 1e6,
                sum(worker.memory_info().rss for worker in workers) / 1e6,
                (now - start) * 1e3 / iterations,
                (cpu_now - cpu_start) * 1e3 / iterations,
            )
        )
        self._last = runner.iter, time.perf_counter(), time.process_time()


def train(by_epoch, pruned, epochs):
    """Train one run and return what its meter read."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(SAMPLES, 8, generator=generator)
    labels = (points.sum(1) > 0).long()
    kind = BLSSampler if pruned else 'DefaultSampler'
    meter = Meter()
    loop = dict(by_epoch=True, max_epochs=epochs)
    if not by_epoch:
        kind = BLSSampler if pruned else 'InfiniteSampler'
        iterations = epochs * SAMPLES // BATCH
        loop = dict(by_epoch=False, max_iters=iterations)
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner(
            model=Model(),
            work_dir=work_dir,
            train_dataloader=dict(
                dataset=TensorDataset(points, labels),
                sampler=dict(type=kind, shuffle=True),
                batch_size=BATCH,
                num_workers=WORKERS,
                persistent_workers=True,
                collate_fn=dict(type='default_collate'),
            ),
            train_cfg=loop,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            param_scheduler=dict(type='PolyLR', by_epoch=False),
            custom_hooks=[meter, *([BLSHook()] if pruned else [])],
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1000),
                checkpoint=dict(
                    type='CheckpointHook',
                    interval=10 if by_epoch else 10 * SAMPLES // BATCH,
                    by_epoch=by_epoch,
                    max_keep_ckpts=2,
                ),
            ),
            randomness=dict(seed=0),
            log_level='ERROR',
            experiment_name=f'soak_{by_epoch}_{pruned}',
        )
        runner.train()
    return runner.iter, meter.rows


def moments(rows):
    """Medians of each part of a run, the progress being that of its end."""
    parts = [[] for _ in range(MOMENTS)]
    for row in rows:
        parts[min(int(row[0] * MOMENTS), MOMENTS - 1)].append(row)
    return [
        [part[-1][0], *map(statistics.median, list(zip(*part))[1:])]
        for part in parts
    ]


def grown(found):
    """MB by which main process and workers grow after the first part."""
    return [found[-1][column] - found[1][column] for column in (1, 2)]


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--epochs', type=int, default=200)
    parser.add_argument(
        '--limit', type=float, default=2.0, help='in MB, defaults to 2'
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    context = multiprocessing.get_context('fork')
    console = Console(width=79)
    flat = True
    for loop in ('epochs', 'iterations'):
        growth = {}
        for pruned in (False, True):
            # A process of its own: what one leaves behind is not the next's.
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                run = pool.submit(train, loop == 'epochs', pruned, args.epochs)
                iterations, rows = run.result()
            found = moments(rows)
            growth[pruned] = grown(found)
            name = 'BLSHook, InfoBatch' if pruned else 'without bls_mm'
            print(f'{loop}, {name}: {iterations:,} iterations')
            table = Table(box=rich.box.MARKDOWN)
            for head in (
                'part',
                'main MB',
                'workers MB',
                'ms/iter',
                'CPU ms/iter',
            ):
                table.add_column(head, justify='right')
            for i, (_, *figures) in enumerate(found, 1):
                cells = [f'{figure:.2f}' for figure in figures]
                table.add_row(f'{i} of {MOMENTS}', *cells)
            console.print(table)
        more = [
            ours - plain for ours, plain in zip(*reversed(growth.values()))
        ]
        print(
            f'{loop}: beyond the run without bls_mm, the main process grew '
            f'by {more[0]:.1f} MB and the workers by {more[1]:.1f} MB.\n'
        )
        flat = flat and max(more) <= args.limit
    return 0 if flat else 1


if __name__ == '__main__':
    raise SystemExit(main())
