"""Numbers of the report."""

from types import SimpleNamespace

import numpy as np
import pytest

from bls_mm.analysis.statistics import mean_scores, share_of_hardest


def test_mean_score_passes_over_the_middle_of_the_first_pass():
    def snapshot(passes, scores):
        return SimpleNamespace(passes=passes, scores=np.float32(scores))

    first = snapshot(0.5, [9, 0, 0])
    assert mean_scores([first]).tolist() == [9, 0, 0]
    others = [snapshot(1, [1, 2, 3]), snapshot(2, [3, 2, 5])]
    assert mean_scores([first, *others]).tolist() == [2, 2, 4]


@pytest.mark.parametrize(
    'scores, expected',
    [
        ([3, *[1] * 9], 0.25),
        ([1] * 10, 0.1),
        ([1] * 9, None),
        ([0] * 10, None),
        ([-1, *[1] * 9], None),
    ],
)
def test_share_that_the_hardest_tenth_holds(scores, expected):
    assert share_of_hardest(np.float32(scores)) == expected
