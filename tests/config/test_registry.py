"""Building pruners and scores from configs; errors name the entry."""

import warnings

import pytest
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from bls_mm import PRUNERS, InfoBatch, Pruner, SeTa
from bls_mm.checks import check_range
from bls_mm.registry import build


def make(cfg):
    return build(cfg, PRUNERS, Pruner, 'sampler.pruner')


@pytest.mark.parametrize('kind', ['InfoBatch', 'bls_mm.InfoBatch', InfoBatch])
@pytest.mark.parametrize('dict_type', [dict, ConfigDict])
def test_build_finds_a_type_by_name_path_or_class(kind, dict_type):
    cfg = dict_type(type=kind, prune_ratio=0.3)
    before = dict(cfg)
    pruner = make(cfg)
    assert type(pruner) is InfoBatch
    assert pruner.prune_ratio == 0.3
    assert dict(cfg) == before


def test_build_passes_an_instance_through():
    pruner = SeTa()
    assert make(pruner) is pruner


@pytest.mark.parametrize('scope', ['mmengine', 'mmdet', 'no_such_scope'])
def test_build_is_silent_under_any_default_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            cfg = dict(type='SeTa', _scope_=scope)
            assert type(make(cfg)) is SeTa


@pytest.mark.parametrize(
    'name',
    ['Infobatch', 'RandomPruner', 'EMAScore', 'no.Thing', 'torch.No', ''],
)
def test_unknown_pruner_lists_the_known_ones(name):
    known = 'Known: .*InfoBatch.*RandomPrune.*SeTa'
    with pytest.raises(ValueError, match=f'`sampler.pruner` .*{known}'):
        make(dict(type=name))


@pytest.mark.parametrize(
    'cfg', ['InfoBatch', None, False, 3, [], {}, dict(ratio=0.5)]
)
def test_build_refuses_what_is_no_config(cfg):
    with pytest.raises(TypeError, match='`sampler.pruner` should be a dict'):
        make(cfg)


@pytest.mark.parametrize(
    'cfg, error, message',
    [
        (dict(type='SeTa', delta=2), ValueError, '`delta` should be'),
        (dict(type='SeTa', delta='2'), TypeError, '`delta` should be'),
        (dict(type='SeTa', ratio=0.5), TypeError, "argument 'ratio'"),
        (dict(type=None), TypeError, 'name or a class, but got None'),
        (dict(type=dict), TypeError, 'should be a Pruner, .* gives a dict'),
        (dict(type='builtins.list'), TypeError, 'gives a list'),
    ],
)
def test_build_names_the_entry_of_a_wrong_setting(cfg, error, message):
    with pytest.raises(error, match=f'`sampler.pruner.*{message}'):
        make(cfg)


@pytest.mark.parametrize(
    'interval, inside, outside',
    [
        ('[0, 1]', [0, 0.5, 1], [-1e-9, 1 + 1e-9, float('nan')]),
        ('[0, 1)', [0, 0.999], [-1, 1, 1.0, float('inf')]),
        ('(0, 1]', [1e-9, 1], [0, 0.0, -0.0, 1.5]),
        ('(0, 1)', [0.5], [0, 1]),
    ],
)
def test_check_range_knows_which_ends_belong(interval, inside, outside):
    for value in inside:
        check_range('x', value, 0, 1, interval)
    for value in outside:
        with pytest.raises(ValueError, match=f'got {value}'):
            check_range('x', value, 0, 1, interval)
