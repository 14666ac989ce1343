"""Wrong settings and damaged checkpoints: one error that names the entry."""

import copy
import math
from inspect import signature

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATA_SAMPLERS, DATASETS, MODELS
from torch.utils.data import DataLoader
from toy import Recorder, StopAt, ToyDataset, hook_of, make_runner, train

ERRORS = (TypeError, ValueError, RuntimeError)
SAMPLER = 'train_dataloader__sampler'
SHAPES = r'{}.*should be a {} tensor of shape \(n,\), but got {}'


def hook(**settings):
    return dict(custom_hooks=[dict(type='BLSHook', **settings)])


def score(**settings):
    return hook(score=settings)


def sampler(**settings):
    return {f'{SAMPLER}__{key}': value for key, value in settings.items()}


def pruner(kind='InfoBatch', **settings):
    return sampler(pruner=dict(type=kind, **settings))


def inner(kind, **settings):
    return sampler(inner=dict(type=kind, **settings))


def loader(**settings):
    return {f'train_dataloader__{k}': v for k, v in settings.items()}


@DATASETS.register_module(force=True)
class ToyStream(torch.utils.data.IterableDataset):
    """Samples without an index."""

    def __iter__(self):
        return iter(ToyDataset())


@DATASETS.register_module(force=True)
class ToyStreamOf40(ToyStream):
    """Samples without an index, whose number is known."""

    def __len__(self):
        return 40


@DATA_SAMPLERS.register_module(force=True)
class ToyInner(torch.utils.data.Sampler):
    """A sampler with a purpose of its own; its faults are settings."""

    def __init__(self, dataset, seed=None, yields=None):
        self.yields = range(len(dataset)) if yields is None else yields

    def __len__(self):
        return len(self.yields)

    def __iter__(self):
        return iter(self.yields)

    def set_epoch(self, epoch):
        """Yield the same in each pass."""


@DATA_SAMPLERS.register_module(force=True)
class EndlessInner(ToyInner):
    def __iter__(self):
        while True:
            yield 0


@DATA_SAMPLERS.register_module(force=True)
class InnerWithoutLength(torch.utils.data.Sampler):
    def __init__(self, dataset, seed=None):
        self.size = len(dataset)

    def __iter__(self):
        return iter(range(self.size))


@DATA_SAMPLERS.register_module(force=True)
class InnerWithoutEpochs(InnerWithoutLength):
    def __len__(self):
        return self.size


RANGE = r'`{}` should be in {}, but got {}\.'
NUMBER = '`{}` should be a number, but got {}'
PRUNER = r'`train_dataloader.sampler.pruner`: '
INNER = '`train_dataloader.sampler.inner`'
UNIT, OPEN = r'\[0, 1\]', r'\[0, 1\)'
NO_COMPONENT = '`{}` should be a dict with a `type` or a {}, but got {}'
KNOWN = 'has an unknown type {}. Known: {}'
PRUNERS = 'InfoBatch, .*RandomPrune, SeTa'  # and those of other tests
TABLE = {
    # The hook
    'hook, unknown argument': (hook(ratio=1), "unexpected keyword.*'ratio'"),
    'hook, twice': (
        dict(custom_hooks=[dict(type='BLSHook'), dict(type='BLSHook')]),
        'should have one BLSHook, but got several',
    ),
    'hook, missing': (dict(custom_hooks=[]), 'there is no BLSHook'),
    'hook alone': (
        {SAMPLER: dict(type='DefaultSampler')},
        '`train_dataloader.sampler` is a DefaultSampler, but BLSHook needs',
    ),
    'hook alone, no sampler': (
        {SAMPLER: None},
        '`train_dataloader.sampler` is a SequentialSampler',
    ),
    'loss_key, number': (hook(loss_key=3), '`BLSHook.loss_key` should be'),
    'loss_key, None': (hook(loss_key=None), '`BLSHook.loss_key`.*got None'),
    'loss_key, none': (hook(loss_key=[]), r'`BLSHook.loss_key`.*got \[\]'),
    'loss_key, empty': (hook(loss_key=''), '`BLSHook.loss_key` should be'),
    'loss_key, mixed': (hook(loss_key=['a', 1]), '`BLSHook.loss_key` should'),
    'rescale_loss, string': (
        hook(rescale_loss='no'),
        "`BLSHook.rescale_loss` should be True or False, but got 'no'",
    ),
    'align_schedule, number': (
        hook(align_schedule=2),
        '`BLSHook.align_schedule` should be True or False, but got 2',
    ),
    # The score
    'score, None': (
        hook(score=None),
        NO_COMPONENT.format('BLSHook.score', 'Score', 'None'),
    ),
    'score, string': (
        hook(score='EMAScore'),
        NO_COMPONENT.format('BLSHook.score', 'Score', "'EMAScore'"),
    ),
    'score, no type': (
        score(alpha=0.5),
        NO_COMPONENT.format('BLSHook.score', 'Score', "{'alpha': 0.5}"),
    ),
    'score, list': (
        hook(score=[dict(type='EMAScore')]),
        '`BLSHook.score` should be a dict',
    ),
    'score, type None': (
        score(type=None),
        '`BLSHook.score.type` should be a name or a class, but got None',
    ),
    'score, other case': (
        score(type='emascore'),
        '`BLSHook.score` ' + KNOWN.format("'emascore'", '.*EMAScore'),
    ),
    'score, a pruner': (
        score(type='InfoBatch'),
        '`BLSHook.score` ' + KNOWN.format("'InfoBatch'", '.*EMAScore'),
    ),
    'score, another class': (
        score(type='torch.nn.Identity'),
        '`BLSHook.score` should be a Score, but .* gives a Identity',
    ),
    'score, unknown argument': (
        score(type='EMAScore', beta=1),
        "`BLSHook.score`: .*'beta'",
    ),
    'alpha, 1': (
        score(type='EMAScore', alpha=1),
        '`BLSHook.score`: ' + RANGE.format('alpha', OPEN, 1),
    ),
    'alpha, nan': (
        score(type='EMAScore', alpha=math.nan),
        '`BLSHook.score`: ' + RANGE.format('alpha', OPEN, 'nan'),
    ),
    'alpha, string': (
        score(type='EMAScore', alpha='0.9'),
        '`BLSHook.score`: ' + NUMBER.format('alpha', "'0.9'"),
    ),
    'init, unknown': (
        score(type='EMAScore', init='last'),
        "`BLSHook.score`: `init` should be .* but got 'last'",
    ),
    # The pruner
    'pruner, string': (
        sampler(pruner='InfoBatch'),
        NO_COMPONENT.format(
            'train_dataloader.sampler.pruner', 'Pruner', "'InfoBatch'"
        ),
    ),
    'pruner, False': (
        sampler(pruner=False),
        NO_COMPONENT.format(
            'train_dataloader.sampler.pruner', 'Pruner', 'False'
        ),
    ),
    'pruner, no type': (
        sampler(pruner=dict(prune_ratio=0.3)),
        NO_COMPONENT.format(
            'train_dataloader.sampler.pruner',
            'Pruner',
            "{'prune_ratio': 0.3}",
        ),
    ),
    'pruner, other case': (
        pruner('Infobatch'),
        'sampler.pruner` ' + KNOWN.format("'Infobatch'", PRUNERS),
    ),
    'pruner, similar name': (
        pruner('RandomPruner'),
        'sampler.pruner` ' + KNOWN.format("'RandomPruner'", PRUNERS),
    ),
    'pruner, unknown argument': (pruner(ratio=0.3), PRUNER + ".*'ratio'"),
    'prune_ratio, 1': (
        pruner(prune_ratio=1),
        PRUNER + RANGE.format('prune_ratio', OPEN, 1),
    ),
    'prune_ratio, negative': (
        pruner('RandomPrune', prune_ratio=-0.1),
        PRUNER + RANGE.format('prune_ratio', OPEN, -0.1),
    ),
    'prune_ratio, nan': (
        pruner('SeTa', prune_ratio=math.nan),
        PRUNER + RANGE.format('prune_ratio', OPEN, 'nan'),
    ),
    'prune_ratio, string': (
        pruner('SeTa', prune_ratio='0.3'),
        PRUNER + NUMBER.format('prune_ratio', "'0.3'"),
    ),
    'target_saving, 1': (
        pruner(target_saving=1),
        PRUNER + RANGE.format('target_saving', r'\(0, 1\)', 1),
    ),
    'target_saving, string': (
        pruner('SeTa', target_saving='half'),
        PRUNER + NUMBER.format('target_saving', "'half'"),
    ),
    'target_saving, out of reach': (
        pruner('RandomPrune', target_saving=0.9),
        '`train_dataloader.sampler.pruner.target_saving` should be at most',
    ),
    'target_saving, with a ratio': (
        pruner(prune_ratio=0.5, target_saving=0.3),
        PRUNER + '`target_saving` decides .*`prune_ratio=None`, but got 0.5',
    ),
    'prune_ratio, True': (
        pruner(prune_ratio=True),
        PRUNER + NUMBER.format('prune_ratio', 'True'),
    ),
    'delta, 2': (pruner(delta=2), PRUNER + RANGE.format('delta', UNIT, 2)),
    'delta, negative': (
        pruner('RandomPrune', delta=-1),
        PRUNER + RANGE.format('delta', UNIT, -1),
    ),
    'delta, string': (
        pruner('SeTa', delta='all'),
        PRUNER + NUMBER.format('delta', "'all'"),
    ),
    'num_groups, 0': (
        pruner('SeTa', num_groups=0),
        PRUNER + RANGE.format('num_groups', r'\[1, inf\)', 0),
    ),
    'num_groups, half': (
        pruner('SeTa', num_groups=2.5),
        PRUNER + '`num_groups` should be an integer, but got 2.5',
    ),
    'num_groups, string': (
        pruner('SeTa', num_groups='5'),
        PRUNER + NUMBER.format('num_groups', "'5'"),
    ),
    'window_scale, 0': (
        pruner('SeTa', window_scale=0),
        PRUNER + RANGE.format('window_scale', r'\(0, 1\]', 0),
    ),
    'window_scale, 1.1': (
        pruner('SeTa', window_scale=1.1),
        PRUNER + RANGE.format('window_scale', r'\(0, 1\]', 1.1),
    ),
    # The sampler
    'sampler, inherited argument': (
        sampler(num_repeats=3),
        'does not take `num_repeats`.*inner=',
    ),
    'shuffle, string': (
        sampler(shuffle='no'),
        "`train_dataloader.sampler.shuffle` should be True or .* got 'no'",
    ),
    'round_up, None': (
        sampler(round_up=None),
        '`train_dataloader.sampler.round_up` should be True or .* got None',
    ),
    'seed, string': (
        sampler(seed='3'),
        "`train_dataloader.sampler.seed` should be an integer, but got '3'",
    ),
    'seed, float': (
        sampler(seed=1.5),
        '`train_dataloader.sampler.seed` should be an integer, but got 1.5',
    ),
    'seed, too large': (
        sampler(seed=2**63),
        r'`train_dataloader.sampler.seed` should be in \[.*, but got 9223372',
    ),
    'inner, string': (
        sampler(inner='ToyInner'),
        INNER + " should be a dict with a `type`, but got 'ToyInner'",
    ),
    'inner, unknown': (inner('Nothing'), INNER + " .* unknown type 'Nothing'"),
    'inner, unknown argument': (
        inner('ToyInner', repeats=3),
        INNER + ": .*'repeats'",
    ),
    'inner, plain': (
        inner('DefaultSampler'),
        INNER + ': DefaultSampler cannot be filtered.*leave `inner` out',
    ),
    'inner, itself': (
        inner('BLSSampler'),
        INNER + ': BLSSampler cannot be filtered',
    ),
    'inner, endless': (inner('EndlessInner'), INNER + '.* yields without end'),
    'inner, empty': (
        inner('ToyInner', yields=[]),
        INNER + ' should yield indices, but got none',
    ),
    'inner, index out of range': (
        inner('ToyInner', yields=[0, 45]),
        INNER + r' should yield indices in \[0, 40\), but got 45',
    ),
    'inner, no length': (
        inner('InnerWithoutLength'),
        INNER + ' should have a `__len__`',
    ),
    'inner, no set_epoch': (
        inner('InnerWithoutEpochs'),
        INNER + ' should have a `set_epoch`',
    ),
    # The data
    'dataset, empty': (
        loader(dataset=dict(type='ToyDataset', size=0)),
        '`train_dataloader.dataset` is empty',
    ),
    'dataset, iterable': (
        loader(dataset=dict(type='ToyStream')),
        '`train_dataloader.dataset` should have .* but got ToyStream',
    ),
    'dataset, iterable with length': (
        loader(dataset=dict(type='ToyStreamOf40')),
        '`train_dataloader.dataset` should have .* but got ToyStreamOf40',
    ),
    'dataset, smaller than a batch': (
        loader(batch_size=50, drop_last=True),
        '`train_dataloader` yields no batch',
    ),
    'batches, none': (
        loader(batch_size=None),
        '`train_dataloader.dataset` .* has no batch sampler',
    ),
    'batches, in no order': (
        loader(in_order=False),
        '`train_dataloader.in_order` should be True',
    ),
}
if 'in_order' not in signature(DataLoader).parameters:  # torch below 2.6
    del TABLE['batches, in no order']


@pytest.mark.parametrize('case', TABLE)
def test_wrong_setting_is_refused_before_training(tmp_path, case):
    changes, message = TABLE[case]
    recorder = Recorder()
    with pytest.raises(ERRORS, match=message):
        runner = make_runner(tmp_path, **changes)
        runner.register_hook(recorder)
        runner.train()
    assert not recorder.numbers


def test_sampler_of_validation_visits_everything(tmp_path):
    """There a pruner has no say, and needs no hook."""
    runner = train(
        tmp_path,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        val_cfg=dict(),
        val_evaluator=dict(type='ToyMetric'),
        val_dataloader=dict(
            dataset=dict(type='ToyDataset', size=30),
            sampler=dict(type='BLSSampler'),
            batch_size=4,
            collate_fn=dict(type='default_collate'),
        ),
    )
    assert sorted(runner.val_dataloader.sampler) == list(range(30))


# What only the first iteration can tell


@MODELS.register_module(force=True)
class AnyLoss(BaseModel):
    """A model with a loss dict of choice."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.kind = kind

    def forward(self, inputs, label, number, mode='tensor'):
        logits = self.linear(inputs)
        losses = torch.nn.functional.cross_entropy(
            logits, label, reduction='none'
        )
        if self.kind == 'none':
            return dict(accuracy=losses.mean())
        if self.kind == 'one of shape (1,)':
            return dict(loss=losses.mean()[None])
        if self.kind == 'several':
            # As under autocast: one in half precision.
            first, second = losses.mean(), losses.mean().bfloat16()
            return dict(loss_a=first, loss_b=[second, second])
        return dict(loss=losses)

    def train_step(self, data, optim_wrapper):
        if self.kind != 'float':
            return super().train_step(data, optim_wrapper)
        loss = self(**data, mode='loss')['loss'].mean()
        optim_wrapper.update_params(loss)
        return dict(loss=loss, loss_float=loss.item())

    def parse_losses(self, losses):
        if self.kind == 'per sample, to backward':
            return losses['loss'], losses
        return super().parse_losses(losses)


@pytest.mark.parametrize(
    'kind, loss_key, message',
    [
        (
            'none',
            'loss',
            'The loss that goes to backward .* tensor, but got 0',
        ),
        (
            'per sample, to backward',
            'loss',
            r'The loss that goes to backward .* single value.* shape \(4,\)',
        ),
        (
            'float',
            'loss_float',
            r"loss_key`: the loss 'loss_float' should be a tensor, but got \d",
        ),
        (
            'float',
            ['loss', 'loss_rpn'],
            r"names \['loss_rpn'\].*\['loss', 'loss_float'\]",
        ),
    ],
)
def test_loss_that_cannot_be_scored_is_refused_at_once(
    tmp_path, kind, loss_key, message
):
    runner = make_runner(
        tmp_path,
        model=dict(type='AnyLoss', kind=kind),
        **hook(loss_key=loss_key),
    )
    with pytest.raises(ERRORS, match=message):
        runner.train()
    assert runner.iter == 0
    assert not hook_of(runner).scores.any()


@pytest.mark.parametrize(
    'kind, loss_key',
    [
        ('one of shape (1,)', 'loss'),
        ('several', 'loss'),
        ('several', ['loss_a', 'loss_b']),
    ],
)
def test_loss_of_an_unusual_form_is_scored(tmp_path, kind, loss_key):
    runner = train(
        tmp_path,
        model=dict(type='AnyLoss', kind=kind),
        **hook(loss_key=loss_key),
    )
    assert (hook_of(runner).scores > 0).all()


# Checkpoints


SAVED = dict(
    train_cfg=dict(by_epoch=False, max_iters=75),
    train_dataloader__batch_size=3,  # 40 = 13 * 3 + 1: samples are carried
    default_hooks=dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=20)
    ),
)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint in the middle of the second, pruned pass."""
    folder = tmp_path_factory.mktemp('saved')
    runner = make_runner(folder, **SAVED)
    runner.register_hook(StopAt(20))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    saved = torch.load(folder / 'iter_20.pth', weights_only=False)
    state = saved['bls']
    assert len(state['carried']) == 1 and not state['finished']
    assert 0 < int((state['weights'] == 0).sum()) < 40
    return saved


def resume(folder, checkpoint, state, **changes):
    """Resume from the checkpoint with another BLS state."""
    path = folder / 'changed.pth'
    torch.save(dict(checkpoint, bls=state), path)
    runner = make_runner(
        folder, resume=True, load_from=str(path), **dict(SAVED, **changes)
    )
    runner.train()
    return runner


def without(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


def having(**changes):
    return lambda state: dict(state, **changes)


def at(name, place, value):
    """One element of a tensor replaced."""

    def change(state):
        tensor = state[name].clone()
        tensor[place] = value
        return dict(state, **{name: tensor})

    return change


def through(name, function):
    return lambda state: dict(state, **{name: function(state[name])})


DAMAGE = {
    'None': (lambda s: None, '`bls` of .* should be a dict .* but got None'),
    'a list': (lambda s: [1], r'`bls` of .* should be a dict .* got \[1\]'),
    'empty': (lambda s: {}, '`bls` of .* should be a dict .* but got {}'),
    'version, newer': (having(version=3), 'version 3, but .* version 2'),
    'version, missing': (without('version'), 'version None'),
    'version, string': (having(version='2'), 'version 2, but .* version 2'),
    'scores, missing': (without('scores'), 'should have the entry `scores`'),
    'seed, missing': (without('seed'), 'should have the entry `seed`'),
    'done, missing': (without('done'), 'should have the entry `done`'),
    'scores, list': (
        through('scores', torch.Tensor.tolist),
        SHAPES.format('bls.scores', 'float32', 'a list'),
    ),
    'scores, of another dataset': (
        through('scores', lambda t: t[:30]),
        'scores of 30 samples.*`train_dataloader.dataset` has 40',
    ),
    'scores, square': (
        through('scores', lambda t: t.view(5, 8)),
        SHAPES.format('bls.scores', 'float32', r'float32 of shape \(5, 8\)'),
    ),
    'scores, number': (
        through('scores', lambda t: t[0]),
        SHAPES.format('bls.scores', 'float32', r'float32 of shape \(\)'),
    ),
    'scores, double': (
        through('scores', torch.Tensor.double),
        SHAPES.format('bls.scores', 'float32', 'float64'),
    ),
    'scores, sparse': (
        through('scores', torch.Tensor.to_sparse),
        SHAPES.format('bls.scores', 'float32', 'a Tensor'),
    ),
    'scores, nan': (
        at('scores', 3, math.nan),
        '`bls.scores` of the checkpoint should be finite, but got nan',
    ),
    'scores, infinite': (
        at('scores', 39, -math.inf),
        '`bls.scores` of the checkpoint should be finite, but got -inf',
    ),
    'weights, too few': (
        through('weights', lambda t: t[:30]),
        '`bls.weights` .* for each of 40 samples, but got 30',
    ),
    'weights, below 1': (
        at('weights', 0, 0.5),
        '`bls.weights` of .* should be 0 or at least 1, but got 0.5',
    ),
    'weights, negative': (
        at('weights', 0, -1.0),
        '`bls.weights` of .* should be 0 or at least 1, but got -1.0',
    ),
    'weights, nan': (at('weights', 0, math.nan), '`bls.weights` .* got nan'),
    'weights, none kept': (
        through('weights', torch.zeros_like),
        '`bls.weights` .* should be positive somewhere',
    ),
    'weights, whole numbers': (
        through('weights', torch.Tensor.long),
        SHAPES.format('bls.weights', 'float32', 'int64'),
    ),
    'carried, out of range': (
        at('carried', 0, 40),
        r'`bls.carried` of .* should be indices in \[0, 40\), but got 40',
    ),
    'carried, negative': (
        at('carried', 0, -1),
        r'`bls.carried` of .* should be indices in \[0, 40\), but got -1',
    ),
    'carried, float': (
        through('carried', torch.Tensor.float),
        SHAPES.format('bls.carried', 'int64', 'float32'),
    ),
    'carried, too many': (
        having(carried=torch.zeros(7).long(), carried_weights=torch.ones(7)),
        '`bls.carried` of .* should be of at most 6 indices, but got 7',
    ),
    'carried weights, too few': (
        having(carried_weights=torch.empty(0)),
        '`bls.carried_weights` of .* should be 1 weights of at least 1',
    ),
    'carried weights, 0': (
        having(carried_weights=torch.zeros(1)),
        '`bls.carried_weights` of .* should be 1 weights of at least 1',
    ),
    'seed, string': (
        having(seed='0'),
        "`bls.seed` of the checkpoint should be an integer, but got '0'",
    ),
    'seed, too large': (having(seed=2**63), '`bls.seed` .* should be in'),
    'number, negative': (having(number=-2), '`bls.number` .* but got -2'),
    'number, float': (having(number=1.0), '`bls.number` .* an integer'),
    'first_step, beyond the pass': (
        having(first_step=60),
        '`bls.first_step` of .* should be at most 26, .* but got 60',
    ),
    'done, negative': (having(done=-1), '`bls.done` .* should be in .* -1'),
    'done, True': (having(done=True), '`bls.done` .* an integer, but got Tru'),
    'done, beyond the pass': (
        having(done=500),
        r'`bls.done` of .* should be at most \d+, the length .* but got 500',
    ),
    'finished, 2': (having(finished=2), '`bls.finished` .* 0 or 1, but got 2'),
    'visited, negative': (having(visited=-1), '`bls.visited` .* but got -1'),
    'visited, None': (having(visited=None), '`bls.visited` .* got None'),
    'world size, 0': (having(world_size=0), '`bls.world_size` .* but got 0'),
    'denominator, 0': (having(denominator=0), '`bls.denominator` .* got 0'),
    'other number of ranks': (having(world_size=2), 'the number of GPUs'),
    'other batch size': (having(denominator=5), '`train_.*.batch_size`'),
}


# What torch 2.14 says of each sparse tensor that it loads.
@pytest.mark.filterwarnings('ignore:Validating sparse tensor:UserWarning')
@pytest.mark.parametrize('case', DAMAGE)
def test_damaged_state_is_refused_before_training(tmp_path, checkpoint, case):
    damage, message = DAMAGE[case]
    state = damage(copy.deepcopy(checkpoint['bls']))
    with pytest.raises(ERRORS, match=message):
        resume(tmp_path, checkpoint, state)
    assert not list(tmp_path.glob('iter_*.pth'))


def test_sound_state_is_resumed(tmp_path, checkpoint):
    runner = resume(tmp_path, checkpoint, checkpoint['bls'])
    assert hook_of(runner, 'Recorder').iters[0] == 20
    assert runner.iter == runner.max_iters


def test_state_loads_without_trust(tmp_path, checkpoint):
    torch.save(checkpoint['bls'], tmp_path / 'bls.pth')
    state = torch.load(tmp_path / 'bls.pth', weights_only=True)
    assert state.keys() == checkpoint['bls'].keys()


@pytest.mark.parametrize('by_epoch', [True, False])
def test_finished_run_has_nothing_left_when_it_is_resumed(tmp_path, by_epoch):
    changes = dict() if by_epoch else SAVED
    first = train(tmp_path, **changes)
    again = train(tmp_path, resume=True, **changes)
    assert again.iter == again.max_iters == first.iter
    assert not hook_of(again, 'Recorder').numbers
    assert torch.equal(hook_of(again).scores, hook_of(first).scores)


@pytest.mark.parametrize('max_iters', [1, 13, 18, 20, 21])
def test_run_that_became_shorter_ends(tmp_path, checkpoint, max_iters):
    """The checkpoint has made more than 20 steps in 20 iterations."""
    runner = resume(
        tmp_path,
        checkpoint,
        checkpoint['bls'],
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
    )
    assert not hook_of(runner, 'Recorder').numbers


def test_checkpoint_without_state_starts_new_scores_and_says_so(
    tmp_path, checkpoint
):
    path = tmp_path / 'plain.pth'
    torch.save({k: v for k, v in checkpoint.items() if k != 'bls'}, path)
    runner = make_runner(tmp_path, resume=True, load_from=str(path), **SAVED)
    warnings = []
    runner.logger.warning = warnings.append
    runner.train()
    assert any('saved without BLSHook' in warning for warning in warnings)
    assert hook_of(runner, 'Recorder').iters[0] == 20


def test_state_is_left_alone_by_a_run_without_the_hook(tmp_path):
    """A run of a plain config loads what a pruned one has saved."""
    train(tmp_path, train_cfg=dict(by_epoch=True, max_epochs=4))
    plain = {
        SAMPLER: dict(type='DefaultSampler', shuffle=True),
        'custom_hooks': [dict(type='Recorder')],
    }
    runner = train(tmp_path, resume=True, **plain)
    assert runner.epoch == 8
    assert len(hook_of(runner, 'Recorder').numbers) == 4 * 10
    saved = torch.load(tmp_path / 'epoch_8.pth', weights_only=False)
    assert 'bls' not in saved
