"""Train one run of `tools/compare.py`, in a process of its own.

    python -m bls_mm.comparison.run WORK_DIR/SEED/VARIANT/settings.json

The settings are what `compare.py` wrote; `result.json` appears beside them.
"""

import json
import math
import sys
import time
from numbers import Real
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.utils.data import BatchSampler

from bls_mm import BLSHook
from bls_mm.analysis.true_losses import true_loss_dataset, true_losses
from bls_mm.config.pruning import has_pruning
from bls_mm.runner.build import build_runner, make_config
from bls_mm.runner.loop import is_epoch_based
from bls_mm.zoo import load_config

from .schedule import compress_schedule

# The score that is no rule, see `TrueScores`.
TRUE = 'true'


def main():
    path = Path(sys.argv[1])
    settings = json.loads(path.read_text())
    runner = build_runner(run_config(settings, str(path.parent)))
    clock = TrainClock()
    runner.register_hook(clock)
    runner.train()
    write_json(path.parent / 'result.json', result(settings, runner, clock))


def run_config(settings, work_dir):
    """The config of a run, made as `tools/train.py` makes it."""
    prune, score = settings['prune'], settings['score']
    if prune is None and has_pruning(load_config(settings['config'])):
        prune = 'none'  # a config that prunes by itself
    cfg = make_config(
        settings['config'],
        work_dir=work_dir,
        prune=prune,
        prune_ratio=settings['prune_ratio'],
        target_saving=settings.get('target_saving'),
        score=None if score == TRUE else score,
        cfg_options={
            **settings['cfg_options'],
            'randomness.seed': settings['seed'],
        },
    )
    cfg.resume = False
    if score == TRUE:
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type='TrueScores')]
    if settings['schedule_share'] is not None:
        cfg = compress_schedule(cfg, settings['schedule_share'])
    return cfg


def result(settings, runner, clock):
    """What a finished run reports.

    Returns:
        dict: Numbers, strings, lists and dicts of them.
    """
    loop = runner.train_loop
    if settings['prune'] is not None:
        report = pruned_report(runner)
    else:
        report = unpruned_report(loop)
    return dict(
        settings=settings,
        metrics={
            name: float(value)
            for name, value in clock.metrics.items()
            if isinstance(value, Real)
        },
        saved=1 - report['visited'] / report['visited_unpruned'],
        train_seconds=clock.seconds,
        cpu_seconds=clock.cpu_seconds,
        epochs=loop.max_epochs if is_epoch_based(loop) else None,
        iterations=runner.iter,
        **report,
    )


def pruned_report(runner):
    """What the hook and the sampler of a pruned run report."""
    hook = next(hook for hook in runner.hooks if isinstance(hook, BLSHook))
    history, _ = runner.message_hub.get_scalar('train/bls_kept').data
    pruner = runner.train_dataloader.batch_sampler.sampler.pruner
    return dict(
        visited=hook.visited,
        visited_unpruned=hook.visited_unpruned,
        kept=[float(share) for share in history],
        prune_ratio=getattr(pruner, 'prune_ratio', None),
        target_saving=getattr(pruner, 'target_saving', None),
    )


def unpruned_report(loop):
    """The same for a run without a hook, in one process."""
    loader = loop.dataloader
    size = len(loader.dataset)
    if is_epoch_based(loop):
        visited = loop.max_epochs * size
    elif type(loader.batch_sampler) is BatchSampler:
        visited = loop.max_iters * loader.batch_size
    else:  # its batches are not all full
        visited = round(loop.max_iters * size / len(loader))
    return dict(
        visited=visited,
        visited_unpruned=visited,
        kept=[1.0] * math.ceil(visited / size),
        prune_ratio=None,
        target_saving=None,
    )


@HOOKS.register_module()
class TrueScores(Hook):
    """Score samples by their true losses, with the weights of the moment."""

    priority = 'VERY_HIGH'  # before BLSHook selects

    def before_train(self, runner):
        if not is_epoch_based(runner.train_loop):
            raise ValueError(f'The score `{TRUE}` needs a loop with epochs.')
        self._hook = next(h for h in runner.hooks if isinstance(h, BLSHook))
        self._dataset = true_loss_dataset(runner.cfg)

    def before_train_epoch(self, runner):
        if runner.epoch:  # the first is not pruned
            truth = true_losses(runner.model, self._dataset)
            self._hook.scores.copy_(torch.from_numpy(truth))


class TrainClock(Hook):
    """Measure the time of training without that of validation.

    Attributes:
        seconds (float): From the start of the first epoch to the end of the
            last one.
        cpu_seconds (float): Those that this process computed.
        metrics (dict): Those of the last validation.
    """

    priority = 'VERY_HIGH'  # first, so that the work of other hooks counts

    def __init__(self):
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.metrics = {}
        self._since = None
        self._paused = False

    def before_train_epoch(self, runner):
        if self._since is None:
            self._start()

    def before_val(self, runner):
        self._paused = self._since is not None
        self._stop()

    def after_val(self, runner):
        if self._paused:
            self._start()

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics or {}

    def after_train(self, runner):
        self._stop()

    def _start(self):
        self._since = time.perf_counter(), time.process_time()

    def _stop(self):
        if self._since is not None:
            wall, cpu = self._since
            self.seconds += time.perf_counter() - wall
            self.cpu_seconds += time.process_time() - cpu
            self._since = None


def write_json(file, content):
    """Write readable JSON, all of it or nothing."""
    part = file.with_suffix('.part')
    part.write_text(json.dumps(content, indent=2) + '\n')
    part.replace(file)


if __name__ == '__main__':
    main()
