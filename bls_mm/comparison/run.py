"""One run of a comparison, in a process of its own.

    python -m bls_mm.comparison.run WORK_DIR/SEED/VARIANT/settings.json

The settings are those of :meth:`Study.make_settings`; ``result.json`` appears
beside them.
"""

import json
import math
import os
import sys
import threading
from numbers import Real
from pathlib import Path
from typing import Any, Dict, Optional

from mmengine.config import Config
from torch.utils.data import BatchSampler

from bls_mm.config.pruning import has_pruning
from bls_mm.hooks.bls_hook import BLSHook
from bls_mm.runner.build import build_runner, make_config
from bls_mm.runner.loop import is_epoch_based
from bls_mm.runner.results import RESULT, write_json
from bls_mm.samplers.batch_lookup import find_batch_size
from bls_mm.zoo import load_config

from .clock import TrainClock
from .process import ATTACHED
from .schedule import compress_schedule
from .variants import TRUE

TRUE_SCORES = 'bls_mm.comparison.true_scores.TrueScores'


def main() -> None:
    """Make the run that the command line names."""
    if ATTACHED in sys.argv:
        _end_with_stdin()
    make_run(Path(sys.argv[1]))


def _end_with_stdin() -> None:
    """End this process with the one that holds the other end of its stdin.

    However that one ends. A run that goes on alone would write into the
    folder in which the next process makes it again.
    """

    def wait() -> None:
        os.read(0, 1)  # not `sys.stdin`, whose lock data workers would inherit
        os._exit(1)  # the public ways wait for the main thread

    threading.Thread(target=wait, daemon=True).start()


def make_run(file: Path) -> None:
    """Train and write the result.

    Args:
        file (Path): The file of the settings.
    """
    settings = json.loads(file.read_text())
    runner = build_runner(make_run_config(settings, str(file.parent)))
    clock = TrainClock()
    runner.register_hook(clock)
    runner.train()
    write_json(file.parent / RESULT, make_result(settings, runner, clock))


def make_run_config(settings: Dict[str, Any], work_dir: str) -> Config:
    """Make the config of a run, as ``tools/train.py`` makes it.

    Args:
        settings (dict): From :meth:`Study.make_settings`.
        work_dir (str): Where logs and checkpoints go.

    Returns:
        Config: The config to build a runner from.
    """
    prune, score = settings['prune'], settings['score']
    if prune is None and has_pruning(load_config(settings['config'])):
        prune = 'none'  # a config that has a pruner
    cfg = make_config(
        settings['config'],
        work_dir=work_dir,
        prune=prune,
        prune_ratio=settings['prune_ratio'],
        target_saving=settings['target_saving'],
        score=None if score == TRUE else score,
        cfg_options={
            **settings['cfg_options'],
            'randomness.seed': settings['seed'],
        },
    )
    cfg.resume = False
    if score == TRUE:
        cfg.custom_hooks = [*cfg.custom_hooks, dict(type=TRUE_SCORES)]
    if settings['schedule_share'] is not None:
        cfg = compress_schedule(cfg, settings['schedule_share'])
    return cfg


def make_result(
    settings: Dict[str, Any], runner: Any, clock: TrainClock
) -> Dict[str, Any]:
    """Report on a finished run.

    Args:
        settings (dict): From :meth:`Study.make_settings`.
        runner (Runner): The runner, which has trained.
        clock (TrainClock): Its hook.

    Returns:
        dict: Numbers, strings, lists and dicts of them: ``settings``,
        ``metrics`` of the last validation, samples ``visited`` and
        ``visited_unpruned``, the share ``saved``, shares ``kept`` by each
        pass, ``prune_ratio`` and ``target_saving`` of the pruner,
        ``train_seconds``, ``cpu_seconds``, ``epochs`` and ``iterations``.
    """
    loop = runner.train_loop
    if settings['prune'] is not None:
        report = _report_pruned(runner)
    else:
        report = _report_unpruned(loop)
    numbers = {k: _read_number(v) for k, v in clock.metrics.items()}
    return dict(
        settings=settings,
        metrics={k: v for k, v in numbers.items() if v is not None},
        saved=1 - report['visited'] / report['visited_unpruned'],
        train_seconds=clock.seconds,
        cpu_seconds=clock.cpu_seconds,
        epochs=loop.epoch if is_epoch_based(loop) else None,
        iterations=runner.iter,
        **report,
    )


def _read_number(metric: Any) -> Optional[float]:
    """A metric, also one in a tensor or an array; None if it is no number."""
    try:
        value = metric.item() if hasattr(metric, 'item') else metric
    except (RuntimeError, ValueError):  # of several elements
        return None
    return float(value) if isinstance(value, Real) else None


def _report_pruned(runner: Any) -> Dict[str, Any]:
    """What the hook and the sampler of a pruned run report."""
    hook = next(hook for hook in runner.hooks if isinstance(hook, BLSHook))
    history, _ = runner.message_hub.get_scalar('train/bls_kept').data
    pruner = runner.train_dataloader.batch_sampler.sampler.pruner
    # The hook counts whole passes. A loop of iterations may stop early in one.
    current = hook.planner.current
    batch = hook.visited_unpruned / current.last_step
    left = current.length - current.done
    left_unpruned = current.last_step - current.step
    return dict(
        visited=hook.visited - round(left * batch),
        visited_unpruned=hook.visited_unpruned - round(left_unpruned * batch),
        kept=[float(share) for share in history],
        prune_ratio=getattr(pruner, 'prune_ratio', None),
        target_saving=getattr(pruner, 'target_saving', None),
    )


def _report_unpruned(loop: Any) -> Dict[str, Any]:
    """The same for a run without a hook, in one process."""
    loader = loop.dataloader
    size = len(loader.dataset)
    if is_epoch_based(loop):
        visited = loop.epoch * _count_samples(loader)
    elif type(loader.batch_sampler) is BatchSampler:
        visited = loop.iter * loader.batch_size
    else:  # its batches are not all full
        visited = round(loop.iter * size / len(loader))
    passes = loop.epoch or math.ceil(visited / size)
    return dict(
        visited=visited,
        visited_unpruned=visited,
        kept=[1.0] * passes,
        prune_ratio=None,
        target_saving=None,
    )


def _count_samples(loader: Any) -> int:
    """Samples in the batches of an epoch, as BLSHook counts them."""
    batches = loader.batch_sampler
    size = len(getattr(batches, 'sampler', loader.sampler))
    most = find_batch_size(batches)
    # Fewer with `drop_last`.
    return size if most is None else min(size, len(loader) * most)


if __name__ == '__main__':
    main()
