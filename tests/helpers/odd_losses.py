"""Loss modules that do more than return a loss, in a toy model."""

import random

import numpy as np
import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn.functional import cross_entropy
from toy import ToyModel


class _Loss(nn.Module):
    """A cross entropy; what it does besides is in its subclasses."""

    def __init__(self, reduction='mean'):
        super().__init__()
        self.reduction = reduction

    def reduced(self, losses):
        return losses if self.reduction == 'none' else losses.mean()

    def forward(self, scores, labels):
        return self.reduced(cross_entropy(scores, labels, reduction='none'))


@MODELS.register_module(force=True)
class Plain(_Loss):
    """Keeps nothing."""


@MODELS.register_module(force=True)
class TorchNoise(_Loss):
    def forward(self, scores, labels):
        noise = torch.randn_like(scores.detach())
        return super().forward(scores + 0.3 * noise, labels)


@MODELS.register_module(force=True)
class NumpyNoise(_Loss):
    def forward(self, scores, labels):
        return super().forward(scores, labels) * (1 + np.random.rand())  # noqa: NPY002


@MODELS.register_module(force=True)
class PythonNoise(_Loss):
    def forward(self, scores, labels):
        return super().forward(scores, labels) * (1 + random.random())


@MODELS.register_module(force=True)
class LateNoise(_Loss):
    """Draws nothing before the trial of listening is long over."""

    def forward(self, scores, labels):
        if scores.max() > 2:
            scores = scores + torch.randn_like(scores.detach())
        return super().forward(scores, labels)


@MODELS.register_module(force=True)
class OwnGenerator(_Loss):
    def __init__(self):
        super().__init__()
        self.numbers = random.Random(0)

    def forward(self, scores, labels):
        return super().forward(scores, labels) * (1 + self.numbers.random())


@MODELS.register_module(force=True)
class PlainTensor(_Loss):
    def __init__(self):
        super().__init__()
        self.weight = torch.ones(2)

    def forward(self, scores, labels):
        mean = scores.detach().softmax(1).mean(0)
        self.weight.mul_(0.9).add_(0.2 * mean)
        losses = cross_entropy(scores, labels, self.weight, reduction='none')
        return self.reduced(losses)


@MODELS.register_module(force=True)
class NewTensor(PlainTensor):
    def forward(self, scores, labels):
        self.weight = self.weight.clone()
        return super().forward(scores, labels)


@MODELS.register_module(force=True)
class Counter(_Loss):
    def __init__(self):
        super().__init__()
        self.seen = dict(calls=[0])

    def forward(self, scores, labels):
        self.seen['calls'][0] += 1
        return super().forward(scores, labels) / self.seen['calls'][0]


@MODELS.register_module(force=True)
class ClassCounter(_Loss):
    calls = 0

    def forward(self, scores, labels):
        type(self).calls += 1
        return super().forward(scores, labels) * (1 + self.calls % 5)


@MODELS.register_module(force=True)
class LateCounter(_Loss):
    """Changes nothing before the trial of listening is long over."""

    def __init__(self):
        super().__init__()
        self.large = 1

    def forward(self, scores, labels):
        if scores.max() > 2:
            self.large += 1
        return super().forward(scores, labels) / self.large


@MODELS.register_module(force=True)
class InPlace(_Loss):
    """Shifts the labels that it was given, which the model uses next."""

    def forward(self, scores, labels):
        losses = cross_entropy(scores, labels.clone(), reduction='none')
        labels.add_(1).remainder_(2)
        return self.reduced(losses)


@MODELS.register_module(force=True)
class ToyHead(ToyModel):
    """The toy model with a loss module, and what is done outside of it.

    Args:
        loss (str): Type of the module.
        factor (float): Of what it returns.
        again (float): Factor of a cross entropy of the labels that the module
            has left.
        known (int, optional): Labels of samples from this number on are -1.
    """

    def __init__(self, loss='Plain', factor=1.0, again=0.0, known=None):
        super().__init__()
        self.loss = MODELS.build(dict(type=loss))
        self.factor, self.again, self.known = factor, again, known

    def forward(self, inputs, label, number, mode='tensor'):
        scores = self.linear(inputs)
        if self.known is not None:
            label = label.where(number < self.known, -1)
        loss = self.factor * self.loss(scores, label)
        if self.again:
            loss = loss + self.again * cross_entropy(scores, label)
        return dict(loss=loss)
