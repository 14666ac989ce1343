"""The state of a run in each of its checkpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from bls_mm.checkpoint.files import is_complete
from bls_mm.checkpoint.trusted import load_checkpoint
from bls_mm.checkpoint.validation import KEY, READABLE


class WorkDirError(ValueError):
    """A work dir that cannot be analyzed; the message says what to change."""


@dataclass
class Snapshot:
    """The state of a run in one checkpoint.

    Attributes:
        path (Path): The file.
        iteration (int): Iterations that had been made.
        saved_at (str): When it was saved, by the checkpoint: copies of a file
            have times of their own.
        numbers (dict): The numbers of the state, see
            :func:`bls_mm.checkpoint.state.pack_state`.
        scores (ndarray): Float32, shape (N,), read from the file when used.
        weights (ndarray, optional): Weights of the samples in the pass of
            the checkpoint, float32, shape (N,), 0 for pruned ones; None if
            nothing was pruned.
    """

    path: Path
    iteration: int
    saved_at: str
    numbers: Dict[str, int]
    scores: np.ndarray
    weights: Optional[np.ndarray]

    @property
    def moment(self) -> Tuple[int, int]:
        """The pass that it was saved in, and the iterations done of it."""
        return self.numbers['number'], self.numbers['done']

    @property
    def kept(self) -> float:
        """Share of the samples that the pass of the checkpoint visits."""
        if self.weights is None:
            return 1.0
        return float((self.weights > 0).mean())

    @property
    def per_pass(self) -> float:
        """Iterations of an unpruned pass, a fraction in a stream."""
        return self.numbers['numerator'] / self.numbers['denominator']

    @property
    def passes(self) -> float:
        """Passes over the data that had been made, the last in part."""
        part = self.numbers['done'] / max(1, self.per_pass * self.kept)
        if self.numbers['finished']:
            part = 1
        return self.numbers['number'] + min(part, 1)


def read_snapshots(work_dir: Path) -> Tuple[List[Snapshot], List[str]]:
    """Read the scores in all checkpoints of a work dir.

    A run that was made anew in a work dir leaves those of the run before it
    that it does not overwrite. Those are left out: they are of another seed,
    or of a later moment though they were saved before.

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
    snapshots, left_out = [], []
    for file in files:
        try:
            snapshots.append(read_snapshot(file))
        except ValueError as error:
            left_out.append(f'{file.name}: {error}')
    if not snapshots:
        more = f' (and {len(files) - 1} more)' if len(files) > 1 else ''
        raise WorkDirError(
            f'No checkpoint in `{work_dir}` can be used: {left_out[-1]}{more}.'
            ' Scores are saved by a run with BLSHook: add '
            "custom_hooks=[dict(type='BLSHook')], or start it with "
            '`bls-mm train CONFIG --prune ...`.'
        )
    found: Dict[Tuple[int, int], Snapshot] = {}
    for new in sorted(snapshots, key=lambda s: (s.saved_at, s.moment)):
        for moment, old in sorted(found.items()):
            of_seed = old.numbers['seed'] == new.numbers['seed']
            if moment > new.moment or not of_seed:
                left_out.append(f'{old.path.name}: of an earlier run')
                del found[moment]
        found[new.moment] = new
    snapshots = [found[key] for key in sorted(found)]
    size = len(snapshots[-1].scores)
    for snapshot in snapshots:
        if len(snapshot.scores) != size:
            left_out.append(f'{snapshot.path.name}: of another dataset size')
    return [s for s in snapshots if len(s.scores) == size], left_out


def read_snapshot(file: Path) -> Snapshot:
    """Read one checkpoint.

    Args:
        file (Path): The checkpoint.

    Raises:
        ValueError: If it is damaged or holds no state of this format.
    """
    if not is_complete(file):
        raise ValueError('is damaged')
    checkpoint = load_checkpoint(file)
    state = checkpoint.get(KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise ValueError(f'has no key `{KEY}`')
    if state.get('version') not in READABLE:
        raise ValueError(
            f'holds state of version {state.get("version")}, not '
            f'{" or ".join(map(str, READABLE))}'
        )
    scores, weights = state['scores'].numpy(), state['weights'].numpy()
    if not len(scores) or len(weights) not in (0, len(scores)):
        raise ValueError('holds scores and weights of different samples')
    meta = checkpoint.get('meta', {})
    return Snapshot(
        file,
        int(meta.get('iter', 0)),
        str(meta.get('time', '')),
        {key: value for key, value in state.items() if isinstance(value, int)},
        scores,
        weights if len(weights) else None,
    )
