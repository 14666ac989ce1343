"""What the pruner of a run keeps, as it was or as it would be."""

from functools import partial
from typing import List, NamedTuple, Optional

import numpy as np
import torch
from mmengine.config import Config

from bls_mm.config.pruning import build_pruner
from bls_mm.passes.budget import Budget, annealing_start
from bls_mm.passes.last_batch import drop_small_last
from bls_mm.passes.selection import Progress, select_pass
from bls_mm.pruners.weights import dense_weights
from bls_mm.samplers.bls_sampler import BLSSampler
from bls_mm.samplers.order import padded

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
    cfg: Config, snapshots: List[Snapshot], samples: int
) -> Optional[ShownSelection]:
    """Find the last pruned pass in a checkpoint, or what would be pruned.

    Args:
        cfg (Config): The config.
        snapshots (list[Snapshot]): The checkpoints in the order of training.
        samples (int): Samples that a whole unpruned pass visits.

    Returns:
        ShownSelection or None: None if the run prunes nothing.
    """
    for snapshot in reversed(snapshots):
        if snapshot.weights is not None:
            number = snapshot.numbers['number'] + 1
            return ShownSelection(
                snapshot.weights,
                f'pass {number} kept, the last pruned one in a checkpoint',
            )
    weights = next_weights(cfg, snapshots[-1], samples)
    if weights is None:
        return None
    return ShownSelection(
        weights,
        'the pruner of the run would keep by these scores, since no '
        'checkpoint is of a pruned pass',
    )


def read_budget(cfg: Config, snapshot: Snapshot) -> Budget:
    """What the unpruned run would do.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): A checkpoint of the run.
    """
    train_cfg = cfg.get('train_cfg') or {}
    steps = train_cfg.get('max_iters')
    if not steps:
        steps = round(train_cfg.get('max_epochs', 1) * snapshot.per_pass)
    numbers = snapshot.numbers
    return Budget(int(steps), numbers['numerator'], numbers['denominator'])


def samples_per_pass(cfg: Config, snapshot: Snapshot, size: int) -> int:
    """Samples that a whole unpruned pass visits, all ranks together.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): A checkpoint of the run.
        size (int): Length of the dataset.
    """
    numbers, loader = snapshot.numbers, cfg.train_dataloader
    if numbers['denominator'] > 1:  # a stream, counted in samples
        return numbers['numerator']
    world_size = numbers['world_size']
    size = padded(size, world_size, loader.sampler.get('round_up', True))
    if not loader.get('batch_size'):
        return size
    # Fewer with `drop_last`.
    return min(size, numbers['numerator'] * loader.batch_size * world_size)


def next_weights(
    cfg: Config, snapshot: Snapshot, samples: int
) -> Optional[np.ndarray]:
    """What the pruner keeps by the scores of a checkpoint.

    If the run prunes the next pass, and is trained on a CPU, exactly what it
    visits there (with a small last batch where samples have several indices
    or the order is that of an inner sampler); else what it would select in the
    last pass that it prunes.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): The checkpoint.
        samples (int): Samples that a whole unpruned pass visits.

    Returns:
        ndarray or None: Weights of the samples, float32, shape (N,); None if
        the run prunes nothing.
    """
    pruner = build_pruner(cfg.train_dataloader.sampler)
    if pruner is None:
        return None
    budget = read_budget(cfg, snapshot)
    last_pruned = annealing_start(budget.passes, pruner.delta) - 1
    if last_pruned < 1:
        return None
    number = snapshot.numbers['number'] + 1
    step, visited = budget.end(number - 1), snapshot.numbers['visited']
    is_next = 1 <= number <= last_pruned
    if not is_next:
        # How much such a pass had to save is not known: take the share of a
        # run that drops the same in each.
        number, step = last_pruned, budget.end(0)
        visited = budget.visits(step, samples)
    progress = Progress(budget, samples, step, visited)
    scores = torch.from_numpy(snapshot.scores.copy())
    seed = snapshot.numbers['seed']
    selection = select_pass(pruner, scores, seed, number, progress)
    weights = dense_weights(selection, len(scores))
    if weights is None:
        return None
    if is_next:
        weights[_left_out(cfg, snapshot, weights > 0, number, samples)] = 0
    return weights.numpy()


def _left_out(
    cfg: Config,
    snapshot: Snapshot,
    kept: torch.Tensor,
    number: int,
    samples: int,
) -> torch.Tensor:
    """Ids that a small last batch of a pass would hold, int64, shape (L,)."""
    loader, numbers = cfg.train_dataloader, snapshot.numbers
    settings, size = loader.sampler, len(kept)
    sampler = BLSSampler(
        range(size),
        pruner=None,
        shuffle=settings.get('shuffle', True),
        seed=numbers['seed'],
        round_up=settings.get('round_up', True),
    )
    whole = padded(size, numbers['world_size'], sampler.round_up)
    batch_size = loader.get('batch_size')
    is_plain = samples == whole and not settings.get('inner')
    if batch_size and is_plain and numbers['denominator'] == 1:
        limit = partial(
            drop_small_last,
            whole=size,
            batch_size=batch_size,
            world_size=numbers['world_size'],
        )
        sampler.begin_pass(number, kept, limit=limit)
    return sampler.left_out
