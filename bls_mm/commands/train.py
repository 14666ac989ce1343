"""Train a config, optionally with data pruning."""

import argparse
import gc
import os
from typing import Any, List, Optional

from mmengine.config import DictAction

from .parsing import (
    add_config,
    add_pruning_options,
    make_parser,
    say,
    short_errors,
)

DESCRIPTION = """\
Train a config of any OpenMMLab package, optionally with data pruning.

The command line of the packages' own `tools/train.py`, plus `--prune`,
`--prune-ratio`, `--target-saving`, `--score` and `--dry-run`.
"""
EXAMPLES = """\
  # skip a fifth of the visits
  %(prog)s my_config.py --prune infobatch --target-saving 0.2

  # a config of an installed package; show what would happen, do not train
  %(prog)s mmdet::retinanet/retinanet_r50_fpn_1x_coco.py \\
      --prune infobatch --dry-run

  # continue the latest checkpoint
  %(prog)s my_config.py --prune infobatch --resume

  # two GPUs
  python -m torch.distributed.run --nproc_per_node 2 -m bls_mm train \\
      my_config.py --prune infobatch --launcher pytorch
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: Optional[str] = None
) -> argparse.Namespace:
    """Read the command line.

    Args:
        argv (list[str], optional): The words. Defaults to None, those of the
            process.
        prog (str, optional): How the command is called. Defaults to None,
            the script that is running.

    Returns:
        Namespace: The options.
    """
    parser = make_parser(DESCRIPTION, EXAMPLES, prog)
    add_config(parser)
    parser.add_argument(
        '--prune',
        metavar='{infobatch,importance,seta,random,none}',
        help='how to prune the data; `none` keeps scores and prunes nothing; '
        'without `--prune` the config is trained as it is',
    )
    add_pruning_options(parser)
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='print the config and the plan of the run: passes, iterations, '
        'visits, validations and checkpoints; train nothing',
    )
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
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
        metavar='KEY=VALUE',
        help='settings that override the config, pruning included; a nested '
        'key has dots, a list is "[a,b]"',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='launcher of a distributed run',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS,  # from the launchers of old torch versions
    )
    args = parser.parse_args(argv)
    settings = (args.prune_ratio, args.target_saving, args.score)
    if args.prune is None and settings != (None, None, None):
        parser.error(
            '`--prune-ratio`, `--target-saving` and `--score` need `--prune`.'
        )
    return args


def main(argv: Optional[List[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command; arguments as in :func:`parse_args`."""
    args = parse_args(argv, prog)
    from bls_mm.runner.build import build_runner, make_config
    from bls_mm.runner.cpu_ranks import use_gloo

    settings = vars(args)
    dry_run = settings.pop('dry_run')
    os.environ.setdefault('LOCAL_RANK', str(settings.pop('local_rank')))
    with short_errors(prog):
        cfg = make_config(**settings)
        if dry_run:
            show_plan(cfg)
            return
    use_gloo(cfg)
    build_runner(cfg).train()
    end_process_group()


def show_plan(cfg: Any) -> None:
    """Print a config and what training it would do, on the first rank."""
    from bls_mm.dry_run import format_plan, make_plan

    ranks = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    if any(os.environ.get(name, '0') != '0' for name in ranks):
        return
    say(cfg.pretty_text)
    say('')
    say(format_plan(make_plan(cfg)))


def end_process_group() -> None:
    """End the process group of a distributed run, which MMEngine does not.

    Threads of it that still run may abort the exit of Python.
    """
    import torch.distributed as dist

    if dist.is_initialized():
        # They end with the last that holds the group, and the model does.
        gc.collect()
        dist.destroy_process_group()
