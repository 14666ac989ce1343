"""What the pruner would keep: that of the run, from a checkpoint alone."""

import numpy as np
import pytest

from bls_mm.analysis.selection import find_selection, next_weights
from bls_mm.analysis.snapshots import read_snapshots
from bls_mm.analysis.work_dir import read_config


def selections_of(work_dir):
    """What the report expects of each pruned pass, and what was selected."""
    snapshots, _ = read_snapshots(work_dir)
    config = read_config(work_dir)
    for before, after in zip(snapshots, snapshots[1:]):
        if after.weights is not None:
            yield next_weights(config, before, 24), after.weights


def test_selection_is_that_of_the_run(run):
    selections = list(selections_of(run[0]))
    assert len(selections) >= 4
    for expected, weights in selections:
        assert np.array_equal(expected, weights)


@pytest.mark.parametrize('kind', ['RandomPrune', 'SeTa'])
def test_selection_of_a_target_is_that_of_the_run(train_run, tmp_path, kind):
    pruner = dict(type=kind, target_saving=0.3)
    train_run(
        tmp_path,
        train_dataloader__dataset=dict(type='ToyDataset', size=24),
        train_dataloader__sampler__pruner=pruner,
        train_cfg__max_epochs=4,
    )
    selections = list(selections_of(tmp_path))
    assert len(selections) == 3
    for expected, weights in selections:
        assert np.array_equal(expected, weights)


@pytest.mark.parametrize('target', [0.2, 0.4])
def test_selection_after_the_run_drops_what_a_pruned_pass_did(run, target):
    config = read_config(run[0])
    pruner = dict(type='RandomPrune', target_saving=target)
    config.train_dataloader.sampler.pruner = pruner
    last = read_snapshots(run[0])[0][-1]
    weights = next_weights(config, last, 24)
    # 7 of the 8 passes are pruned, all but the first.
    assert (weights > 0).mean() == pytest.approx(1 - target * 8 / 7, abs=0.03)


@pytest.mark.parametrize('pruner', [None, dict(type='InfoBatch', delta=0.1)])
def test_run_that_prunes_nothing_has_no_selection(run, pruner):
    config = read_config(run[0])
    config.train_dataloader.sampler.pruner = pruner
    assert find_selection(config, read_snapshots(run[0])[0][-1:], 24) is None
