"""What BLSHook costs in an iteration, and its score update alone."""

import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from mmengine.hooks import Hook

from bls_mm import EMAScore, MARTScore
from bls_mm.scores.pending import BATCHES_AT_A_TIME
from tools.dev.benchmarks.common import (
    PRUNERS,
    make_runner,
    make_scores,
    ratio,
    summary,
    take_turns,
)
from tools.dev.benchmarks.reference import one_line_update, reference_update

# Iterations timed together: BLSHook scores that many batches at once.
BLOCK = BATCHES_AT_A_TIME
# Settings of the runs whose iterations are measured.
RUNS = {
    'plain': dict(),
    'scores of samples': dict(samples=True),
    'EMAScore': dict(hook=dict(score=dict(type='EMAScore'))),
    'schedule by iteration': dict(schedule=True),
    'regrouped batches': dict(regrouped=True),
}


class Turns:
    """Let threads run in turns, so that they meet the same machine.

    Args:
        count (int): How many. Defaults to 2.
    """

    def __init__(self, count=2):
        self._count = count
        self._condition = threading.Condition()
        self._turn = 0
        self._alone = False

    def wait(self, me):
        """Wait until it is the turn of thread ``me``, from 0."""
        with self._condition:
            self._condition.wait_for(lambda: self._alone or self._turn == me)

    def pass_on(self, me):
        """Let the next one run."""
        with self._condition:
            self._turn = (me + 1) % self._count
            self._condition.notify_all()

    def leave(self):
        """Let the others run to their ends."""
        with self._condition:
            self._alone = True
            self._condition.notify_all()


class BlockClock(Hook):
    """Time blocks of iterations and take turns after each.

    Args:
        turns (Turns): The turns.
        number (int): Whose, 0 or 1.
        device (str): 'cpu' or 'cuda'.

    Attributes:
        seconds (list): Wall and CPU seconds of an iteration, for each block
            after the first epoch, which is not pruned and warms up.
    """

    priority = 'VERY_LOW'

    def __init__(self, turns, number, device):
        self._turns = turns
        self._number = number
        self._on_gpu = device == 'cuda'
        self._start = None
        self.seconds = []

    def before_train(self, runner):
        self._turns.wait(self._number)
        self._start = self._now()

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        if (runner.iter + 1) % BLOCK:
            return
        if runner.epoch > 0:
            self.seconds.append((self._now() - self._start) / BLOCK)
        self._turns.pass_on(self._number)
        self._turns.wait(self._number)
        self._start = self._now()

    def _now(self):
        if self._on_gpu:
            torch.cuda.synchronize()
        return np.array([time.perf_counter(), time.thread_time()])


class LaunchCounter(Hook):
    """Count what iterations of the second epoch ask of the GPU."""

    priority = 'VERY_HIGH'
    # In fewer, the update that scores many batches at once may be missing.
    ITERATIONS = BLOCK
    KINDS = {
        'launches': ('cudaLaunch', 'cuLaunch'),
        'copies': ('cudaMemcpy', 'cudaMemset'),
        'syncs': ('cudaStreamSync', 'cudaDeviceSync', 'cudaEventSync'),
    }

    def __init__(self):
        self._profile = torch.profiler.profile()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch != 1:
            return
        if batch_idx == 10:
            self._profile.start()
        elif batch_idx == 10 + self.ITERATIONS:
            self._profile.stop()

    def per_iteration(self):
        events = self._profile.key_averages()
        return {
            kind: sum(e.count for e in events if e.key.startswith(names))
            / self.ITERATIONS
            for kind, names in self.KINDS.items()
        }


@contextmanager
def on_one_core():
    """One core and one thread.

    Two runs would fight for cores, and find other caches after each turn.
    """
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, [max(cores)])
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


def measure_hook(task):
    """What BLSHook and BLSSampler add to an iteration of MMEngine.

    Two runs, with them and without, take turns every ``BLOCK`` iterations.
    """
    blocks = []
    cores = on_one_core() if task['device'] == 'cpu' else nullcontext()
    with tempfile.TemporaryDirectory() as folder, cores:
        for _ in range(task['repeats']):
            blocks += train_in_turns(task, folder)
        counts = {}
        if task['device'] == 'cuda':
            counts = count_launches(task, folder)
    plain, hooked = np.array(blocks).swapaxes(0, 1)
    added = hooked - plain
    return dict(
        run=task['run'],
        batch=task['batch'],
        plain_us=summary(plain[:, 0].tolist(), 1e6),
        hooked_us=summary(hooked[:, 0].tolist(), 1e6),
        added_us=summary(added[:, 0].tolist(), 1e6),
        added_cpu_us=summary(added[:, 1].tolist(), 1e6),
        ratio=float(np.median(hooked, 0)[0] / np.median(plain, 0)[0]),
        **counts,
    )


def train_in_turns(task, folder):
    """Seconds of the blocks of two runs, in pairs."""
    turns = Turns()
    clocks = [BlockClock(turns, i, task['device']) for i in range(2)]
    # Made one after the other: MMEngine's registries know one scope a time.
    runners = [
        make_train_runner(task, prunes, clock, folder)
        for prunes, clock in zip((False, True), clocks)
    ]

    def train(runner):
        try:
            runner.train()
        finally:
            turns.leave()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(train, runners))
    return list(zip(*(clock.seconds for clock in clocks)))


def make_train_runner(task, prunes, observer, folder):
    """A run of three epochs, the second and third of them pruned."""
    return make_runner(
        task['iterations'] * task['batch'],
        [observer],
        folder,
        {**PRUNERS['infobatch'], 'delta': 1.0} if prunes else None,
        batch=task['batch'],
        **RUNS[task['run']],
    )


def count_launches(task, folder):
    """Kernel launches and the like that the hook adds to an iteration."""
    counts = {}
    for prunes in (False, True):
        counter = LaunchCounter()
        make_train_runner(task, prunes, counter, folder).train()
        counts[prunes] = counter.per_iteration()
    row = {}
    for kind, plain in counts[False].items():
        row[f'plain_{kind}'] = plain
        row[f'added_{kind}'] = counts[True][kind] - plain
    return row


def measure_update(task):
    """One update of the scores of a batch, and of many batches at once."""
    calls, batch, device = 2 * BLOCK, task['batch'], task['device']
    scores = make_scores(1_281_167, device)
    plain_scores = scores.cpu().numpy()
    order = torch.randperm(len(scores))[: calls * batch].view(calls, batch)
    on_device, lists = order.to(device), order.tolist()
    loss = torch.tensor(1.0, device=device)
    losses = loss.expand(BLOCK)
    ema, mart = EMAScore(), MARTScore()
    one_at_a_time, at_once = list(on_device), on_device.split(BLOCK)
    functions = dict(
        ema=lambda: [ema.update(scores, b, loss) for b in one_at_a_time],
        ema_at_once=lambda: [ema.update(scores, b, losses) for b in at_once],
        mart=lambda: [mart.update(scores, b, loss) for b in one_at_a_time],
        mart_at_once=lambda: [mart.update(scores, b, losses) for b in at_once],
        one_line=lambda: [
            one_line_update(scores, b, loss) for b in one_at_a_time
        ],
        plain=lambda: [reference_update(plain_scores, b, loss) for b in lists],
    )
    seconds = take_turns(functions, device, 3 * task['repeats'])
    for each in seconds.values():
        for key in ('median', 'low', 'high'):
            each[key] *= 1e6 / calls
    return dict(
        batch=batch,
        **{f'{name}_us': each for name, each in seconds.items()},
        ratio=ratio(seconds['plain'], seconds['ema_at_once']),
    )
