"""Reading checkpoints of MMEngine with nothing but what is in them."""

import functools
import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from toy import EVERY_EPOCH, VALIDATED, train

from bls_mm.checkpoint import unpickler
from bls_mm.checkpoint.trusted import load_checkpoint, trust_mmengine_classes

READS_ALL = tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6)


def load_of_torch(path):
    """What MMEngine's own resume does."""
    if READS_ALL:
        pytest.skip('torch.load reads everything before 2.6')
    with torch.serialization.safe_globals([]):
        trust_mmengine_classes()
        return torch.load(path, weights_only=True)


@pytest.fixture(params=[load_checkpoint, load_of_torch])
def load(request, tmp_path):
    """Save a value and read it back."""

    def there_and_back(value):
        torch.save(value, tmp_path / 'x.pth')
        return request.param(tmp_path / 'x.pth')

    there_and_back.read = request.param
    return there_and_back


SCHEDULES = [
    dict(type='OneCycleLR', eta_max=0.2, total_steps=8),
    dict(type='CosineAnnealingLR', T_max=8),
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=30),
    dict(type='MultiStepLR', milestones=[3]),
    dict(type='PolyLR', power=0.9, by_epoch=False),
    dict(type='ReduceOnPlateauLR', monitor='acc'),
]


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    """A checkpoint of a run with each kind of schedule."""
    files = []
    for schedule in SCHEDULES:
        folder = tmp_path_factory.mktemp(schedule['type'])
        train(
            folder,
            param_scheduler=schedule,
            train_cfg__max_epochs=2,
            default_hooks__checkpoint=EVERY_EPOCH,
            **VALIDATED,
        )
        files.append(folder / 'epoch_2.pth')
    return files


def test_checkpoint_of_a_run_can_be_read(load, checkpoints):
    for file in checkpoints:
        saved = load.read(file)
        known = torch.load(file, weights_only=False)
        assert list(saved) == list(known)
        assert torch.equal(saved['bls']['scores'], known['bls']['scores'])
        for name, value in known['state_dict'].items():
            assert torch.equal(saved['state_dict'][name], value)
        assert saved['param_schedulers'] == known['param_schedulers']
        losses = [
            state['message_hub']['log_scalars']['train/loss']
            for state in (saved, known)
        ]
        assert losses[0].mean() == losses[1].mean()


def test_values_come_back(load):
    value = OrderedDict(
        buffer=HistoryBuffer([1.0, 3.0], [1, 1]),
        scalar=np.float32(0.1),
        array=np.arange(6, dtype='>i4').reshape(2, 3).T,
        flags=np.array([True, False]),
        half=torch.ones(2, 3, dtype=torch.half).T,
        kind=torch.bfloat16,
        parameter=torch.nn.Parameter(torch.ones(2)),
        plain=[None, {'a'}, 2**70, (1.5, b'\xff', 'ü')],
        size=torch.zeros(2, 1).shape,
    )
    found = load(value)
    assert found['buffer'].mean() == 2.0
    assert found['buffer'].statistics('max') == 3.0
    assert found['scalar'] == value['scalar']
    assert type(found['scalar']) is np.float32
    assert found['array'].tolist() == value['array'].tolist()
    assert found['flags'].dtype == bool
    assert torch.equal(found['half'], value['half'])
    assert isinstance(found['parameter'], torch.nn.Parameter)
    for name in ('kind', 'plain', 'size'):
        assert found[name] == value[name]


class Call:
    """What an attacker would put into a file."""

    def __init__(self, function, *args, state=None):
        self.call = function, args
        if state is not None:
            self.call = function, args, state

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
def test_anything_else_is_refused(load, value):
    with pytest.raises(Exception, match=r'[Uu]nsupported|should not ask'):
        load(value)


MEAN = (getattr, HistoryBuffer, 'mean')


@pytest.mark.parametrize(
    'value, message',
    [
        (Call(*MEAN, state=(None, dict(x=1))), 'Unsupported state of <func'),
        (Call(np.dtype, 'O'), "Unsupported dtype 'O'"),
        (np.array([print]), "Unsupported dtype 'O8'"),
        (np.zeros(1, [('a', 'f8')]), "Unsupported dtype 'V8'"),
        (
            Call(np.dtype, 'f8', False, True, state=(3, '<', *5 * [None], 63)),
            'Unsupported dtype',
        ),
        (OneCycleParamScheduler.__new__(OneCycleParamScheduler), 'object of'),
        (np.zeros(1).view(np.matrix), r'Unsupported class numpy\S*matrix'),
    ],
    ids=[
        'state',
        'dtype',
        'objects',
        'fields',
        'dtype state',
        'class',
        'matrix',
    ],
)
def test_harm_by_what_is_allowed_is_refused(tmp_path, value, message):
    torch.save(value, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / 'x.pth')


METHOD = (
    b'c__builtin__\ngetattr\n'
    b"(cmmengine.logging.history_buffer\nHistoryBuffer\nS'mean'\ntR"
)


@pytest.mark.parametrize(
    'instructions',
    [
        METHOD + b'(tR.',  # called, which it may name only
        b'(cos\nsystem\n.',
        b"(S'true'\nios\nsystem\n.",
        b"(ccollections\nOrderedDict\nS'true'\no.",
        b'\x82\x01.',
    ],
)
def test_other_ways_to_call_are_refused(instructions):
    with pytest.raises(pickle.UnpicklingError, match='Unsupported'):
        unpickler.Unpickler(io.BytesIO(instructions)).load()


def test_file_that_is_no_archive_is_refused(tmp_path):
    file = tmp_path / 'x.pth'
    file.write_bytes(pickle.dumps(Call(os.system, 'true')))
    with pytest.raises(ValueError, match='is damaged'):
        load_checkpoint(file)


def test_torchscript_is_refused(tmp_path):
    file = tmp_path / 'x.pth'
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('x/constants.pkl', b'')
    with pytest.raises(ValueError, match='TorchScript'):
        load_checkpoint(file)


def test_trusting_breaks_no_other_load(tmp_path):
    torch.save(dict(x=torch.ones(1)), tmp_path / 'x.pth')
    trust_mmengine_classes()
    assert torch.load(tmp_path / 'x.pth', weights_only=True)['x'] == 1
