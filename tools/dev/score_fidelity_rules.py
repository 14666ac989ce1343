"""Rules that were tried beside those of the package, and not kept.

`python -m tools.dev.score_fidelity_rules` takes the arguments of
`tools/analysis_tools/score_fidelity.py`, and knows these rules too. They keep
what they know in buffers that no checkpoint stores.
"""

import torch

from bls_mm import MARTScore, Score
from bls_mm.registry import SCORES
from bls_mm.scores.mart import mart_update
from tools.analysis_tools.score_fidelity import main

TREND = 0.1  # weight of a batch in moving averages


class _Relative(Score):
    """Sees batch losses relative to their moving average, less 1."""

    baseline = None

    def surprise(self, loss):
        loss = loss.mean()
        if self.baseline is None:
            self.baseline = loss.clone()
        relative = loss / self.baseline - 1
        self.baseline += TREND * (loss - self.baseline)
        return relative


@SCORES.register_module()
class KaczmarzScore(_Relative):
    """A relaxed Kaczmarz step: the additive twin of `MARTScore`.

    Args:
        step (float): Share of a surprise that is taken over.
    """

    def __init__(self, step=0.5):
        self.step = step

    def update(self, scores, indices, loss):
        ours = scores[indices]
        way = self.surprise(loss) - ours.mean()
        scores[indices] = ours + self.step * way


@SCORES.register_module()
class KalmanScore(_Relative):
    """A Kalman filter with independent samples: a gain from variances.

    Args:
        forgetting (float): Variance that a sample gains with every visit.
    """

    def __init__(self, forgetting=0.05):
        self.forgetting = forgetting
        self.variances = None
        self.noise = torch.zeros(())

    def update(self, scores, indices, loss):
        if self.variances is None:
            self.variances = torch.ones_like(scores)
            self.noise = self.noise.to(scores.device)
        ours, size = scores[indices], len(indices)
        variances = self.variances[indices] + self.forgetting
        innovation = self.surprise(loss) - ours.mean()
        expected = variances.sum() / size**2
        excess = (innovation**2 - expected).clamp(min=0)
        self.noise += TREND * (excess - self.noise)
        gain = variances / size / (expected + self.noise)
        scores[indices] = ours + gain * innovation
        self.variances[indices] = variances * (1 - gain / size)


@SCORES.register_module()
class VisitScore(MARTScore):
    """`MARTScore` with a step that falls from 1 with the visits.

    Args:
        step (float): The least step.
    """

    def __init__(self, step=0.5):
        super().__init__(step)
        self.visits = None

    def update(self, scores, indices, loss):
        self.memory = self.memory.to(scores.device)
        if self.visits is None:
            self.visits = torch.zeros_like(scores)
        self.visits[indices] += 1
        step = max(self.step, 1 / float(self.visits[indices].mean()))
        mart_update(scores, indices, loss, self.memory, step)


if __name__ == '__main__':
    main()
