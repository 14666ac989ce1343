"""What the measurements share: clocks, memory, scores and a runner."""

import itertools
import re
import statistics
import time
from pathlib import Path

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import BatchSampler, Dataset

import bls_mm
from bls_mm import InfoBatch, RandomPrune, SeTa

BATCH = 32
TARGET = 0.5
PRUNERS = {
    'infobatch': dict(type=InfoBatch, prune_ratio=0.5),
    'infobatch-target': dict(type=InfoBatch, target_saving=TARGET),
    'seta': dict(type=SeTa, prune_ratio=0.1),
    'seta-target': dict(type=SeTa, target_saving=TARGET),
    'random': dict(type=RandomPrune, prune_ratio=0.5),
}
# Seconds after which a measurement is not repeated any more.
PATIENCE = 20
_NUMBERS = itertools.count()  # MMEngine's loggers and hubs go by name


def elapsed(function, device):
    """Seconds that a call takes, with the work that it leaves to a GPU."""
    if device == 'cuda':
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def take_turns(functions, device, repeats, patience=PATIENCE):
    """Time functions in turns, so that all meet the same disturbances.

    Args:
        functions (dict): Callables by name.
        device (str): 'cpu' or 'cuda'.
        repeats (int): Times to call each; after ``patience`` seconds three
            are enough.
        patience (float): Seconds. Defaults to ``PATIENCE``.

    Returns:
        dict: Summaries of the seconds of each, by name.
    """
    times = {name: [] for name in functions}
    end = time.perf_counter() + patience
    for count in range(repeats):
        if count >= 3 and time.perf_counter() > end:
            break
        for name, function in functions.items():
            times[name].append(elapsed(function, device))
    return {name: summary(values) for name, values in times.items()}


def summary(values, factor=1.0):
    """Median and quartiles, times a factor."""
    low, median, high = (values * 3)[:3]
    if len(values) > 1:
        low, median, high = statistics.quantiles(values, method='inclusive')
    return dict(
        median=median * factor,
        low=low * factor,
        high=high * factor,
        runs=len(values),
    )


def ratio(reference, ours):
    """How many times longer the reference takes; None if it was skipped."""
    if reference is None:
        return None
    return reference['median'] / ours['median']


class Memory:
    """Memory beyond that at the start, of this process or of the GPU.

    Linux counts the peak of a process exactly and can forget it, which
    ``ru_maxrss`` alone cannot.
    """

    def __init__(self, device):
        self._on_gpu = device == 'cuda'
        self._start = self._now()

    def forget_peak(self):
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            Path('/proc/self/clear_refs').write_text('5')

    def peak(self):
        """Bytes at the peak since it was forgotten, beyond the start."""
        if self._on_gpu:
            return torch.cuda.max_memory_allocated() - self._start
        return process_memory('VmHWM') - self._start

    def steady(self):
        """Bytes now, beyond the start."""
        return self._now() - self._start

    def _now(self):
        if self._on_gpu:
            return torch.cuda.memory_allocated()
        return process_memory('VmRSS')


def process_memory(field):
    """Bytes of a field of this process's status."""
    status = Path('/proc/self/status').read_text()
    return int(re.search(rf'{field}:\s+(\d+) kB', status)[1]) * 1024


def make_scores(size, device):
    """Scores as batch losses spread: around 1, skewed."""
    return fill(torch.empty(size, device=device))


def fill(scores):
    generator = torch.Generator(scores.device).manual_seed(0)
    return scores.normal_(generator=generator).mul_(0.3).exp_()


class Points(Dataset):
    """Random points and classes, fetched a batch at a time.

    Args:
        size (int): Length.
        stored (int): How many there are really.
    """

    def __init__(self, size, stored):
        generator = torch.Generator().manual_seed(0)
        self._size = size
        self._inputs = torch.randn(stored, 16, generator=generator)
        self._labels = torch.randint(10, (stored,), generator=generator)

    def __len__(self):
        return self._size

    def __getitems__(self, indices):
        indices = torch.tensor(indices) % len(self._inputs)
        return dict(inputs=self._inputs[indices], labels=self._labels[indices])


class OtherBatchSampler(BatchSampler):
    """One that might regroup indices, as most of mmdet's configs use it."""


class Linear(BaseModel):
    """A linear classifier.

    Args:
        module (bool): Whether its loss is in a module, as packages have it,
            where BLSHook finds the losses of single samples.
    """

    def __init__(self, module=False):
        super().__init__()
        self.linear = nn.Linear(16, 10)
        self.loss = nn.functional.cross_entropy
        if module:
            self.loss = nn.CrossEntropyLoss()

    def forward(self, inputs, labels, mode='tensor'):
        return dict(loss=self.loss(self.linear(inputs), labels))


def make_runner(size, hooks, work_dir, pruner=None, **settings):
    """A runner that logs nothing and saves nothing.

    Args:
        size (int): Number of samples.
        hooks (list[Hook]): Hooks that look on.
        work_dir (str): Where MMEngine writes.
        pruner (dict, optional): If given, BLSHook and BLSSampler are used.
            Defaults to None.
        **settings: ``epochs``, ``hook``, ``batch``, ``schedule`` (whether
            the learning rate changes by iteration), ``regrouped`` (whether
            the batch sampler might regroup indices), ``samples`` (whether
            the losses of single samples are known), ``package`` (where
            BLSHook and BLSSampler are from), ``model``, ``loop`` and
            ``loader`` (settings of the DataLoader).
    """
    epochs = settings.get('epochs', 3)
    batch = settings.get('batch', BATCH)
    package = settings.get('package', bls_mm)
    sampler = dict(type='DefaultSampler', shuffle=True)
    if pruner is not None:
        sampler = dict(type=package.BLSSampler, pruner=dict(pruner))
        hooks = [package.BLSHook(**settings.get('hook', {})), *hooks]
    loader = dict(
        dataset=Points(size, stored=10_000),
        sampler=sampler,
        batch_size=batch,
        num_workers=0,
        collate_fn=dict(type=lambda batch: batch),
    )
    loader.update(settings.get('loader', {}))
    if settings.get('regrouped'):
        loader['batch_sampler'] = dict(type=OtherBatchSampler, drop_last=False)
    scheduler = dict(
        type='LinearLR', by_epoch=False, end=epochs * size // batch
    )
    return Runner(
        model=settings.get('model') or Linear(settings.get('samples', False)),
        work_dir=work_dir,
        train_dataloader=loader,
        train_cfg=settings.get('loop')
        or dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)
        ),
        param_scheduler=scheduler if settings.get('schedule') else None,
        default_hooks=dict(
            checkpoint=None, logger=dict(type='LoggerHook', interval=10**9)
        ),
        custom_hooks=hooks,
        default_scope='mmengine',
        randomness=dict(seed=0),
        log_level='ERROR',
        experiment_name=f'benchmark{next(_NUMBERS)}',
    )
