"""A whole schedule, compressed to fewer epochs or iterations."""

import copy
from typing import Any, Dict, Sequence

from mmengine.config import Config

# What a config counts in epochs or iterations.
SCHEDULE_FIELDS = {
    'param_scheduler': (
        'begin', 'end', 'milestones', 'T_max', 'total_steps', 'step_size',
        'periods',
    ),
    'custom_hooks': (
        'begin_epoch', 'begin_iter', 'switch_epoch', 'num_last_epochs',
        'action_epoch', 'warmup_epochs',
    ),
}  # fmt: skip


def compress_schedule(cfg: Config, share: float) -> Config:
    """Shorten a run together with all that happens in its course.

    Args:
        cfg (Config): The config. It is not changed.
        share (float): Share of the run to keep, in (0, 1].

    Returns:
        Config: A new config, of a whole number of epochs or iterations.
    """
    cfg = copy.deepcopy(cfg)
    unit = 'max_epochs' if 'max_epochs' in cfg.train_cfg else 'max_iters'
    length = cfg.train_cfg[unit]
    cfg.train_cfg[unit] = max(1, round(length * share))
    factor = cfg.train_cfg[unit] / length
    cfg.train_cfg.update(_compress_validation(cfg.train_cfg, factor))
    for part, fields in SCHEDULE_FIELDS.items():
        if cfg.get(part):
            cfg[part] = _compress_fields(cfg[part], fields, factor)
    return cfg


def _compress_validation(
    train_cfg: Dict[str, Any], factor: float
) -> Dict[str, Any]:
    """Settings without which a shorter run might never be validated."""
    scaled: Dict[str, Any] = {}
    if train_cfg.get('val_begin'):
        scaled['val_begin'] = _scale(train_cfg['val_begin'], factor)
    if train_cfg.get('dynamic_intervals'):  # MMEngine wants tuples
        scaled['dynamic_intervals'] = [
            (_scale(begin, factor), interval)
            for begin, interval in train_cfg['dynamic_intervals']
        ]
    return scaled


def _compress_fields(node: Any, fields: Sequence[str], factor: float) -> Any:
    """Scale the fields of these names, however deep they are nested."""
    if isinstance(node, (list, tuple)):
        return [_compress_fields(item, fields, factor) for item in node]
    if not isinstance(node, dict):
        return node
    scaled = copy.copy(node)
    for key, value in node.items():
        if key in fields:
            scaled[key] = _scale(value, factor)
        else:
            scaled[key] = _compress_fields(value, fields, factor)
    if 'end' in fields and node.get('end') is not None:
        _keep_span(scaled, node)
    return scaled


def _keep_span(scaled: Dict[str, Any], scheduler: Dict[str, Any]) -> None:
    """Repair what rounding did to a scheduler that begins and ends."""
    begin = scaled.get('begin', 0)
    scaled['end'] = max(scaled['end'], begin + 1)
    if scheduler.get('T_max') == scheduler['end'] - scheduler.get('begin', 0):
        scaled['T_max'] = scaled['end'] - begin  # ends at its minimum


def _scale(value: Any, factor: float) -> Any:
    """Scale one time or a list of them to whole numbers.

    What is not 0 stays at least 1: no period is empty.
    """
    if isinstance(value, (list, tuple)):
        return [_scale(item, factor) for item in value]
    return value and max(1, round(value * factor))
