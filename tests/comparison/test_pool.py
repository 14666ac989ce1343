"""Several comparisons as one."""

import json
import math
import shutil

import pytest
from studies import write_comparison

from bls_mm.comparison import pool
from bls_mm.runner.results import write_json


@pytest.fixture
def work_dirs(tmp_path):
    """Accuracies in per cent, and a metric up to 1."""
    folders = [tmp_path / 'a', tmp_path / 'b']
    write_comparison(folders[0], (98.0, 97.0, 96.5), (98.0, 98.0, 96.5))
    write_comparison(folders[1], (0.5, 0.49, 0.48), (0.6, 0.57, 0.61))
    return folders


def find_row(rows, variant):
    return next(row for row in rows if row.variant == variant)


def change_run(folder, seed, variant, **settings):
    file = folder / f'seed{seed}' / variant / 'result.json'
    run = json.loads(file.read_text())
    run['settings'].update(settings)
    write_json(file, run)


def means(row):
    return [value['mean'] for value in (*row.groups, row.all)]


def test_pool_takes_the_differences_of_all_work_dirs(work_dirs):
    rows = pool(work_dirs)
    full, pruned = find_row(rows, 'full'), find_row(rows, 'infobatch')
    assert [v['mean'] for v in full.groups] == pytest.approx([98, 55])
    assert full.all is None and full.error is None
    # -1 and 0; -1 and -3; all four
    assert means(pruned) == pytest.approx([-0.5, -2, -1.25])
    assert pruned.all['std'] == pytest.approx(math.sqrt(4.75 / 3))
    assert pruned.error == pytest.approx(pruned.all['std'] / 2)
    assert pruned.runs == 4
    assert pruned.visits_saved['mean'] == pytest.approx(40)
    assert pruned.cpu_saved['mean'] == pytest.approx(40)


def test_pool_pairs_any_two_variants_by_seed(work_dirs):
    row = find_row(pool(work_dirs, to='random'), 'infobatch')
    assert means(row) == pytest.approx([1, -1.5, -0.25])  # 0.5, 1.5; 1, -4
    row = find_row(pool(work_dirs, to='random', seeds=[1]), 'infobatch')
    assert means(row) == pytest.approx([1.5, -4, -1.25])
    assert row.groups[0]['std'] is None
    assert row.error == pytest.approx(2.75)


def test_pool_takes_a_run_that_has_diverged(work_dirs):
    write_comparison(work_dirs[0], (98, 97, 96), (98, math.nan, 96))
    row = find_row(pool(work_dirs), 'infobatch')
    assert math.isnan(row.all['std']) and math.isnan(row.error)
    assert row.groups[1]['mean'] == pytest.approx(-2)


def test_pool_leaves_a_gap_where_a_variant_was_not_run(work_dirs, tmp_path):
    write_comparison(tmp_path / 'c', (98.0,))
    row = find_row(pool([*work_dirs, tmp_path / 'c']), 'random')
    assert row.groups[2] is None
    assert row.runs == 4


def test_pool_names_what_is_not_there(work_dirs):
    with pytest.raises(ValueError, match=r'no run of `seta`.*full, infobat'):
        pool(work_dirs, to='seta')
    with pytest.raises(ValueError, match='It has none'):
        pool(work_dirs, seeds=[7])
    shutil.rmtree(work_dirs[1] / 'seed0')
    shutil.rmtree(work_dirs[1] / 'seed1')
    with pytest.raises(FileNotFoundError, match='b has no run that has end'):
        pool(work_dirs)


def test_pool_takes_all_runs_and_not_only_those_asked_for_last(work_dirs):
    runs = json.loads((work_dirs[0] / 'compare.json').read_text())['runs']
    content = dict(metric='top5', runs=runs[:1])
    write_json(work_dirs[0] / 'compare.json', content)
    row = find_row(pool(work_dirs[:1]), 'infobatch')
    assert (row.runs, row.all['mean']) == (2, 0)  # by the metric of that one
    change_run(work_dirs[0], 1, 'random', config_hash='another')
    with pytest.raises(ValueError, match='a has runs with another `config_h'):
        pool(work_dirs)


@pytest.mark.parametrize(
    'variant, changes, told',
    [
        ('infobatch', dict(prune_ratio=0.3), '`prune_ratio` 0.5 and 0.3'),
        ('infobatch', dict(prune_ratio=None), '`prune_ratio` 0.5 and None'),
        ('infobatch', dict(target_saving=0.3), '`target_saving` None and 0.3'),
        ('random', dict(target_saving=0.3), '`target_saving` None and 0.3'),
        ('random', dict(prune_ratio=0.3), None),  # matched to infobatch
        ('full', dict(schedule_share=0.3), None),
    ],
)
def test_pool_refuses_a_variant_whose_seeds_were_not_pruned_alike(
    work_dirs, variant, changes, told
):
    for run in ('infobatch', 'random'):
        for seed in (0, 1):
            change_run(work_dirs[0], seed, run, prune_ratio=0.5)
    change_run(work_dirs[0], 1, variant, **changes)
    if told is None:
        assert len(pool(work_dirs)) == 3
        return
    with pytest.raises(
        ValueError, match=f'a has runs of `{variant}` .*{told}'
    ):
        pool(work_dirs)


def test_pool_refuses_other_ratios_of_random_pruning_alone(work_dirs):
    for seed, ratio in enumerate((0.5, 0.3)):
        shutil.rmtree(work_dirs[0] / f'seed{seed}' / 'infobatch')
        change_run(work_dirs[0], seed, 'random', prune_ratio=ratio)
    with pytest.raises(ValueError, match='`random` with `prune_ratio`'):
        pool(work_dirs)


def test_pool_takes_the_runs_of_a_comparison_that_has_not_ended(work_dirs):
    """Seed 1 was interrupted after the full run."""
    folder = work_dirs[0]
    (folder / 'compare.json').unlink()
    for variant in ('infobatch', 'random'):
        shutil.rmtree(folder / 'seed1' / variant)
    row = find_row(pool([folder]), 'infobatch')
    assert (row.runs, row.all['mean']) == (1, -1)
    assert find_row(pool([folder]), 'full').runs == 2
    row = find_row(pool([folder], to='random'), 'full')
    assert (row.runs, row.all['mean']) == (1, 1.5)
    with pytest.raises(ValueError, match='of `random` .* It has full'):
        pool([folder], to='random', seeds=[1])
