"""A selection and the start of a pass: time and memory."""

import tempfile
import time

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook

from bls_mm import BLSHook
from tools.dev.benchmarks.common import (
    PRUNERS,
    Memory,
    fill,
    make_runner,
    make_scores,
    process_memory,
    ratio,
    take_turns,
)
from tools.dev.benchmarks.reference import REFERENCES, reference_pass

# The largest size at which a reference takes seconds rather than minutes.
REFERENCE_LIMITS = dict.fromkeys(PRUNERS, 2e7)
REFERENCE_LIMITS.update({'seta': 2e6, 'seta-target': 2e6})


class Built(Exception):  # noqa: N818  not an error
    """Everything is built and training could begin."""


class Stamp(Hook):
    """Write down when training begins; perhaps do not let it begin."""

    def __init__(self, times, stop=False):
        self._times = times
        self._stop = stop

    def before_train(self, runner):
        self._times.append(time.perf_counter())
        if self._stop:
            raise Built


class Training:
    """A pruned training that makes no iteration, only starts passes.

    Args:
        pruner (str): Name of the pruner.
        size (int): Number of samples.
        folder (str): Where MMEngine writes.

    Attributes:
        setup_seconds (float): Those of `BLSHook.before_train`.
    """

    def __init__(self, pruner, size, folder):
        times = []
        self._runner = make_runner(
            size, [], folder, {**PRUNERS[pruner], 'delta': 1.0}, epochs=1000
        )
        self._runner.register_hook(Stamp(times), 'VERY_HIGH')
        self._runner.register_hook(Stamp(times, stop=True), 'VERY_LOW')
        try:
            self._runner.train()
        except Built:
            pass
        self.setup_seconds = times[1] - times[0]
        self._hook = next(
            hook for hook in self._runner.hooks if isinstance(hook, BLSHook)
        )
        self.sampler = self._runner.train_dataloader.sampler
        self.start_pass()  # the first, which is not pruned
        fill(self._hook.scores)

    def start_pass(self):
        """From scores to the first batch of indices for the DataLoader."""
        self._hook.before_train_epoch(self._runner)
        next(iter(self._runner.train_dataloader.batch_sampler))
        # As if the pass had run, with steps of the optimizer.
        self._hook._run.iteration.rescaler.used = True
        self._hook.after_train_epoch(self._runner)
        self._runner.train_loop._epoch += 1


def make_pruner(name, device):
    """A function that selects from scores for a pass that is pruned."""
    settings = dict(PRUNERS[name])
    pruner = settings.pop('type')(**settings)
    generator = torch.Generator(device).manual_seed(0)
    return lambda scores: pruner.select(
        scores, generator, epoch=1, share=pruner.target_saving
    )


def measure_select_time(task):
    """Time of a selection and of the start of a pass."""
    name, size, device = task['pruner'], task['size'], task['device']
    scores, select = make_scores(size, device), make_pruner(name, device)
    warm_up(name, device)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(name, size, folder)
    functions = dict(
        select=lambda: select(scores),
        start=training.start_pass,
    )
    if size <= REFERENCE_LIMITS[name]:
        functions.update(reference_functions(name, scores))
    seconds = take_turns(functions, device, task['repeats'])
    plain, plain_start = seconds.get('plain'), seconds.get('plain_start')
    return dict(
        pruner=name,
        size=size,
        kept=training.sampler.selected / size,
        select_s=seconds['select'],
        reference_s=plain,
        ratio=ratio(plain, seconds['select']),
        start_s=seconds['start'],
        reference_start_s=plain_start,
        start_ratio=ratio(plain_start, seconds['start']),
        unpruned_start_s=seconds.get('unpruned'),
        setup_s=training.setup_seconds,
    )


def reference_functions(name, scores):
    """The reference beside each of our functions, on the host."""
    select, rng = REFERENCES[name], np.random.default_rng(0)
    unpruned = DefaultSampler(range(len(scores)), seed=0)
    return dict(
        plain=lambda: select(scores.cpu().numpy(), rng),
        plain_start=lambda: reference_pass(select, scores.cpu().numpy(), rng),
        unpruned=lambda: next(iter(unpruned)),
    )


def warm_up(pruner, device):
    """Let libraries load and threads start."""
    make_pruner(pruner, device)(make_scores(200_000, device))
    with tempfile.TemporaryDirectory() as folder:
        Training(pruner, 200_000, folder).start_pass()


def measure_select_memory(task):
    """Bytes per sample of a selection and of the start of a pass."""
    name, size, device = task['pruner'], task['size'], task['device']
    warm_up(name, device)
    places = {'host': 'cpu', 'device': device}
    if device == 'cpu':
        del places['device']  # the same memory
    memory = {place: Memory(where) for place, where in places.items()}
    of_scores = {list(places)[-1]: 4}
    results = {}

    def forget_peak():
        for each in memory.values():
            each.forget_peak()

    def note(what, bytes_of):
        for place, each in memory.items():
            beside = of_scores.get(place, 0)
            results[f'{place}_{what}'] = bytes_of(each) / size - beside

    scores, select = make_scores(size, device), make_pruner(name, device)
    forget_peak()
    select(scores)
    note('select_peak', Memory.peak)
    del scores
    with tempfile.TemporaryDirectory() as folder:
        training = Training(name, size, folder)
    training.start_pass()
    # From now on there is a pass before, which the next one replaces.
    forget_peak()
    training.start_pass()
    note('start_peak', Memory.peak)
    note('steady', Memory.steady)
    return dict(process_gib=process_memory('VmHWM') / 2**30, **results)
