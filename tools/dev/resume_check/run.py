"""The training that `tools.dev.resume_check` kills: small, but MMEngine's own.

Every rank writes down what it does, iteration by iteration, in a file that
outlives a kill.
"""

import hashlib
import json
import os
import time

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS
from torch import nn

from bls_mm import BLSHook

LOOPS = ('epoch', 'iter')
PRUNERS = ('InfoBatch', 'SeTa', 'RandomPrune', 'None')
# Each rank visits so many samples of each in an iteration.
SIZE, BATCH_SIZE, EPOCHS = 203, 8, 12


@DATASETS.register_module()
class Points(torch.utils.data.Dataset):
    """Points and their class, with noise: some stay hard."""

    metainfo = dict(classes=('low', 'high'))

    def __init__(self, size, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.points = torch.randn(size, 8, generator=generator)
        noise = torch.randn(size, generator=generator)
        self.labels = (self.points[:, :2].sum(1) + noise > 0).long()

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return dict(
            inputs=self.points[index],
            label=self.labels[index],
            number=torch.tensor(index),
        )


@MODELS.register_module()
class Perceptron(BaseModel):
    """A classifier, and ballast that makes its checkpoints slow to write."""

    def __init__(self, ballast=0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)
        )
        self.register_buffer('ballast', torch.zeros(ballast))

    def forward(self, inputs, label, number, mode='tensor'):
        logits = self.layers(inputs)
        if mode != 'loss':
            return logits
        return dict(loss=nn.functional.cross_entropy(logits, label))


@HOOKS.register_module()
class Journal(Hook):
    """One line at the start of an iteration and one at its end.

    Args:
        folder (str): Where the journals of all ranks go.
        pause (float): Seconds that an iteration takes longer, so that one
            can be hit.
    """

    # After scores, schedule and optimizer, before the checkpoint.
    priority = 80

    def __init__(self, folder, pause=0.0):
        self.folder = folder
        self.pause = pause

    def before_train(self, runner):
        self.bls = next(h for h in runner.hooks if isinstance(h, BLSHook))
        os.makedirs(self.folder, exist_ok=True)
        path = os.path.join(self.folder, f'rank{get_rank()}.jsonl')
        # No buffer: what is written outlives the process.
        self.file = open(path, 'ab', buffering=0)
        self.write(start=runner.iter, pid=os.getpid())

    def write(self, **line):
        self.file.write(json.dumps(line).encode() + b'\n')

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        weight = self.bls._run.iteration.batch.weight
        self.line = dict(
            iter=runner.iter,
            epoch=runner.epoch,
            indices=data_batch['number'].tolist(),
            weight=None if weight is None else float(weight),
            lr=runner.optim_wrapper.get_lr()['lr'],
            max_iters=runner.max_iters,
        )
        self.write(begin=runner.iter)
        time.sleep(self.pause)

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        optimizer = runner.optim_wrapper.optimizer
        momenta = [s['momentum_buffer'] for s in optimizer.state.values()]
        self.write(
            **self.line,
            loss=outputs['loss'].item(),
            scores=digest([self.bls.scores]),
            parameters=digest(runner.model.parameters()),
            momenta=digest(momenta),
        )

    def after_train(self, runner):
        self.write(end=runner.iter)


def digest(tensors):
    """A short name for values, to the bit."""
    total = hashlib.sha1()
    for tensor in tensors:
        total.update(tensor.detach().cpu().numpy().tobytes())
    return total.hexdigest()[:16]


def make_config(loop, pruner, ranks, seed, ballast=0):
    """Settings of a run, but ``work_dir`` and those of the journal.

    Seeds differ in what else they set: checkpoints at the end of an epoch or
    in the middle of one, and workers or none.
    """
    by_epoch = loop == 'epoch'
    steps = EPOCHS * -(-SIZE // (BATCH_SIZE * ranks))
    saving = dict(interval=7, by_epoch=False)
    if by_epoch and seed % 2:
        saving = dict(interval=1, by_epoch=True)
    workers = 2 if seed % 4 > 1 else 0
    length = dict(max_epochs=EPOCHS) if by_epoch else dict(max_iters=steps)
    schedule = dict(type='CosineAnnealingLR', by_epoch=False, begin=10)
    return dict(
        custom_imports=dict(imports=['tools.dev.resume_check.run']),
        model=dict(type='Perceptron', ballast=ballast),
        train_dataloader=dict(
            dataset=dict(type='Points', size=SIZE),
            sampler=dict(
                type='bls_mm.BLSSampler',
                pruner=None if pruner == 'None' else dict(type=pruner),
            ),
            batch_size=BATCH_SIZE,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=by_epoch, **length),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.2, momentum=0.9)),
        param_scheduler=[
            dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=10),
            dict(schedule, T_max=steps - 10),
        ],
        custom_hooks=[
            dict(type='bls_mm.BLSHook'),
            dict(type='Journal'),
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', max_keep_ckpts=2, **saving)
        ),
        default_scope='mmengine',
        randomness=dict(seed=seed),
        log_level='WARNING',
    )
