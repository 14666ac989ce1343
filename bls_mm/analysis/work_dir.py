"""What a work dir says about a pruned run: checkpoints, scalars, config."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import Subset

from bls_mm import PRUNERS, Pruner
from bls_mm.checkpoint import state
from bls_mm.checkpoint.files import is_complete
from bls_mm.checkpoint.trusted import load_checkpoint
from bls_mm.datasets.sample_ids import sample_ids
from bls_mm.passes.budget import annealing_start
from bls_mm.passes.target import share_to_drop
from bls_mm.pruners import selection_generator
from bls_mm.registry import build


class WorkDirError(ValueError):
    """A work dir from which nothing can be told; says what to change."""


@dataclass
class Snapshot:
    """The state of a run in one checkpoint.

    Attributes:
        path (Path): The file.
        iteration (int): Iterations that had been made.
        numbers (dict): The numbers of :func:`bls_mm.state.pack`.
        scores (ndarray): Float32, shape (N,), read from the file when used.
        weights (ndarray, optional): Weights of the samples in the pass of
            the checkpoint, 0 for pruned ones; None if nothing was pruned.
    """

    path: Path
    iteration: int
    numbers: dict
    scores: np.ndarray
    weights: np.ndarray

    @property
    def kept(self):
        """Share of the samples that the pass of the checkpoint visits."""
        if self.weights is None:
            return 1.0
        return float((self.weights > 0).mean())

    @property
    def per_pass(self):
        """Iterations of an unpruned pass, a fraction in a stream."""
        return self.numbers['numerator'] / self.numbers['denominator']

    @property
    def passes(self):
        """Passes over the data that had been made, the last in part."""
        part = self.numbers['done'] / max(1, self.per_pass * self.kept)
        if self.numbers['finished']:
            part = 1
        return self.numbers['number'] + min(part, 1)


@dataclass
class Scalars:
    """What was logged during training, in the order of the iterations."""

    rows: list = field(default_factory=list)

    def values(self, key):
        """All logged values of a scalar."""
        return [row[key] for row in self.rows if key in row]

    def per_pass(self):
        """One row for each logged pass: ``at`` (epoch or iteration), shares.

        In an iteration-based run a pass begins where the shares change.
        """
        passes = {}
        for row in self.rows:
            shares = row['bls_kept'], row['bls_saved']
            key = row.get('epoch', shares)
            passes.setdefault(
                key,
                dict(
                    at=row.get('epoch', row['iter']),
                    kept=shares[0],
                    saved=shares[1],
                ),
            )
        return list(passes.values())

    @property
    def by_epoch(self):
        """Whether the loop counts epochs."""
        return any('epoch' in row for row in self.rows)


def read_snapshots(work_dir):
    """Read the scores in all checkpoints of a work dir.

    Args:
        work_dir (Path): The work dir.

    Returns:
        tuple[list[Snapshot], list[str]]: The snapshots in the order of
        training, of one number of samples, at most one of a moment; and what
        was left out, and why.

    Raises:
        WorkDirError: If there is none.
    """
    files = sorted(work_dir.glob('*.pth'), key=lambda p: p.stat().st_mtime)
    if not files:
        raise WorkDirError(
            f'There is no checkpoint (*.pth) in `{work_dir}`. Give the work '
            'dir of a training, and let it save checkpoints by '
            "`default_hooks = dict(checkpoint=dict(type='CheckpointHook', "
            'interval=1, max_keep_ckpts=-1))`.'
        )
    found, left_out = {}, []
    for file in files:
        try:
            snapshot = read_snapshot(file)
        except ValueError as error:
            left_out.append(f'{file.name}: {error}')
        else:
            numbers = snapshot.numbers
            found[numbers['number'], numbers['done']] = snapshot
    if not found:
        more = f' (as {len(files) - 1} others)' if len(files) > 1 else ''
        raise WorkDirError(
            f'No checkpoint in `{work_dir}` can be used: {left_out[-1]}{more}.'
            ' Scores are saved by a run with BLSHook: add '
            "custom_hooks=[dict(type='BLSHook')], or start it with "
            '`tools/train.py CONFIG --prune ...`.'
        )
    snapshots = [found[key] for key in sorted(found)]
    size = len(snapshots[-1].scores)
    for snapshot in snapshots:
        if len(snapshot.scores) != size:
            left_out.append(f'{snapshot.path.name}: of another dataset size')
    return [s for s in snapshots if len(s.scores) == size], left_out


def read_snapshot(file):
    """Read one checkpoint.

    Raises:
        ValueError: If it is damaged or holds no state of this format.
    """
    if not is_complete(file):
        raise ValueError('is damaged')
    checkpoint = load_checkpoint(file)
    bls = checkpoint.get(state.KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(bls, dict):
        raise ValueError(f'has no key `{state.KEY}`')
    if bls.get('version') != state.VERSION:
        raise ValueError(
            f'holds state of version {bls.get("version")}, not {state.VERSION}'
        )
    scores, weights = bls['scores'].numpy(), bls['weights'].numpy()
    if not len(scores) or len(weights) not in (0, len(scores)):
        raise ValueError('holds scores and weights of different samples')
    numbers = {k: v for k, v in bls.items() if isinstance(v, int)}
    meta = checkpoint.get('meta', {})
    return Snapshot(
        file,
        int(meta.get('iter', 0)),
        numbers,
        scores,
        weights if len(weights) else None,
    )


def read_scalars(work_dir):
    """Read what the run and its resumed parts logged during training.

    Returns:
        Scalars: Rows with ``bls_kept``; a resumed part replaces what an
        earlier one logged of the same iterations.
    """
    rows = []
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines = file.read_text(encoding='utf-8').splitlines()
        part = [row for row in map(parse_row, lines) if row]
        if part:
            first = part[0]['iter']
            rows = [row for row in rows if row['iter'] < first] + part
    return Scalars(rows)


def parse_row(line):
    """A logged training row, or None where it is of validation or torn."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    # With `log_with_hierarchy` every name has its mode in front.
    row = {key.removeprefix('train/'): value for key, value in row.items()}
    if not {'bls_kept', 'bls_saved'} <= row.keys():
        return None
    row.setdefault('iter', row.get('step', 0))
    return row


def read_config(work_dir):
    """Load the config that MMEngine wrote into a work dir.

    Raises:
        WorkDirError: If there is none.
    """
    files = list(work_dir.glob('*.py'))
    files = files or list(work_dir.glob('*/vis_data/config.py'))
    if not files:
        raise WorkDirError(
            f'There is no config (*.py) in `{work_dir}`, which MMEngine '
            'writes when a training starts.'
        )
    return Config.fromfile(max(files, key=lambda p: p.stat().st_mtime))


def build_dataset(cfg, world_size=1):
    """Build the training dataset as the runner does.

    Args:
        cfg (Config): The config.
        world_size (int): Ranks of the training, which decide where
            ``num_batch_per_epoch`` cuts. Defaults to 1.

    Returns:
        tuple[Dataset, SampleIds]: The dataset and its samples.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader = cfg.train_dataloader
    dataset = DATASETS.build(loader.dataset)
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if loader.get('num_batch_per_epoch'):
        size = loader.num_batch_per_epoch * loader.batch_size * world_size
        dataset = Subset(dataset, range(min(size, len(dataset))))
    return dataset, sample_ids(dataset)


def steps_of(cfg, snapshot):
    """Iterations of the unpruned run, of a config with a length."""
    train_cfg = cfg.get('train_cfg') or {}
    if train_cfg.get('max_iters'):
        return int(train_cfg.max_iters)
    return round(train_cfg.get('max_epochs', 1) * snapshot.per_pass)


def next_weights(cfg, snapshot):
    """What the pruner keeps by the scores of a checkpoint.

    In the checkpoint of the end of a pass, and trained on a CPU, exactly
    what the next pass would visit, were it pruned.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): The checkpoint.

    Returns:
        ndarray or None: Weights of the samples, shape (N,); None if the run
        has no pruner.
    """
    default = dict(type='InfoBatch', prune_ratio=0.5)  # BLSSampler's
    pruner = cfg.train_dataloader.sampler.get('pruner', default)
    if pruner is None:
        return None
    pruner = build(pruner, PRUNERS, Pruner, 'train_dataloader.sampler.pruner')
    if pruner.target_saving is not None:
        passes = math.ceil(steps_of(cfg, snapshot) / snapshot.per_pass)
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
