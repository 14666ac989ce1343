"""A small real training: tensors, a linear model, MMEngine's own runner."""

import copy
from typing import Any, List

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn

import bls_mm  # noqa: F401  registers hook and sampler

INFOBATCH = dict(type='InfoBatch', prune_ratio=0.5)
EVERY_EPOCH = dict(type='CheckpointHook', interval=1)
# Changes of a run that is validated as well.
VALIDATED = dict(
    val_dataloader=dict(
        dataset=dict(type='ToyDataset', size=4),
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_size=4,
        collate_fn=dict(type='default_collate'),
    ),
    val_cfg=dict(),
    val_evaluator=dict(type='ToyMetric'),
)


@DATASETS.register_module(force=True)
class ToyDataset(torch.utils.data.Dataset):
    """Points in a plane and their class; a sample knows its number."""

    METAINFO = dict(classes=('low', 'high'))

    def __init__(self, size: int = 40, offset: int = 0) -> None:
        generator = torch.Generator().manual_seed(size)
        self.points = torch.randn(size, 2, generator=generator)
        self.metainfo = self.METAINFO
        self.offset = offset

    def full_init(self) -> None:
        """Nothing is lazy here; MMEngine's dataset wrappers ask for it."""

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> dict:
        point = self.points[index]
        label = (point.sum() > 0).long()
        return dict(
            inputs=point, label=label, number=torch.tensor(index + self.offset)
        )

    def get_data_info(self, index: int) -> dict:
        """Sizes for AspectRatioBatchSampler: a third are upright."""
        width = 1 if index % 3 else 3
        return dict(width=width, height=2)

    def get_cat_ids(self, index: int) -> List[int]:
        return [int(self.points[index].sum() > 0)]


@MODELS.register_module(force=True)
class ToyModel(BaseModel):
    """Linear classifier with one loss per sample, averaged."""

    def __init__(self, keys: Any = ('loss',), nan_at: int = -1) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[0.1, -0.2], [0.3, 0.1]]))
            self.linear.bias.zero_()
        self.keys = keys
        self.nan_at = nan_at
        self.calls = 0

    def forward(self, inputs, label, number, mode='tensor'):
        logits = self.linear(inputs)
        if mode != 'loss':
            return logits
        loss = nn.functional.cross_entropy(logits, label)
        if self.calls == self.nan_at:
            loss = loss * float('nan')
        self.calls += 1
        return {key: loss * (i + 1) for i, key in enumerate(self.keys)}


@METRICS.register_module(force=True)
class ToyMetric(BaseMetric):
    def process(self, data_batch, data_samples) -> None:
        self.results.append(1)

    def compute_metrics(self, results) -> dict:
        return dict(acc=1.0)


@HOOKS.register_module(force=True)
class Recorder(Hook):
    """Write down what really happened in each iteration."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.numbers: List[List[int]] = []
        self.losses: List[float] = []
        self.rates: List[float] = []
        self.epochs: List[int] = []
        self.iters: List[int] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.rates.append(runner.optim_wrapper.get_lr())
        self.numbers.append(data_batch['number'].tolist())
        self.epochs.append(runner.epoch)
        self.iters.append(runner.iter)

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        self.losses.append(outputs['loss'].item())


class Validated(Hook):
    """Write down after how many iterations a run was validated."""

    def __init__(self) -> None:
        self.at: List[int] = []

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.at.append(runner.iter)


@HOOKS.register_module(force=True)
class SavesAt(Hook):
    """Save when time is up, and stop, as where jobs have a time limit."""

    def __init__(
        self,
        iteration: int,
        save: dict,
        first: bool = False,
        stops: bool = True,
    ) -> None:
        self.iteration, self.save, self.stops = iteration, save, stops
        self.priority = 'NORMAL' if first else 'LOWEST'

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        if runner.iter + 1 == self.iteration:
            runner.save_checkpoint(
                runner.work_dir, 'preempted.pth', **self.save
            )
            if self.stops:
                raise KeyboardInterrupt


class StopAt(Hook):
    """Break off a run before an iteration, as a crash would."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


def make_config(work_dir: Any, **changes: Any) -> dict:
    """Settings of a run of 8 epochs over 40 samples in batches of 4."""
    config = dict(
        model=dict(type='ToyModel'),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=dict(type='ToyDataset'),
            sampler=dict(type='BLSSampler', pruner=copy.copy(INFOBATCH)),
            batch_size=4,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=8),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9),
        ),
        param_scheduler=None,
        custom_hooks=[dict(type='BLSHook'), dict(type='Recorder')],
        default_hooks=dict(checkpoint=None),
        default_scope='mmengine',
        randomness=dict(seed=0),
        log_level='WARNING',
    )
    for key, value in changes.items():
        target = config
        *parents, last = key.split('__')
        for parent in parents:
            target = target[parent]
        target[last] = value
    return config


_count = 0


def make_runner(work_dir: Any, **changes: Any) -> Runner:
    """A runner; ``a__b=c`` sets ``config['a']['b'] = c``."""
    global _count
    _count += 1  # MMEngine's loggers and hubs are global, by this name
    config = make_config(work_dir, **changes)
    return Runner(**config, experiment_name=f'toy{_count}')


def hook_of(runner: Runner, name: str = 'BLSHook') -> Any:
    """The hook of a runner with this class name."""
    return next(h for h in runner.hooks if type(h).__name__ == name)


def record_scored(runner: Runner, scored: List[List[int]]) -> None:
    """Add the ids of each batch that is scored to a list."""
    score = hook_of(runner).score
    update = score.update

    def recorded(scores, indices, loss):
        # Several batches at a time, if they have waited.
        batches = indices.view(-1, indices.shape[-1])
        scored.extend(batches.tolist())
        update(scores, indices, loss)

    score.update = recorded


def train(work_dir: Any, **changes: Any) -> Runner:
    """Train from start to end."""
    runner = make_runner(work_dir, **changes)
    runner.train()
    return runner
