"""Losses of single samples, from the loss modules of real packages."""

import odd_losses  # noqa: F401  registers a model
import pytest
import torch
from torch import nn
from toy import hook_of, train

from bls_mm.losses.module_calls import SampleLosses
from bls_mm.losses.unreduced import losses_of_samples

losses = pytest.importorskip('mmpretrain.models.losses')
SeesawLoss = losses.SeesawLoss
L1Loss = pytest.importorskip('mmdet.models.losses').L1Loss
SegmentationLoss = pytest.importorskip('mmseg.models.losses').CrossEntropyLoss

LABELS = torch.tensor([0, 2, 1, 1])
SOFT = torch.tensor([[1.0, 0, 0], [0, 0.3, 0.7], [0, 1, 0], [0.5, 0.5, 0]])


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(4, 3, generator=generator, requires_grad=True)


def listen(module, *args, size=4, **kwargs):
    """The reduced loss of a module and what was heard of it."""
    model = nn.ModuleDict(dict(head=nn.ModuleDict(dict(loss=module))))
    heard = SampleLosses(model)
    heard.begin(size)
    loss = module(*args, **kwargs)
    return loss, losses_heard(heard, loss, size)


def losses_heard(heard, loss, size):
    """Losses of the samples of a batch; None if they are not known."""
    calls = heard.take()
    if calls is None:
        return None
    return losses_of_samples([calls], loss.detach()[None], size)[0]


def test_call_without_gradients_is_no_part_of_the_loss(logits):
    # So mmseg looks for the hard pixels, before it computes their loss.
    module = nn.CrossEntropyLoss()
    heard = SampleLosses(nn.ModuleDict(dict(loss=module)))
    heard.begin(4)
    with torch.no_grad():
        module(logits.flip(1), LABELS)
    loss = module(logits, LABELS)
    alone = nn.functional.cross_entropy(logits, LABELS, reduction='none')
    own = losses_heard(heard, loss, 4)
    torch.testing.assert_close(own, alone.detach())


class Pool(nn.Module):
    """Averages features, and says so in the words of a loss."""

    reduction = 'mean'

    def forward(self, features):
        return features.mean(1)


def test_module_that_pools_features_is_no_loss(logits):
    pool, module = Pool(), nn.CrossEntropyLoss()
    heard = SampleLosses(nn.ModuleDict(dict(neck=pool, loss=module)))
    alone = nn.functional.cross_entropy(logits, LABELS, reduction='none')
    for _ in range(2):
        heard.begin(4)
        loss = module(pool(torch.stack([logits, logits], 1)), LABELS)
        own = losses_heard(heard, loss, 4)
        torch.testing.assert_close(own, alone.detach())


@pytest.mark.parametrize(
    ('module', 'target', 'kwargs'),
    [
        (nn.CrossEntropyLoss(), LABELS, {}),
        (nn.CrossEntropyLoss(label_smoothing=0.1), LABELS, {}),
        (losses.CrossEntropyLoss(loss_weight=0.4), LABELS, {}),
        (losses.CrossEntropyLoss(), LABELS, dict(avg_factor=4)),
        (losses.CrossEntropyLoss(use_soft=True), SOFT, {}),
        (losses.CrossEntropyLoss(use_sigmoid=True), SOFT, {}),
        (losses.LabelSmoothLoss(0.1, num_classes=3), LABELS, {}),
        (losses.FocalLoss(), SOFT, {}),
        (losses.AsymmetricLoss(), SOFT, {}),
    ],
)
def test_losses_are_those_of_each_sample_alone(module, target, kwargs, logits):
    if isinstance(module, losses.FocalLoss):
        kwargs = dict(avg_factor=4)
    loss, heard = listen(module, logits, target, **kwargs)
    alone = []
    for row, label in zip(logits, target):
        one = {**kwargs, 'avg_factor': 1} if kwargs else {}
        alone.append(module(row[None], label[None], **one))
    expected = torch.stack(alone).detach()
    if isinstance(module, losses.FocalLoss):
        expected = expected / 3 + (loss - expected.mean() / 3)
    torch.testing.assert_close(heard, expected.detach())
    torch.testing.assert_close(heard.mean(), loss.detach())
    assert not heard.requires_grad


@pytest.mark.parametrize(
    'module',
    [
        nn.CrossEntropyLoss(),
        SegmentationLoss(loss_weight=0.4),
        SegmentationLoss(use_sigmoid=True),
    ],
)
def test_losses_of_a_segmenter_are_those_of_each_image(module):
    maps = torch.rand(4, 3, 5, 7, requires_grad=True)
    labels = torch.randint(3, (4, 5, 7), generator=torch.Generator())
    loss, heard = listen(module, maps, labels)
    alone = torch.stack(
        [module(m[None], label[None]) for m, label in zip(maps, labels)]
    )
    torch.testing.assert_close(heard, alone.detach())
    torch.testing.assert_close(heard.mean(), loss.detach())


def test_rest_of_the_loss_is_shared(logits):
    module = nn.CrossEntropyLoss()
    heard = SampleLosses(nn.Sequential(module))
    heard.begin(4)
    loss = module(logits, LABELS) + 5.0
    found = losses_heard(heard, loss, 4)
    alone = nn.functional.cross_entropy(logits, LABELS, reduction='none')
    torch.testing.assert_close(found, alone.detach() + 5)


def test_losses_of_several_heads_add_up(logits):
    model = nn.ModuleList([nn.CrossEntropyLoss(), losses.CrossEntropyLoss()])
    heard = SampleLosses(model)
    heard.begin(4)
    loss = model[0](logits, LABELS) + model[1](logits, 2 - LABELS)
    found = losses_heard(heard, loss, 4)
    cross = nn.functional.cross_entropy
    alone = cross(logits, LABELS, reduction='none')
    alone = alone + cross(logits, 2 - LABELS, reduction='none')
    torch.testing.assert_close(found, alone.detach())


@pytest.mark.parametrize('same_logits', [False, True])
def test_batches_may_share_a_tensor(same_logits, logits):
    module = nn.CrossEntropyLoss()
    heard = SampleLosses(nn.Sequential(module))
    batches, alone = [], []
    for factor in (1, 1 if same_logits else 2, 1):
        batch = logits if factor == 1 else factor * logits
        heard.begin(4)
        module(batch, LABELS)  # the same labels, not a copy, each time
        batches.append(heard.take())
        alone.append(
            nn.functional.cross_entropy(batch, LABELS, reduction='none')
        )
    expected = torch.stack(alone).detach()
    found = losses_of_samples(batches, expected.mean(1), 4)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ('module', 'args', 'size'),
    [
        # As a detector: one row an anchor.
        (L1Loss(), (torch.rand(12, 4), torch.rand(12, 4)), 4),
        # A batch of one is a sample already.
        (nn.CrossEntropyLoss(), (torch.rand(1, 3), LABELS[:1]), 1),
        # It counts what it has seen: asking twice would change it.
        (SeesawLoss(num_classes=3), (torch.rand(4, 3), LABELS), 4),
        (nn.ReLU(), (torch.rand(()),), 4),
    ],
)
def test_batch_loss_stands_in_elsewhere(module, args, size):
    _, heard = listen(module, *args, size=size)
    assert heard is None


class HeatmapLoss(nn.Module):
    """A mean without a name for it, as mmpose's and mmaction's losses."""

    def forward(self, maps, target, weights=None):
        loss = (maps - target) ** 2
        if weights is not None:
            loss = loss * weights[..., None, None]
        return loss.mean()


class PairLoss(nn.Module):
    """A sum over the samples, of a tuple of predictions."""

    def forward(self, pair, target):
        parts = [(p - t).abs().sum() for p, t in zip(pair, target)]
        return sum(parts) / 3


class BatchLoss(nn.Module):
    """What a sample adds depends on the others of its batch."""

    def forward(self, maps, target):
        return ((maps - maps.mean(0)) * target).abs().sum()


class Head(nn.Module):
    """Neither a loss by its name, nor by an attribute."""

    def forward(self, maps, target):
        return (maps - target).mean()


MAPS = torch.rand(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
PAIRS = ((MAPS[0], MAPS[1][:, 0]), (MAPS[1], MAPS[0][:, 0]))


@pytest.mark.parametrize(
    ('module', 'args', 'is_sum'),
    [
        (HeatmapLoss(), tuple(MAPS), False),
        (HeatmapLoss(), (*MAPS, MAPS[0, :, :, 0, 0]), False),
        (PairLoss(), PAIRS, True),
        (BatchLoss(), tuple(MAPS), None),
        (Head(), tuple(MAPS), None),
    ],
)
def test_loss_without_a_reduction_is_that_of_each_sample(module, args, is_sum):
    heard = SampleLosses(nn.Sequential(module))
    batches, total = [], []
    for _ in range(3):
        heard.begin(4)
        total.append(module(*args))
        batches.append(heard.take())
    if is_sum is None:
        assert batches == [None] * 3
        return

    def row(value, index):
        if isinstance(value, tuple):
            return tuple(row(part, index) for part in value)
        return value[index : index + 1]

    alone = torch.stack([module(*(row(a, i) for a in args)) for i in range(4)])
    found = losses_of_samples(batches, torch.stack(total), 4)
    rest = total[0] - alone.mean() if is_sum else 0.0
    torch.testing.assert_close(found, (alone + rest).expand(3, 4))


def test_losses_of_texts_are_heard_with_samples_in_the_second_place():
    module = nn.CTCLoss(zero_infinity=True)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(9, 4, 5, generator=generator).log_softmax(2)
    args = (LABELS[:, None] + 1, torch.full((4,), 9), torch.ones(4).long())
    loss, heard = listen(module, scores, *args)
    alone = nn.functional.ctc_loss(scores, *args, reduction='none')
    torch.testing.assert_close(heard, alone)
    torch.testing.assert_close(heard.mean(), loss)


def test_parts_of_a_loss_of_data_samples_are_heard(logits):
    class RecognitionLoss(nn.Module):
        """Takes objects, as mmocr's losses do."""

        def __init__(self):
            super().__init__()
            self.loss_ce = nn.CrossEntropyLoss()

        def forward(self, scores, data_samples):
            labels = torch.stack([s['label'] for s in data_samples])
            return self.loss_ce(scores, labels)

    module = RecognitionLoss()
    data_samples = [dict(label=label) for label in LABELS]
    heard = SampleLosses(nn.Sequential(module))
    found = []
    for _ in range(4):
        heard.begin(4)
        loss = module(logits, data_samples)
        found.append(losses_heard(heard, loss, 4))
    assert found[0] is None
    alone = nn.functional.cross_entropy(logits, LABELS, reduction='none')
    for losses_of_batch in found[1:]:
        torch.testing.assert_close(losses_of_batch, alone.detach())


def test_module_that_needs_its_reduction_is_left_alone(logits):
    class Picky(nn.Module):
        reduction = 'mean'

        def forward(self, scores, labels):
            if self.reduction == 'none':
                raise NotImplementedError
            return nn.functional.cross_entropy(scores, labels)

    _, heard = listen(Picky(), logits, LABELS)
    assert heard is None


def test_rows_that_are_no_samples_end_it_at_the_first_batch(logits):
    module = nn.CrossEntropyLoss()
    heard = SampleLosses(nn.Sequential(module))
    for size, rows in [(2, False), (4, False)]:  # 4 logits: misfit, then fit
        heard.begin(size)
        module(logits, LABELS)
        assert (heard.take() is not None) is rows
    assert type(module) is nn.CrossEntropyLoss


def test_one_misfit_later_does_not_end_it(logits):
    module = nn.CrossEntropyLoss()
    heard = SampleLosses(nn.Sequential(module))
    for size, rows in [(4, True), (2, False), (4, True)]:
        heard.begin(size)
        module(logits, LABELS)
        assert (heard.take() is not None) is rows


def train_classifier(work_dir, **changes):
    model = dict(type='ToyHead', loss='mmpretrain.CrossEntropyLoss')
    return train(work_dir, model=model, **changes)


def test_hook_scores_samples_by_their_own_losses(tmp_path):
    changes = dict(
        train_cfg__max_epochs=1,
        optim_wrapper__optimizer__lr=0.0,
        custom_hooks=[
            dict(type='BLSHook', score=dict(type='EMAScore', alpha=0.0))
        ],
    )
    runner = train_classifier(tmp_path, **changes)
    dataset, model = runner.train_dataloader.dataset, runner.model
    labels = (dataset.points.sum(1) > 0).long()
    expected = nn.functional.cross_entropy(
        model.linear(dataset.points), labels, reduction='none'
    )
    torch.testing.assert_close(hook_of(runner).scores, expected.detach())
    assert type(model.loss) is losses.CrossEntropyLoss


@pytest.mark.parametrize(
    'setting', [dict(per_sample=False), dict(loss_key=['loss', 'loss'])]
)
def test_hook_scores_by_batches_when_asked(setting, tmp_path):
    hook = dict(
        type='BLSHook', score=dict(type='EMAScore', alpha=0.0), **setting
    )
    runner = train_classifier(
        tmp_path, train_cfg__max_epochs=1, custom_hooks=[hook]
    )
    # 40 samples in batches of 4.
    assert len(hook_of(runner).scores.unique()) == 10


def test_listening_changes_nothing_of_the_training(tmp_path):
    states = []
    for per_sample in (True, False):
        runner = train_classifier(
            tmp_path / str(per_sample),
            custom_hooks=[dict(type='BLSHook', per_sample=per_sample)],
            train_dataloader__sampler__pruner=None,
        )
        states.append(runner.model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
