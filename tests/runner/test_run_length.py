"""How often a run is validated and saved, and what the log says of it."""

import re
from bisect import bisect

import pytest
from toy import EVERY_EPOCH, VALIDATED, Validated, make_runner

from bls_mm.runner.run_length import count_validations


@pytest.mark.parametrize('end', [1, 40, 57, 80])
@pytest.mark.parametrize('begin', [1, 10, 33, 80])
@pytest.mark.parametrize(
    ('milestones', 'intervals'),
    [([0], [10]), ([0], [7]), ([0, 31, 60], [20, 5, 1]), ([0, 1], [3, 4])],
)
def test_validations_are_those_of_mmengines_loop(
    end, begin, milestones, intervals
):
    expected = 0
    for done in range(1, end + 1):
        interval = intervals[bisect(milestones, done + 1) - 1]
        expected += done >= begin and (done % interval == 0 or done == end)
    assert count_validations(end, begin, milestones, intervals) == expected


BY_ITER = dict(by_epoch=False, max_iters=80, val_interval=10)
SAVED_BY_ITER = dict(type='CheckpointHook', by_epoch=False, interval=9)
CASES = {
    'epochs': dict(
        train_cfg=dict(by_epoch=True, max_epochs=8, val_begin=3),
        default_hooks__checkpoint=EVERY_EPOCH,
    ),
    'epochs, saved by iteration': dict(
        default_hooks__checkpoint=dict(SAVED_BY_ITER, save_begin=30)
    ),
    'iterations': dict(
        train_cfg=dict(BY_ITER, val_begin=35),
        default_hooks__checkpoint=SAVED_BY_ITER,
    ),
    'iterations, dynamic': dict(
        train_cfg=dict(BY_ITER, dynamic_intervals=[(51, 3)]),
        default_hooks__checkpoint=dict(SAVED_BY_ITER, save_last=False),
    ),
    'nothing but the last': dict(
        train_cfg=dict(BY_ITER, val_interval=1000),
        default_hooks__checkpoint=dict(SAVED_BY_ITER, save_begin=81),
    ),
    'nothing': dict(
        train_cfg=BY_ITER,
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
        default_hooks__checkpoint=dict(
            type='CheckpointHook', interval=-1, save_last=False
        ),
    ),
}


def happened(work_dir, **changes):
    """Validations and checkpoints of a run, and what its log expected."""
    validated = Validated()
    hooks = [dict(type='BLSHook'), dict(type='Recorder'), validated]
    runner = make_runner(
        work_dir, custom_hooks=hooks, log_level='INFO', **changes
    )
    runner.train()
    log = ''.join(path.read_text() for path in work_dir.rglob('*.log'))
    told = re.findall(
        r'BLS: (\d+) validation.* and (\d+) checkpoint.* are expected in '
        r'(\d+) iterations; without pruning there are (\d+) and (\d+)',
        log,
    )
    saved = len(list(work_dir.glob('*.pth')))
    return runner.iter, len(validated.at), saved, told


@pytest.mark.parametrize('name', CASES)
def test_log_says_how_many_are_expected(tmp_path, name):
    """The pruner drops as many in each pass, so that the forecast holds."""
    changes = {**VALIDATED, **CASES[name]}
    constant = dict(type='RandomPrune', prune_ratio=0.4, delta=1.0)
    length, *pruned, told = happened(
        tmp_path / 'pruned',
        train_dataloader__sampler__pruner=constant,
        **changes,
    )
    _, *unpruned, untold = happened(
        tmp_path / 'whole', train_dataloader__sampler__pruner=None, **changes
    )
    assert not untold  # there is nothing to expect
    (told,) = told  # once in a run
    assert list(map(int, told)) == [*pruned, length, *unpruned]
