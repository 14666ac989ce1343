"""What BLSHook costs in an iteration, and its score update alone."""

import statistics
import tempfile
import time

import numpy as np
import torch
from benchmark_reference import one_line_update, reference_update
from benchmark_tools import (
    PRUNERS,
    make_runner,
    make_scores,
    ratio,
    summary,
    take_turns,
)
from mmengine.hooks import Hook

from bls_mm import EMAScore, MARTScore
from bls_mm.updates import BATCHES_AT_A_TIME

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


class Clock(Hook):
    """Write down when each iteration ends, and how much CPU was used."""

    priority = 'VERY_LOW'

    def __init__(self, device):
        self._on_gpu = device == 'cuda'
        self._times = {}

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        times = self._times.setdefault(runner.epoch, [])
        times.append((self._mark(), time.thread_time()))

    def _mark(self):
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds_per_iteration(self):
        """Wall and CPU seconds, without the first epoch.

        The first epoch is not pruned and warms up.
        """
        if self._on_gpu:
            torch.cuda.synchronize()
        wall, cpu = [], []
        for epoch, times in self._times.items():
            if epoch > 0:
                marks = times[::BLOCK]
                for (start, cpu_start), (end, cpu_end) in zip(
                    marks, marks[1:]
                ):
                    wall.append(self._between(start, end) / BLOCK)
                    cpu.append((cpu_end - cpu_start) / BLOCK)
        return np.array([statistics.median(wall), statistics.median(cpu)])

    def _between(self, start, end):
        if self._on_gpu:
            return start.elapsed_time(end) / 1000
        return end - start


class LaunchCounter(Hook):
    """Count what 50 iterations of the second epoch ask of the GPU."""

    priority = 'VERY_HIGH'
    ITERATIONS = 50
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


def measure_hook(task):
    """What BLSHook and BLSSampler add to an iteration of MMEngine."""
    plain, hooked = [], []
    with tempfile.TemporaryDirectory() as folder:
        for pair in range(task['repeats']):
            for prunes in (False, True) if pair % 2 else (True, False):
                clock = Clock(task['device'])
                train(task, prunes, clock, folder)
                seconds = clock.seconds_per_iteration()
                (hooked if prunes else plain).append(seconds)
        counts = {}
        if task['device'] == 'cuda':
            counts = count_launches(task, folder)
    added = [ours - theirs for ours, theirs in zip(hooked, plain)]
    return dict(
        run=task['run'],
        batch=task['batch'],
        plain_us=summary([wall for wall, _ in plain], 1e6),
        hooked_us=summary([wall for wall, _ in hooked], 1e6),
        added_us=summary([wall for wall, _ in added], 1e6),
        added_cpu_us=summary([cpu for _, cpu in added], 1e6),
        ratio=float(np.median(hooked, 0)[0] / np.median(plain, 0)[0]),
        **counts,
    )


def train(task, prunes, observer, folder):
    """Train for three epochs, the second and third of them pruned."""
    make_runner(
        task['iterations'] * task['batch'],
        [observer],
        folder,
        {**PRUNERS['infobatch'], 'delta': 1.0} if prunes else None,
        batch=task['batch'],
        **RUNS[task['run']],
    ).train()


def count_launches(task, folder):
    """Kernel launches and the like that the hook adds to an iteration."""
    counts = {}
    for prunes in (False, True):
        counter = LaunchCounter()
        train(task, prunes, counter, folder)
        counts[prunes] = counter.per_iteration()
    return {
        f'added_{kind}': counts[True][kind] - counts[False][kind]
        for kind in LaunchCounter.KINDS
    }


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
