"""The score that is no rule, but the truth: the ceiling of all others."""

from typing import Any

import torch
from mmengine.hooks import Hook

from bls_mm.analysis.true_losses import (
    build_true_loss_dataset,
    measure_true_losses,
)
from bls_mm.hooks.bls_hook import BLSHook
from bls_mm.runner.loop import is_epoch_based

from .variants import TRUE


class TrueScores(Hook):
    """Score samples by their true losses, with the weights of the moment.

    Takes a forward pass over the data at the start of each epoch.

    Raises:
        ValueError: If the loop has no epochs.
    """

    priority = 'VERY_HIGH'  # before BLSHook selects

    def before_train(self, runner: Any) -> None:
        if not is_epoch_based(runner.train_loop):
            raise ValueError(f'The score `{TRUE}` needs a loop with epochs.')
        self._hook = next(h for h in runner.hooks if isinstance(h, BLSHook))
        self._dataset = build_true_loss_dataset(runner.cfg)

    def before_train_epoch(self, runner: Any) -> None:
        if runner.epoch:  # the first is not pruned
            truth = measure_true_losses(runner.model, self._dataset)
            self._hook.scores.copy_(torch.from_numpy(truth))
