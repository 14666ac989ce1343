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
from mmengine.config import DictAction

from bls_mm.config.options import add_pruning_options
from bls_mm.runner.build import build_runner, make_config
from bls_mm.runner.cpu_ranks import use_gloo


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


def config_of(args):
    """The config that the command line asks for."""
    settings = {k: v for k, v in vars(args).items() if k != 'local_rank'}
    return make_config(**settings)


def main():
    args = parse_args()
    try:
        cfg = config_of(args)
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
