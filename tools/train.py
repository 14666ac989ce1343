"""Train a model of any OpenMMLab package, with pruned data if asked to.

The command line of the packages' own `tools/train.py` plus `--prune`,
`--prune-ratio`, `--target-saving` and `--score`. `CONFIG` is a file or a zoo
path:

    python tools/train.py mmdet::retinanet/retinanet_r50_fpn_1x_coco.py \
        --prune infobatch
"""

import argparse
import gc
import os
from pathlib import Path

import torch.distributed as dist
from cpu_ranks import use_gloo
from mmengine.config import ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from bls_mm import state
from bls_mm.checkpoint import find_checkpoint
from bls_mm.config import add_hook, add_pruning, has_pruning
from bls_mm.trusted import trust_mmengine_classes
from bls_mm.zoo import load_config


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or package::path')
    parser.add_argument(
        '--prune',
        metavar='{infobatch,seta,random,none}',
        help='how to prune the data; `none` only keeps scores; without it '
        'the config is trained as it stands',
    )
    add_pruning_options(parser)
    parser.add_argument(
        '--work-dir',
        help='where logs and checkpoints go; defaults to the `work_dir` of '
        'the config, or ./work_dirs/CONFIG',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from this checkpoint, or from the latest one in the '
        'work dir',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate to the actual batch size',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, pruning included, as '
        'key=value; a nested key has dots, a list is "[a,b]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='who starts the processes of a distributed run',
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    settings = (args.prune_ratio, args.target_saving, args.score)
    if args.prune is None and settings != (None, None, None):
        parser.error(
            '`--prune-ratio`, `--target-saving` and `--score` need `--prune`.'
        )
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def add_pruning_options(parser):
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


def make_config(args):
    """Load the config and apply the command line to it."""
    cfg = load_config(args.config)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        use_auto_scale_lr(cfg)
    if args.resume is not None:  # else `resume` of the config holds
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.prune is not None:
        cfg = add_pruning(
            cfg, args.prune, args.prune_ratio, args.score, args.target_saving
        )
        add_hook(cfg, 'BLSVisualizationHook')
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    fill_dataloaders(cfg)
    if cfg.get('resume') and cfg.get('load_from') is None:
        cfg.load_from = find_checkpoint(cfg.work_dir)
    return cfg


def use_amp(cfg):
    """Switch the optimizer wrapper to mixed precision."""
    if get_device() == 'cpu':
        raise ValueError('`--amp` needs a GPU, but there is none.')
    cfg.optim_wrapper['type'] = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def use_auto_scale_lr(cfg):
    """Let the runner scale the learning rate to the batch size."""
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise ValueError(
            '`--auto-scale-lr` needs `auto_scale_lr.base_batch_size`, which '
            'the config does not have.'
        )
    cfg.auto_scale_lr.enable = True


def fill_dataloaders(cfg):
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


class UnusedScores(Hook):
    """Say that a run without BLSHook leaves scores in a checkpoint unused."""

    def after_load_checkpoint(self, runner, checkpoint):
        if state.KEY in checkpoint:
            runner.logger.warning(
                'BLS: the checkpoint has scores, but the run has no BLSHook: '
                'they are not used, and its own checkpoints will have none.'
            )


def build_runner(cfg):
    """Build the runner that the config asks for."""
    trust_mmengine_classes()
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = Runner.from_cfg(cfg)
    if not has_pruning(cfg):
        runner.register_hook(UnusedScores())
    return runner


def main():
    args = parse_args()
    try:
        cfg = make_config(args)
    except (FileNotFoundError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    use_gloo(cfg)
    build_runner(cfg).train()
    if dist.is_initialized():
        # Which MMEngine does not: threads that still run may abort the exit.
        # They end with the last that holds the group, and the model does.
        gc.collect()
        dist.destroy_process_group()


if __name__ == '__main__':
    main()
