"""Options of the command line, applied to a config."""

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
