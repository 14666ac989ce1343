"""Classes: what annotations name, and which are kept less than others."""

import numpy as np
import pytest

from bls_mm.analysis.answer import describe_classes, describe_starved
from bls_mm.analysis.classes import (
    Labels,
    classes_of,
    map_classes,
    summarise_classes,
)


def pairs(samples, classes):
    return Labels(
        np.array(samples), np.array(classes), True, len(set(samples))
    )


def test_class_that_is_kept_less_than_chance_explains_is_flagged():
    rng = np.random.default_rng(0)
    classes = np.arange(3000) % 3
    kept = rng.random(3000) < np.where(classes == 2, 0.4, 0.6)
    rows = summarise_classes(
        rng.random(3000),
        np.where(kept, 2.0, 0.0).astype(np.float32),
        pairs(np.arange(3000), classes),
        ['a', 'b', 'c'],
    )
    by_name = {row['name']: row for row in rows}
    assert [n for n in 'abc' if by_name[n]['starved']] == ['c']
    share = kept[classes == 2].mean()
    assert by_name['c']['kept'] == pytest.approx(share)
    assert by_name['c']['low'] < share < by_name['c']['high']
    assert by_name['c']['weight'] == pytest.approx(2 * share)
    assert describe_starved(rows) == (
        '1 of 3 classes is kept less than chance explains: c.'
    )


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(1)
    labels = pairs(np.arange(1000), np.arange(1000) % 20)
    alarms = 0
    for _ in range(100):
        weights = (rng.random(1000) < 0.5).astype(np.float32)
        rows = summarise_classes(weights, weights, labels, None)
        alarms += any(row['starved'] for row in rows)
    assert alarms <= 10


def test_sample_with_several_classes_counts_in_each():
    scores = np.float32([1, 2, 3])
    labels = pairs([0, 1, 1, 2], [5, 5, 7, 7])
    rows = summarise_classes(scores, None, labels, None)
    assert [(r['name'], r['count']) for r in rows] == [('7', 2), ('5', 2)]
    assert [r['quantiles'][2] for r in rows] == [2.5, 1.5]
    assert describe_classes(rows, 2.0) == (
        'Hardest classes by median score: 7 (2.5). The easiest: 5 (1.5). '
        'Of all samples: 2.'
    )


@pytest.mark.parametrize(
    'info, expected',
    [
        ({}, []),
        (dict(gt_label=3), [3]),
        (dict(gt_label=[4, 1]), [1, 4]),
        (dict(instances=[]), []),
        (
            dict(
                instances=[
                    dict(bbox_label=2),
                    dict(bbox_label=1, ignore_flag=1),
                    dict(bbox_label=2, ignore_flag=0),
                ]
            ),
            [2],
        ),
    ],
)
def test_classes_of_an_annotation(info, expected):
    assert classes_of(info) == expected


def test_classes_of_a_label_map_are_all_but_the_ignored():
    def loader(info):
        return dict(info, gt_seg_map=np.uint8([[0, 2], [255, 2]]))

    assert map_classes({}, [loader]) == [0, 2]
