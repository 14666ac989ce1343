"""The score that is no rule, but the truth: the ceiling of all others."""

from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from bls_mm.analysis.true_loss_dataset import (
    build_true_loss_dataset,
    check_true_loss_dataset,
)
from bls_mm.analysis.true_losses import measure_true_losses
from bls_mm.hooks.bls_hook import BLSHook
from bls_mm.pruners import Selection


class TrueScores(Hook):
    """Score samples by their true losses, with the weights of the moment.

    Takes a forward pass over the data whenever the pruner selects.

    Raises:
        ValueError: If the dataset is put together from several, or trained
            on in part.
    """

    priority = 'VERY_LOW'  # BLSHook has planned the run

    def before_train(self, runner: Any) -> None:
        hook = next(h for h in runner.hooks if isinstance(h, BLSHook))
        dataset = build_true_loss_dataset(runner.cfg)
        check_true_loss_dataset(dataset, len(hook.scores))
        pruner: Any = hook.planner.sampler.pruner
        select = pruner.select

        def select_by_truth(
            scores: Tensor, *args: Any, **kw: Any
        ) -> Selection:
            truth = measure_true_losses(runner.model, dataset)
            scores.copy_(torch.from_numpy(truth))
            return select(scores, *args, **kw)

        # No hook point does: with data workers, a pass of an iteration-based
        # loop is selected while the one before it is still being trained on.
        pruner.select = select_by_truth
