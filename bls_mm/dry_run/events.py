"""How often a training validates and saves checkpoints."""

from bisect import bisect
from typing import Any, Dict, Iterator, Optional

from mmengine.config import Config
from mmengine.runner.utils import calc_dynamic_intervals

from bls_mm.config.pruning import list_hooks, type_name


def count_validations(cfg: Config, iterations: Optional[int]) -> Optional[int]:
    """How often a training validates.

    Args:
        cfg (Config): The config.
        iterations (int, optional): Iterations of the run; None if they are
            not known.

    Returns:
        int or None: The number, None if it is not known.
    """
    if cfg.get('val_cfg') is None:  # without it MMEngine has no such loop
        return 0
    loop = cfg.train_cfg
    by_epoch = 'max_epochs' in loop
    total = loop.max_epochs if by_epoch else iterations
    if total is None:
        return None
    milestones, intervals = calc_dynamic_intervals(
        loop.get('val_interval', 1 if by_epoch else 1000),
        loop.get('dynamic_intervals'),
    )
    return sum(
        number == total
        or not number % intervals[bisect(milestones, number + 1) - 1]
        for number in range(max(1, loop.get('val_begin', 1)), total + 1)
    )


def count_checkpoints(cfg: Config, iterations: Optional[int]) -> Optional[int]:
    """How many checkpoints a training saves, the best one left aside.

    Args:
        cfg (Config): The config.
        iterations (int, optional): Iterations of the run; None if they are
            not known.

    Returns:
        int or None: The number, None if it is not known.
    """
    count = 0
    for hook in _checkpoint_hooks(cfg):
        total = iterations
        if hook.get('by_epoch', True):
            # A run that is counted in iterations is one epoch.
            total = cfg.train_cfg.get('max_epochs', 1)
        if total is None:
            return None
        interval, begin = hook.get('interval', -1), hook.get('save_begin', 0)
        saves = set()
        if interval > 0:
            saves = {*range(begin, total + 1, interval)} - {0}
        if hook.get('save_last', True):
            saves.add(total)
        count += len(saves)
    return count


def _checkpoint_hooks(cfg: Config) -> Iterator[Dict[str, Any]]:
    if 'checkpoint' not in (cfg.get('default_hooks') or {}):
        yield dict(interval=1)  # what MMEngine adds
    for hook in list_hooks(cfg):
        if hook and type_name(hook) == 'CheckpointHook':
            yield hook
