"""Measure what pruning costs, beside plain reference implementations.

    python tools/benchmark.py
    python tools/benchmark.py --only hook update --json costs.json
    python tools/benchmark.py --only end-to-end \
        --end-to-end configs/demo/resnet_mnist.py

Prints a table (in Markdown) for each section and writes them all as JSON:

- `hook`: what BLSHook adds to an iteration of a real MMEngine training,
- `update`: the score update of a batch,
- `select`: a selection, the start of a pass, and their memory,
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
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mmengine
import numpy as np
import rich.box
import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table
from torch.utils.data import BatchSampler

import bls_mm.dist
from bls_mm import BLSHook, EMAScore, InfoBatch, RandomPrune, SeTa
from bls_mm.dist import merge_scores

SIZES = (50_000, 1_281_167, 12_800_000, 100_000_000)
ALPHA = 0.9
BATCH = 32
PRUNERS = {
    'infobatch': dict(type=InfoBatch, prune_ratio=0.5),
    'seta': dict(type=SeTa, prune_ratio=0.1, num_groups=5, window_scale=0.9),
    'random': dict(type=RandomPrune, prune_ratio=0.5),
}
# The largest size at which a reference takes seconds rather than minutes.
REFERENCE_LIMITS = {'infobatch': 2e7, 'seta': 2e6, 'random': 2e7, 'merge': 2e7}
# Below this, the noise of a process is as large as what a selection needs.
SMALLEST_MEMORY_SIZE = 1_000_000
# Seconds after which a measurement is not repeated any more.
PATIENCE = 20


# The references, written from the papers' formulas


def reference_update(scores, batch, loss, alpha=ALPHA):
    """BLS, the score: ``s_i <- alpha * s_i + (1 - alpha) * L``.

    Args:
        scores (ndarray): Float32, shape (N,). Changed in place.
        batch (list[int]): The samples of the batch, each once.
        loss (Tensor): Loss of the batch, shape ().
        alpha (float): Weight of the past. Defaults to 0.9.
    """
    value = loss.item()
    for i in batch:
        scores[i] = alpha * scores[i] + (1 - alpha) * value


def one_line_update(scores, batch, loss, alpha=ALPHA):
    """The same as one expression of torch; ``batch`` is an int64 tensor."""
    scores[batch] = alpha * scores[batch] + (1 - alpha) * loss


def reference_infobatch(scores, rng, prune_ratio=0.5):
    """InfoBatch, Section 2: drop a share of those below the mean.

    Args:
        scores (ndarray): Float32, shape (N,).
        rng (Generator): NumPy's source of randomness.
        prune_ratio (float): Share of the easy samples to drop.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    easy = scores < scores.mean(dtype=np.float64)
    (easy_ids,), (hard_ids,) = easy.nonzero(), (~easy).nonzero()
    size = round((1 - prune_ratio) * len(easy_ids))
    kept = rng.choice(easy_ids, size, replace=False)
    weights = np.ones(len(hard_ids) + size, dtype=np.float32)
    weights[len(hard_ids) :] = 1 / (1 - prune_ratio)
    return np.concatenate([hard_ids, kept]), weights


def reference_seta(scores, rng, epoch=1, prune_ratio=0.1, num_groups=5):
    """SeTa, Section 3: a random share, its groups, a sliding window.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    kept, _ = reference_random(scores, rng, prune_ratio)
    groups = lloyd(scores[kept], num_groups)
    window_size = round(num_groups * 0.9)
    first = epoch % (num_groups - window_size + 1)
    inside = (groups >= first) & (groups < first + window_size)
    return kept[inside], np.ones(inside.sum(), dtype=np.float32)


def lloyd(values, num_groups, max_rounds=300):
    """Lloyd's k-means, the centres at quantiles in the beginning.

    Returns:
        ndarray: Group of each value, from 0 for the lowest.
    """
    centres = np.quantile(values, (np.arange(num_groups) + 0.5) / num_groups)
    tolerance = 1e-4 * values.std()
    for _ in range(max_rounds):
        groups = np.abs(values[:, None] - centres).argmin(1)
        moved = np.array(
            [values[groups == g].mean() for g in range(num_groups)]
        )
        if np.allclose(moved, centres, rtol=0, atol=tolerance):
            break
        centres = moved
    return groups


def reference_random(scores, rng, prune_ratio=0.5):
    """Keep a random share of all.

    Returns:
        tuple[ndarray, ndarray]: Indices in no order, and their weights.
    """
    size = round((1 - prune_ratio) * len(scores))
    kept = rng.choice(len(scores), size, replace=False)
    return kept, np.ones(size, dtype=np.float32)


def reference_pass(select, scores, rng):
    """From scores to what a DataLoader draws from: a shuffled list.

    MMEngine's samplers make such a list too.
    """
    indices, weights = select(scores, rng)
    weight_of = np.zeros(len(scores), dtype=np.float32)
    weight_of[indices] = weights
    return rng.permutation(indices).tolist(), weight_of


def reference_merge(scores, seen):
    """The mean over the ranks that have seen a sample, in place."""
    ranks = range(dist.get_world_size())
    all_scores = [torch.empty_like(scores) for _ in ranks]
    all_seen = [torch.empty_like(seen) for _ in ranks]
    dist.all_gather(all_scores, scores)
    dist.all_gather(all_seen, seen)
    times = torch.stack(all_seen).sum(0)
    total = (torch.stack(all_scores) * torch.stack(all_seen)).sum(0)
    scores[times > 0] = (total / times)[times > 0]
    seen[:] = 0


REFERENCES = {
    'infobatch': reference_infobatch,
    'seta': reference_seta,
    'random': reference_random,
}


# Time and memory


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


# The hook in a real training loop


class Points(torch.utils.data.Dataset):
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
    """A linear classifier."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(16, 10)

    def forward(self, inputs, labels, mode='tensor'):
        logits = self.linear(inputs)
        return dict(loss=torch.nn.functional.cross_entropy(logits, labels))


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
                for (start, cpu_start), (end, cpu_end) in zip(
                    times, times[1:]
                ):
                    wall.append(self._between(start, end))
                    cpu.append(cpu_end - cpu_start)
        return np.array([typical(wall), typical(cpu)])

    def _between(self, start, end):
        if self._on_gpu:
            return start.elapsed_time(end) / 1000
        return end - start


def typical(values):
    """Mean without the highest 5 %.

    The mean, because in some iterations the hook steps the schedulers and in
    others it does not.
    """
    return statistics.mean(sorted(values)[: -len(values) // 20])


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
        self._running = False

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


def make_runner(size, hooks, work_dir, pruner=None, **settings):
    """A runner that logs nothing and saves nothing.

    Args:
        size (int): Number of samples.
        hooks (list[Hook]): Hooks that look on.
        work_dir (str): Where MMEngine writes.
        pruner (dict, optional): If given, BLSHook and BLSSampler are used.
            Defaults to None.
        **settings: ``epochs``, ``schedule`` (whether the learning rate
            changes by iteration) and ``regrouped`` (whether the batch
            sampler might regroup indices).
    """
    make_runner.count += 1  # MMEngine's loggers and hubs go by name
    epochs = settings.get('epochs', 3)
    sampler = dict(type='DefaultSampler', shuffle=True)
    if pruner is not None:
        sampler = dict(type='BLSSampler', pruner=dict(pruner))
        hooks = [BLSHook(), *hooks]
    loader = dict(
        dataset=Points(size, stored=10_000),
        sampler=sampler,
        batch_size=BATCH,
        num_workers=0,
        collate_fn=dict(type=lambda batch: batch),
    )
    if settings.get('regrouped'):
        loader['batch_sampler'] = dict(type=OtherBatchSampler, drop_last=False)
    scheduler = dict(
        type='LinearLR', by_epoch=False, end=epochs * size // BATCH
    )
    return Runner(
        model=Linear(),
        work_dir=work_dir,
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
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
        experiment_name=f'benchmark{make_runner.count}',
    )


make_runner.count = 0


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
        schedule='by iteration' if task['schedule'] else 'none',
        batches='regrouped' if task['regrouped'] else 'plain',
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
        task['iterations'] * BATCH,
        [observer],
        folder,
        {**PRUNERS['infobatch'], 'delta': 1.0} if prunes else None,
        schedule=task['schedule'],
        regrouped=task['regrouped'],
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


# The score update


def measure_update(task):
    """One update of the scores of a batch."""
    calls, batch = 200, task['batch']
    scores = make_scores(1_281_167, task['device'])
    plain_scores = scores.cpu().numpy()
    order = torch.randperm(len(scores))[: calls * batch].view(calls, batch)
    on_device = list(order.to(task['device']))
    lists = order.tolist()
    loss = torch.tensor(1.0, device=task['device'])
    score = EMAScore(alpha=ALPHA)

    def ours():
        for ids in on_device:
            score.update(scores, ids, loss)

    def one_line():
        for ids in on_device:
            one_line_update(scores, ids, loss)

    def plain():
        for ids in lists:
            reference_update(plain_scores, ids, loss)

    functions = dict(ours=ours, one_line=one_line, plain=plain)
    seconds = take_turns(functions, task['device'], 3 * task['repeats'])
    us = {name: scaled(s, 1e6 / calls) for name, s in seconds.items()}
    return dict(
        batch=batch,
        update_us=us['ours'],
        reference_us=us['plain'],
        ratio=ratio(us['plain'], us['ours']),
        one_line_us=us['one_line'],
        one_line_ratio=ratio(us['one_line'], us['ours']),
    )


def scaled(values, factor):
    """A summary in another unit."""
    return {
        name: value if name == 'runs' else value * factor
        for name, value in values.items()
    }


# A selection and the start of a pass


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
        # As if the pass had run.
        self._hook.after_train_epoch(self._runner)


def make_pruner(name, device):
    """A function that selects from scores for a pass that is pruned."""
    settings = dict(PRUNERS[name])
    pruner = settings.pop('type')(**settings)
    pruner.epoch = 1
    generator = torch.Generator(device).manual_seed(0)
    return lambda scores: pruner.select(scores, generator)


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


# Merging the scores of two ranks


def measure_merge(task):
    """Time of a merge, and the bytes that are handed over for it."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(merge_rank, (task, folder), nprocs=2)
        return json.loads(Path(folder, 'result.json').read_text())


def merge_rank(rank, task, folder):
    """One of two processes; the first one reports."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=2,
    )
    size = task['size']
    scores = make_scores(size, 'cpu')
    seen = (torch.arange(size) % 2 == rank).byte()
    handed = bytes_handed_over(scores.clone(), seen.clone())
    functions = dict(merge=lambda: merge_scores(scores, seen))
    if size <= REFERENCE_LIMITS['merge']:
        functions['plain'] = lambda: reference_merge(scores, seen)
    # The ranks have to agree on how often, so no patience.
    seconds = take_turns(functions, 'cpu', task['repeats'], float('inf'))
    result = dict(
        size=size,
        merge_s=seconds['merge'],
        reference_s=seconds.get('plain'),
        ratio=ratio(seconds.get('plain'), seconds['merge']),
        bytes_per_sample=handed / size,
    )
    if rank == 0:
        Path(folder, 'result.json').write_text(json.dumps(result))
    dist.destroy_process_group()


def bytes_handed_over(scores, seen):
    """Bytes that a merge gives to collectives."""
    handed = []

    def counted(tensor, *args, **kwargs):
        handed.append(tensor.numel() * tensor.element_size())
        return all_reduce(tensor, *args, **kwargs)

    bls_mm.dist.all_reduce = counted
    merge_scores(scores, seen)
    bls_mm.dist.all_reduce = all_reduce
    return sum(handed)


# Whole trainings


def measure_end_to_end(config, args):
    """Time saved against visits saved.

    Returns:
        list[dict]: A row for each pruner.
    """
    folder = Path('work_dirs', 'benchmark', Path(config).stem)
    script = Path(__file__).with_name('compare.py')
    command = [sys.executable, str(script), config]
    command += ['--prune', 'infobatch', 'seta', '--work-dir', str(folder)]
    command += ['--seeds', *map(str, args.seeds)]
    subprocess.run(command, check=True, env=environment(args.device))
    runs = json.loads((folder / 'compare.json').read_text())['runs']
    return efficiencies(config, runs)


def efficiencies(config, runs):
    """Share of time saved by share of visits saved, medians of the seeds.

    Args:
        config (str): The config.
        runs (list[dict]): Results of `compare.py`.

    Returns:
        list[dict]: A row for each pruner.
    """
    by_run = {
        (r['settings']['variant'], r['settings']['seed']): r for r in runs
    }
    rows = []
    for pruner in ('infobatch', 'seta'):
        pairs = [
            (run, by_run['full', seed])
            for (variant, seed), run in by_run.items()
            if variant == pruner
        ]
        visits = [pruned['saved'] for pruned, _ in pairs]
        row = dict(config=config, pruner=pruner, visits_saved=summary(visits))
        for clock in ('train', 'cpu'):
            key = f'{clock}_seconds'
            saved = [1 - pruned[key] / full[key] for pruned, full in pairs]
            shares = [s / v for s, v in zip(saved, visits) if v]
            row[f'{clock}_full_s'] = summary([full[key] for _, full in pairs])
            row[f'{clock}_saved'] = summary(saved)
            row[f'{clock}_efficiency'] = summary(shares) if shares else None
        rows.append(row)
    return rows


# The sections


def hook_rows(args):
    for schedule, regrouped in ((False, False), (True, False), (False, True)):
        task = dict(schedule=schedule, regrouped=regrouped)
        yield measure('hook', args, iterations=300, **task)


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


def merge_rows(args):
    for size in args.sizes:
        yield measure('merge', args, size=size)


def end_to_end_rows(args):
    for config in args.end_to_end:
        yield from measure_end_to_end(config, args)


SECTIONS = {
    'hook': hook_rows,
    'update': update_rows,
    'select': select_rows,
    'merge': merge_rows,
    'end-to-end': end_to_end_rows,
}


def measure(what, args, **task):
    """Take a measurement in a process of its own.

    Args:
        what (str): Name after ``measure_``.
        args (Namespace): The command line.
        **task: What the measurement depends on.

    Returns:
        dict: Its result.

    Raises:
        RuntimeError: If it fails. The message has the end of its output.
    """
    task.update(device=args.device, repeats=args.repeats)
    env = environment(args.device)
    if what == 'select_memory':
        # Give freed memory back at once. It costs time, so not otherwise.
        env['MALLOC_MMAP_THRESHOLD_'] = env['MALLOC_TRIM_THRESHOLD_'] = '65536'
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'result.json')
        command = [sys.executable, __file__, '--measure', what]
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
        return json.loads(file.read_text())


def measure_here(what, task, file):
    """The other side of :func:`measure`."""
    result = globals()[f'measure_{what}'](json.loads(task))
    Path(file).write_text(json.dumps(result))


def environment(device):
    """The environment of a measurement.

    MMEngine uses a GPU wherever it sees one.
    """
    hidden = {'CUDA_VISIBLE_DEVICES': ''} if device == 'cpu' else {}
    return {**os.environ, **hidden}


def describe_machine(on_gpu):
    """What the figures depend on."""
    cpu = platform.processor()
    info = Path('/proc/cpuinfo')
    if info.exists():
        names = re.search(r'model name\s*: (.*)', info.read_text())
        cpu = names[1] if names else cpu
    return dict(
        cpu=cpu,
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        load=os.getloadavg()[0],
        gpu=torch.cuda.get_device_name() if on_gpu else None,
        cuda=torch.version.cuda if on_gpu else None,
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        numpy=np.__version__,
        bls_mm=bls_mm.__version__,
    )


# The tables


def readable(seconds):
    """Three digits and a unit."""
    for unit, factor in (('µs', 1e6), ('ms', 1e3)):
        if seconds * factor < 999.5:
            return f'{seconds * factor:.3g} {unit}'
    return f'{seconds:.3g} s'


# Heading, key of a row, format. Columns without any value are left out.
COLUMNS = {
    'hook': [
        ('schedule', 'schedule', '{}'),
        ('batches', 'batches', '{}'),
        ('without µs', 'plain_us', '{:.1f}'),
        ('with µs', 'hooked_us', '{:.1f}'),
        ('hook µs', 'added_us', '{:.1f}'),
        ('hook CPU µs', 'added_cpu_us', '{:.1f}'),
        ('with / without', 'ratio', '{:.3f}'),
        ('launches', 'added_launches', '{:.1f}'),
        ('copies', 'added_copies', '{:.1f}'),
        ('syncs', 'added_syncs', '{:.1f}'),
    ],
    'update': [
        ('batch', 'batch', '{}'),
        ('update µs', 'update_us', '{:.1f}'),
        ('reference µs', 'reference_us', '{:.1f}'),
        ('ratio', 'ratio', '{:.2f}'),
        ('one line µs', 'one_line_us', '{:.1f}'),
        ('ratio', 'one_line_ratio', '{:.2f}'),
    ],
    'select': [
        ('pruner', 'pruner', '{}'),
        ('N', 'size', '{:,}'),
        ('kept', 'kept', '{:.1%}'),
        ('select', 'select_s', readable),
        ('reference', 'reference_s', readable),
        ('ratio', 'ratio', '{:.1f}'),
        ('start', 'start_s', readable),
        ('reference', 'reference_start_s', readable),
        ('ratio', 'start_ratio', '{:.1f}'),
        ('unpruned', 'unpruned_start_s', readable),
        ('setup', 'setup_s', readable),
    ],
    'select: bytes per sample beside the scores': [
        ('pruner', 'pruner', '{}'),
        ('N', 'size', '{:,}'),
        ('device: select peak', 'device_select_peak', '{:.1f}'),
        ('start peak', 'device_start_peak', '{:.1f}'),
        ('steady', 'device_steady', '{:.1f}'),
        ('host: select peak', 'host_select_peak', '{:.1f}'),
        ('start peak', 'host_start_peak', '{:.1f}'),
        ('steady', 'host_steady', '{:.1f}'),
        ('process GiB', 'process_gib', '{:.2f}'),
    ],
    'merge': [
        ('N', 'size', '{:,}'),
        ('merge', 'merge_s', readable),
        ('reference', 'reference_s', readable),
        ('ratio', 'ratio', '{:.2f}'),
        ('bytes per sample', 'bytes_per_sample', '{:.1f}'),
    ],
    'end-to-end': [
        ('config', 'config', '{}'),
        ('pruner', 'pruner', '{}'),
        ('visits saved', 'visits_saved', '{:.1%}'),
        ('full wall s', 'train_full_s', '{:.1f}'),
        ('wall saved', 'train_saved', '{:.1%}'),
        ('efficiency', 'train_efficiency', '{:.3f}'),
        ('full CPU s', 'cpu_full_s', '{:.1f}'),
        ('CPU saved', 'cpu_saved', '{:.1%}'),
        ('efficiency', 'cpu_efficiency', '{:.3f}'),
    ],
}


def make_tables(section, rows):
    """The tables of a section.

    Returns:
        list[Table]: Tables of rich.
    """
    titles = [title for title in COLUMNS if title.split(':')[0] == section]
    return [make_table(title, rows) for title in titles]


def make_table(title, rows):
    columns = [
        (heading, key, form)
        for heading, key, form in COLUMNS[title]
        if any(row.get(key) is not None for row in rows)
    ]
    table = Table(title=title, box=rich.box.MARKDOWN, title_justify='left')
    for heading, key, _ in columns:
        is_text = isinstance(rows[0].get(key), str)
        justify = 'left' if is_text else 'right'
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(show(row.get(key), form) for _, key, form in columns))
    return table


def show(value, form):
    """Write a number, or a median and half the width of the middle half."""
    if value is None:
        return 'skipped'
    write = form if callable(form) else form.format
    if not isinstance(value, dict):
        return write(value)
    text = write(value['median'])
    if value['runs'] == 1 or not value['median']:
        return text
    spread = (value['high'] - value['low']) / 2 / abs(value['median'])
    return f'{text} ±{spread:.0%}'


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
        help='defaults to cuda where there is one',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=10,
        help='pairs of trainings with and without the hook, and turns of '
        'the other measurements; defaults to 10',
    )
    parser.add_argument(
        '--json', default='work_dirs/benchmark.json', metavar='FILE'
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
    args = parser.parse_args(argv)
    if args.device is None:
        args.device = 'cuda' if torch.cuda.is_available() else 'cpu'
    return args


def write_json(file, content):
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + '\n')


def main(argv=None):
    args = parse_args(argv)
    console = Console(width=200)  # rows of Markdown may not be broken
    machine = describe_machine(args.device == 'cuda')
    console.print(', '.join(f'{k} {v}' for k, v in machine.items() if v))
    now = datetime.datetime.now(datetime.timezone.utc)
    content = dict(
        date=now.isoformat(timespec='seconds'),
        machine=machine,
        device=args.device,
        repeats=args.repeats,
        sections={},
    )
    for section in args.only or SECTIONS:
        rows = list(SECTIONS[section](args))
        if rows:
            content['sections'][section] = rows
            write_json(args.json, content)
            for table in make_tables(section, rows):
                console.print(table)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--measure']:
        measure_here(*sys.argv[2:])
    else:
        main()
