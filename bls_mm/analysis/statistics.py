"""Numbers of the report: ranks, quantiles, what was saved."""

from typing import NamedTuple, Optional, Sequence

import numpy as np

from bls_mm.passes.budget import Budget

from .snapshots import Snapshot
from .work_dir import Scalars

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """Rank of each sample from 1, the hardest; of equal scores the first.

    Args:
        scores (ndarray): Shape (N,).

    Returns:
        ndarray: Int64, shape (N,).
    """
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(-scores, kind='stable')] = np.arange(1, len(scores) + 1)
    return ranks


def percentiles_of(ranks: np.ndarray) -> np.ndarray:
    """Share of the samples that are easier, in per cent, shape (N,)."""
    return 100 * (len(ranks) - ranks) / max(1, len(ranks) - 1)


def quantiles_of(scores: np.ndarray) -> np.ndarray:
    """Quantiles of the scores of samples that have been seen, shape (5,)."""
    seen = scores[scores != 0]
    return np.quantile(seen if len(seen) else scores, QUANTILES)


def share_of_hardest(scores: np.ndarray) -> Optional[float]:
    """What the hardest tenth of the samples holds of the sum of all scores.

    Args:
        scores (ndarray): Shape (N,).

    Returns:
        float or None: In [0.1, 1]; None where scores are negative or all 0,
        or there are fewer than ten.
    """
    tenth, total = len(scores) // 10, float(scores.sum(dtype=np.float64))
    if not tenth or scores.min() < 0 or total <= 0:
        return None
    hardest = np.partition(scores, -tenth)[-tenth:]
    return float(hardest.sum(dtype=np.float64)) / total


def mean_scores(snapshots: Sequence[Snapshot]) -> np.ndarray:
    """Mean score of each sample over all checkpoints, float64, shape (N,).

    A sample with a wrong label is hard for long, even where a model learns
    it by heart in the end. The middle of the first pass knows too little.

    Args:
        snapshots (list[Snapshot]): The checkpoints, at least one.
    """
    snapshots = [s for s in snapshots if s.passes >= 1] or snapshots
    total = np.zeros(len(snapshots[0].scores))
    for snapshot in snapshots:
        total += snapshot.scores
    return total / len(snapshots)


class Saved(NamedTuple):
    """What pruning saved by the last checkpoint.

    Attributes:
        visited (int): Samples visited by the end of the current pass.
        of_visits (int): Those of the unpruned run.
        iterations (int): Iterations that were skipped.
        of_iterations (int): Those of the unpruned run.
        seconds (float, optional): Mean time of an iteration; None where no
            time was logged.
    """

    visited: int
    of_visits: int
    iterations: int
    of_iterations: int
    seconds: Optional[float]

    @property
    def visits(self) -> float:
        """Share of the visits that was saved, in [0, 1]."""
        return max(0.0, 1 - self.visited / self.of_visits)

    @property
    def time(self) -> Optional[float]:
        """Estimate of the seconds that were saved."""
        return self.seconds and self.iterations * self.seconds

    @property
    def of_time(self) -> Optional[float]:
        """Estimate of the seconds that the unpruned run takes."""
        return self.seconds and self.of_iterations * self.seconds


def what_was_saved(
    snapshot: Snapshot, scalars: Scalars, budget: Budget, samples: int
) -> Saved:
    """Compare a run with the unpruned one, by its last checkpoint.

    Args:
        snapshot (Snapshot): The checkpoint.
        scalars (Scalars): What was logged.
        budget (Budget): What the unpruned run would do.
        samples (int): Samples that a whole unpruned pass visits.
    """
    steps = min(round(snapshot.passes * snapshot.per_pass), budget.steps)
    times = scalars.values('time')
    end = budget.end(snapshot.numbers['number'])
    return Saved(
        visited=snapshot.numbers['visited'],
        of_visits=max(1, budget.visits(end, samples)),
        iterations=max(0, steps - snapshot.iteration),
        of_iterations=steps,
        seconds=float(np.mean(times)) if times else None,
    )
