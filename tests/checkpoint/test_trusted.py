"""Reading checkpoints of MMEngine with nothing but what is in them."""

import functools
import os

import pytest
import torch
from mmengine.logging import HistoryBuffer
from toy import train

from bls_mm.checkpoint.trusted import trust_mmengine_classes

pytestmark = pytest.mark.skipif(
    not hasattr(torch.serialization, 'add_safe_globals'),
    reason='torch reads everything',
)


@pytest.fixture(autouse=True)
def nothing_else_is_trusted():
    with torch.serialization.safe_globals([]):
        trust_mmengine_classes()
        yield


def save(tmp_path, value):
    torch.save(value, tmp_path / 'x.pth')
    return torch.load(tmp_path / 'x.pth', weights_only=True)


SCHEDULES = [
    dict(type='OneCycleLR', eta_max=0.2, total_steps=8),
    dict(type='CosineAnnealingLR', T_max=8),
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=30),
    dict(type='MultiStepLR', milestones=[3]),
    dict(type='PolyLR', power=0.9, by_epoch=False),
    dict(type='ReduceOnPlateauLR', monitor='acc'),
]


@pytest.mark.parametrize('schedule', SCHEDULES, ids=lambda s: s['type'])
def test_checkpoint_of_a_run_can_be_read(tmp_path, schedule):
    changes = {}
    if schedule['type'] == 'ReduceOnPlateauLR':
        changes = dict(
            val_dataloader=dict(
                dataset=dict(type='ToyDataset'),
                sampler=dict(type='DefaultSampler', shuffle=False),
                batch_size=4,
                collate_fn=dict(type='default_collate'),
            ),
            val_cfg=dict(),
            val_evaluator=dict(type='ToyMetric'),
        )
    train(
        tmp_path,
        param_scheduler=schedule,
        train_cfg__max_epochs=2,
        **changes,
    )
    saved = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    assert {'bls', 'optimizer', 'message_hub'} <= set(saved)


def test_log_buffer_comes_back(tmp_path):
    buffer = save(tmp_path, HistoryBuffer([1.0, 3.0], [1, 1]))
    assert buffer.mean() == 2.0
    assert buffer.statistics('max') == 3.0


class Call:
    """What an attacker would put into a file."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'value',
    [
        Call(os.system, 'true'),
        Call(getattr, HistoryBuffer, '__init__'),
        Call(getattr, torch.nn.Module, 'mean'),
        functools.partial(print),
    ],
)
def test_anything_else_is_refused(tmp_path, value):
    with pytest.raises(Exception, match=r'[Uu]nsupported|should not ask'):
        save(tmp_path, value)
