"""What the pruner of a run keeps, as it was or as it would be."""

import math
from typing import List, NamedTuple, Optional

import numpy as np
import torch
from mmengine.config import Config

from bls_mm import PRUNERS, Pruner
from bls_mm.passes.budget import annealing_start
from bls_mm.passes.target import share_to_drop
from bls_mm.pruners import selection_generator
from bls_mm.registry import build

from .snapshots import Snapshot


class ShownSelection(NamedTuple):
    """The selection that a report is about.

    Attributes:
        weights (ndarray): Weights of the samples, float32, shape (N,), 0 if
            pruned.
        words (str): What they are: the samples that "...".
    """

    weights: np.ndarray
    words: str


def find_selection(
    cfg: Config, snapshots: List[Snapshot]
) -> Optional[ShownSelection]:
    """Find the last pruned pass in a checkpoint, or what would be pruned.

    Args:
        cfg (Config): The config.
        snapshots (list[Snapshot]): The checkpoints in the order of training.

    Returns:
        ShownSelection or None: None if the run has no pruner.
    """
    for snapshot in reversed(snapshots):
        if snapshot.weights is not None:
            number = snapshot.numbers['number'] + 1
            return ShownSelection(
                snapshot.weights,
                f'pass {number} kept, the last pruned one in a checkpoint',
            )
    weights = next_weights(cfg, snapshots[-1])
    if weights is None:
        return None
    return ShownSelection(
        weights,
        'the pruner of the run would keep by these scores, since no '
        'checkpoint is of a pruned pass',
    )


def total_steps(cfg: Config, snapshot: Snapshot) -> int:
    """Iterations of the unpruned run.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): A checkpoint of the run.
    """
    train_cfg = cfg.get('train_cfg') or {}
    if train_cfg.get('max_iters'):
        return int(train_cfg['max_iters'])
    return round(train_cfg.get('max_epochs', 1) * snapshot.per_pass)


def next_weights(cfg: Config, snapshot: Snapshot) -> Optional[np.ndarray]:
    """What the pruner keeps by the scores of a checkpoint.

    In the checkpoint of the end of a pass, and trained on a CPU, exactly
    what the next pass would visit, were it pruned.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): The checkpoint.

    Returns:
        ndarray or None: Weights of the samples, float32, shape (N,); None if
        the run has no pruner.
    """
    default = dict(type='InfoBatch', prune_ratio=0.5)  # BLSSampler's
    pruner = cfg.train_dataloader.sampler.get('pruner', default)
    if pruner is None:
        return None
    pruner = build(pruner, PRUNERS, Pruner, 'train_dataloader.sampler.pruner')
    if pruner.target_saving is not None:
        passes = math.ceil(total_steps(cfg, snapshot) / snapshot.per_pass)
        prunable = max(1, annealing_start(passes, pruner.delta) - 1)
        size = len(snapshot.scores)
        pruner.share = share_to_drop(
            pruner.target_saving, passes * size, 0, prunable * size
        )
    number = snapshot.numbers['number'] + 1
    pruner.epoch = number
    scores = torch.from_numpy(snapshot.scores.copy())
    seed = snapshot.numbers['seed']
    generator = selection_generator(seed, number, scores.device)
    selection = pruner.select(scores, generator)
    weights = torch.zeros(len(scores))
    weights[selection.indices] = selection.weights
    return weights.numpy()
