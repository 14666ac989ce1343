"""Options of the command line, applied to a config."""

from typing import Any, Dict

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device


def use_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper to mixed precision.

    Args:
        cfg (Config): Changed in place.

    Raises:
        ValueError: If there is no GPU.
    """
    if get_device() == 'cpu':
        raise ValueError('`--amp` needs a GPU, but there is none.')
    cfg.optim_wrapper['type'] = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def use_auto_scale_lr(cfg: Config) -> None:
    """Let the runner scale the learning rate to the batch size.

    Args:
        cfg (Config): Changed in place.

    Raises:
        ValueError: If the config has no ``auto_scale_lr.base_batch_size``.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            '`--auto-scale-lr` needs `auto_scale_lr.base_batch_size`, which '
            'the config does not have.'
        )
    cfg.auto_scale_lr.enable = True


def fill_dataloaders(cfg: Config) -> None:
    """Add what mmpretrain's configs leave to its own ``tools/train.py``.

    Args:
        cfg (Config): Changed in place, if its default scope is mmpretrain's.
    """
    if cfg.get('default_scope') != 'mmpretrain':
        return
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        loader.setdefault('pin_memory', get_device() != 'cpu')
        loader.setdefault(
            'persistent_workers', loader.get('num_workers', 0) > 0
        )
        loader.setdefault('collate_fn', ConfigDict(type='default_collate'))


def check_study_options(cfg_options: Dict[str, Any]) -> None:
    """Refuse options that each run of a study gets from the study.

    Args:
        cfg_options (dict): Settings that override the config.

    Raises:
        ValueError: If they have a seed or a work dir.
    """
    options = Config()
    options.merge_from_dict(cfg_options)
    for part, key, option in (
        (options.get('randomness'), 'seed', 'seeds'),
        (options, 'work_dir', 'work_dir'),
    ):
        if part and part.get(key) is not None:
            raise ValueError(
                f'`cfg_options` should not set the {key} of all runs. Use '
                f'`{option}` (`--{option.replace("_", "-")}`).'
            )
