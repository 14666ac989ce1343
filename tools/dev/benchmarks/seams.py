"""Where one pass ends and the next begins, on a dataset of few samples."""

import gc
import tempfile
import time

from mmengine.hooks import Hook
from torch.utils.data import Dataset

from tools.dev.benchmarks.common import Linear, Points, make_runner, summary

SIZE, BATCH = 16, 4
# Two workers keep up with the step.
SECONDS_TO_LOAD, SECONDS_OF_STEP = 0.02, 0.06
PRUNER = dict(type='InfoBatch', target_saving=0.3, delta=1.0)


class SlowPoints(Dataset):
    """Points that take long to load."""

    def __init__(self):
        self._points = Points(SIZE, SIZE)

    def __len__(self):
        return SIZE

    def __getitems__(self, indices):
        time.sleep(SECONDS_TO_LOAD * len(indices))
        return self._points.__getitems__(indices)


class SlowModel(Linear):
    """A model whose step takes long."""

    def forward(self, *args, **kwargs):
        time.sleep(SECONDS_OF_STEP)
        return super().forward(*args, **kwargs)


class Clock(Hook):
    """Look at the time at the end of each iteration."""

    def __init__(self):
        self.times = []

    def after_train_iter(self, *args, **kwargs):
        self.times.append(time.perf_counter())


def measure_seams(task):
    """Time of a visit in an iteration-based run, pruned or not."""
    seconds = {False: [], True: []}
    for _ in range(min(3, task['repeats'])):
        for pruned, of_runs in seconds.items():
            of_runs.append(seconds_per_visit(task, pruned))
    plain, pruned = (summary(values, 1000) for values in seconds.values())
    return dict(
        workers='persistent' if task['persistent'] else 'not persistent',
        plain_ms=plain,
        pruned_ms=pruned,
        ratio=pruned['median'] / plain['median'],
    )


def seconds_per_visit(task, pruned):
    """Mean over the iterations of a run, but for the first passes."""
    clock = Clock()
    loader = dict(
        dataset=SlowPoints(),
        num_workers=2,
        persistent_workers=task['persistent'],
    )
    if not pruned:  # as configs have it; a DefaultSampler waits for seconds
        loader['sampler'] = dict(type='InfiniteSampler')
    with tempfile.TemporaryDirectory() as folder:
        runner = make_runner(
            SIZE,
            [clock],
            folder,
            PRUNER if pruned else None,
            batch=BATCH,
            model=SlowModel(),
            loop=dict(by_epoch=False, max_iters=task['iterations']),
            loader=loader,
        )
        runner.train()
    del runner
    gc.collect()  # else its workers end, slowly, in the middle of the next run
    # The second pass is selected when all have a score, so it waits for its
    # first batch, once in a run.
    times = clock.times[10:]
    return (times[-1] - times[0]) / (len(times) - 1) / BATCH
