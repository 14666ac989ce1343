"""Options of a command line, applied to a config."""

from argparse import ArgumentParser

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device


def add_pruning_options(parser: ArgumentParser) -> None:
    """Add what says how to prune, once `--prune` says by which rule."""
    parser.add_argument(
        '--prune-ratio',
        type=float,
        help='share of the prunable samples to drop, in [0, 1); defaults to '
        'that of the pruner',
    )
    parser.add_argument(
        '--target-saving',
        type=float,
        help='share of the visits of the whole run to save, in (0, 1), in '
        'place of `--prune-ratio`',
    )
    parser.add_argument(
        '--score',
        metavar='NAME[:batch][:SETTING=VALUE]',
        help='what to score samples by, such as `ema:batch:alpha=0.7`; '
        '`batch` leaves the losses of single samples alone',
    )


def use_amp(cfg: Config) -> None:
    """Switch the optimizer wrapper to mixed precision."""
    if get_device() == 'cpu':
        raise ValueError('`--amp` needs a GPU, but there is none.')
    cfg.optim_wrapper['type'] = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def use_auto_scale_lr(cfg: Config) -> None:
    """Let the runner scale the learning rate to the batch size."""
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            '`--auto-scale-lr` needs `auto_scale_lr.base_batch_size`, which '
            'the config does not have.'
        )
    cfg.auto_scale_lr.enable = True


def fill_dataloaders(cfg: Config) -> None:
    """Add what mmpretrain's configs leave to its own `tools/train.py`."""
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
