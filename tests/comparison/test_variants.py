"""What is run, in which order, and what controls are matched to."""

from pathlib import Path

import pytest

from bls_mm.comparison.variants import Study, match_ratio, order_variants


@pytest.mark.parametrize(
    'prune, fewer, expected',
    [
        (['infobatch'], False, ['full', 'infobatch']),
        (['random'], False, ['full', 'random']),
        (
            ['random', 'seta', 'infobatch', 'seta'],
            True,
            ['full', 'seta', 'infobatch', 'random', 'fewer epochs'],
        ),
    ],
)
def test_variants_run_after_what_they_are_matched_to(prune, fewer, expected):
    assert order_variants(prune, fewer) == expected


@pytest.mark.parametrize(
    'kept, delta, expected',
    [
        # 12 passes: 10 before annealing, of which the first is full.
        ([1.0] + [0.7] * 9 + [1.0] * 2, 0.875, 0.3),
        ([1.0] + [0.9, 0.5] * 4 + [0.7] + [1.0] * 2, 0.875, 0.3),
        # SeTa saves in annealing too: 3 passes of 9 at 0.4, 2 at 0.1.
        ([1.0] + [0.6] * 3 + [1.0] * 6 + [0.9] * 2, 0.875, 1.4 / 9),
        ([1.0] * 12, 0.875, 0.0),
        ([1.0], 0.875, 0.0),
        ([1.0, 0.5], 0.5, 0.0),
        ([1.0, 0.5, 0.1, 0.1], 0.5, 0.99),
        # The default is RandomPrune's: 7 - 1 of 8 passes.
        ([1.0, 0.8, 0.7, 0.75, 0.8, 0.72, 0.9, 1.0], None, 1.33 / 6),
    ],
)
def test_matched_ratio_saves_as_much(kept, delta, expected):
    assert match_ratio(kept, delta) == pytest.approx(expected)


REFERENCE = dict(saved=0.25, kept=[1, 0.5, 0.5, 0.5, 0.5, 1, 1, 1])


def make_study(*prune, ratio=0.4, saving=None):
    variants = order_variants(prune, fewer_epochs=True)
    return Study('c.py', 'hash', {}, variants, [1], ratio, saving, Path('d'))


@pytest.mark.parametrize(
    'variant, reference, prune, ratio, share',
    [
        ('full', None, None, None, None),
        ('infobatch', None, 'infobatch', 0.4, None),
        ('infobatch:ema:batch', None, 'infobatch', 0.4, None),
        ('seta', REFERENCE, 'seta', 0.4, None),
        ('random', REFERENCE, 'random', 2 / 6, None),
        ('fewer epochs', REFERENCE, None, None, 0.75),
    ],
)
def test_settings_of_a_run(variant, reference, prune, ratio, share):
    study = make_study('infobatch', 'seta', 'random')
    settings = study.make_settings(variant, 1, reference)
    assert settings['prune'] == prune
    assert settings['prune_ratio'] == pytest.approx(ratio)
    assert settings['schedule_share'] == share
    assert settings['score'] == ('ema:batch' if ':' in variant else None)
    assert settings['seed'] == 1


def test_controls_that_save_a_target_need_no_reference():
    study = make_study('seta', 'random', ratio=None, saving=0.4)
    settings = study.make_settings('fewer epochs', 1, None)
    assert settings['schedule_share'] == 0.6
    assert settings['target_saving'] is None  # it is not pruned
    assert not any(map(study.is_matched, study.variants))


@pytest.mark.parametrize(
    'study, ratio, saving',
    [
        (make_study('random'), 0.4, None),  # the only variant
        (make_study('seta', 'random', ratio=None, saving=0.3), None, 0.3),
    ],
)
def test_random_pruning_is_not_matched(study, ratio, saving):
    settings = study.make_settings('random', 1, None)
    assert settings['prune_ratio'] == ratio
    assert settings['target_saving'] == saving


@pytest.mark.parametrize('variant', ['random', 'fewer epochs'])
def test_matched_variant_needs_its_reference(variant):
    with pytest.raises(ValueError, match=f'`{variant}` needs a run to match'):
        make_study('seta', 'random').make_settings(variant, 1, None)
