"""Several scores in one run, compared with the truth as it goes on."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, cast

import torch
from mmengine.hooks import Hook
from torch import Tensor

from bls_mm.config.pruning import parse_score
from bls_mm.hooks.bls_hook import BLSHook
from bls_mm.registry import SCORES
from bls_mm.scores import Score

from .true_loss_dataset import check_true_loss_dataset
from .true_losses import measure_true_losses, rate_scores, solve_losses

# No scores of samples: an estimate from all batches, and the truth itself.
OFFLINE, TRUE = 'offline', 'true'


class ScorePanel(Score):
    """Several scores of the same batches, each with a buffer of its own.

    The first one is that of the run.

    Args:
        scores (list[str]): Scores as :func:`bls_mm.config.parse_score` reads
            them, and ``'offline'``.

    Attributes:
        rules (dict): By name the score, and whether it sees the losses of
            single samples.
        buffers (dict): By name the scores of the samples, shape (N,). A score
            of sample losses is not there if the model has none.
        batches (list, optional): Ids and loss of each batch, if `offline` is
            asked for.
    """

    def __init__(self, scores: Sequence[str]) -> None:
        self.rules: Dict[str, Tuple[Any, bool]] = {}
        self.batches: Optional[List[Tuple[List[int], float]]] = None
        if OFFLINE in scores:
            self.batches = []
        for spec in scores:
            if spec == OFFLINE:
                continue
            score, per_sample = parse_score(spec)
            self.rules[spec] = SCORES.build(score), per_sample
        self.buffers: Dict[str, Tensor] = {}

    def update(self, scores: Tensor, indices: Tensor, loss: Tensor) -> None:
        if self.batches is not None:
            self.batches.append((indices.tolist(), float(loss.mean())))
        for number, (spec, (rule, per_sample)) in enumerate(
            self.rules.items()
        ):
            if per_sample and loss.ndim == 0:
                continue
            if spec not in self.buffers:
                new = scores if number == 0 else torch.zeros_like(scores)
                self.buffers[spec] = new
            # The mean is that of the batch, see SampleLosses.
            known = loss if per_sample else loss.mean()
            rule.update(self.buffers[spec], indices, known)


class TruthHook(Hook):
    """Compare a panel with the truth every few passes over the data.

    Args:
        dataset (Dataset): From :func:`build_true_loss_dataset`.
        every (int): Passes of the unpruned run from truth to truth.

    Attributes:
        rows (list[dict]): For each score and comparison ``score``,
            ``passes`` and what :func:`rate_scores` returns.

    Raises:
        ValueError: If the training ends before the first truth, or the
            dataset is trained on in part.
    """

    priority = 'LOWEST'

    def __init__(self, dataset: Any, every: int) -> None:
        self.dataset = dataset
        self.every = every
        self.rows: List[Dict[str, Any]] = []

    def before_train(self, runner: Any) -> None:
        hook = next(h for h in runner.hooks if isinstance(h, BLSHook))
        check_true_loss_dataset(self.dataset, len(hook.scores))
        self._panel = cast(ScorePanel, hook.score)
        budget = hook.planner.budget
        passes = budget.steps * budget.denominator // budget.numerator
        if self.every > passes:
            raise ValueError(
                f'`every` should be at most {passes}, the passes of the '
                f'training, but got {self.every}: there would be no truth.'
            )
        # Of an unpruned run; a pruned one has passed more by then.
        self._ends = {
            budget.full_end(number - 1): number
            for number in range(self.every, passes + 1, self.every)
        }

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[Dict[str, Any]] = None,
    ) -> None:
        passes = self._ends.get(runner.iter + 1)
        if passes is None:
            return
        truth = measure_true_losses(runner.model, self.dataset)
        panel = self._panel
        found = {k: v.cpu().numpy() for k, v in panel.buffers.items()}
        if panel.batches is not None:
            found[OFFLINE] = solve_losses(panel.batches, len(truth))
        found[TRUE] = truth
        for name, scores in found.items():
            self.rows.append(
                dict(score=name, passes=passes, **rate_scores(scores, truth))
            )
