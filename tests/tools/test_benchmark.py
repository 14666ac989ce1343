"""`tools/dev/benchmarks`: its references, and the command on tiny sizes."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from memory import memory_of_a_block
from ranks import start_ranks

from bls_mm import EMAScore, InfoBatch, RandomPrune, SeTa
from tools.dev.benchmarks import __main__ as benchmark
from tools.dev.benchmarks import common as tools
from tools.dev.benchmarks import end_to_end as benchmark_end_to_end
from tools.dev.benchmarks import hook as benchmark_hook
from tools.dev.benchmarks import reference, tables
from tools.dev.benchmarks import select as benchmark_select


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The references agree with the package


@pytest.mark.parametrize('alpha', [0.0, 0.3, 0.9])
def test_references_of_the_update_agree(alpha):
    plain, rng = np.ones(50, dtype=np.float32), np.random.default_rng(0)
    ours, one_line = torch.ones(50), torch.ones(50)
    for _ in range(20):
        batch = rng.choice(50, 8, replace=False)
        ids, loss = torch.from_numpy(batch), torch.tensor(rng.random())
        reference.reference_update(plain, batch.tolist(), loss, alpha)
        reference.one_line_update(one_line, ids, loss.float(), alpha)
        EMAScore(alpha).update(ours, ids, loss)
    torch.testing.assert_close(ours, torch.from_numpy(plain))
    torch.testing.assert_close(ours, one_line)


def test_reference_infobatch_agrees():
    scores = tools.make_scores(1000, 'cpu')
    easy = scores < scores.mean()
    size = int((~easy).sum()) + int(easy.sum()) // 2
    ours = InfoBatch(0.5).select(scores, seeded())
    indices, weights = reference.reference_infobatch(
        scores.numpy(), np.random.default_rng(0)
    )
    for ids, w in ((ours.indices, ours.weights), (indices, weights)):
        ids, w = torch.as_tensor(ids), torch.as_tensor(w)
        assert len(ids) == len(set(ids.tolist())) and w.dtype == torch.float32
        assert abs(len(ids) - size) <= 1  # an odd one is rounded at random
        assert torch.equal(w == 2, easy[ids])
        assert torch.equal(w == 1, ~easy[ids])
        kept = torch.zeros(1000, dtype=torch.bool)
        kept[ids] = True
        assert kept[~easy].all()


def test_reference_random_agrees():
    scores = torch.zeros(1000)
    ours = RandomPrune(0.3).select(scores, seeded())
    indices, weights = reference.reference_random(
        scores.numpy(), np.random.default_rng(0), 0.3
    )
    assert len(indices) == len(ours.indices) == 700
    assert len(set(indices.tolist())) == 700
    assert (weights == 1).all()


def three_heaps(size):
    """Scores whose groups leave no doubt."""
    centres = torch.tensor([1.0, 3.0, 9.0])
    noise = torch.randn(size, generator=seeded()) * 0.1
    return centres[torch.arange(size) % 3] + noise


@pytest.mark.parametrize('epoch', [1, 2])
def test_reference_seta_agrees(epoch):
    scores = three_heaps(900)
    # round(0.9 * 3) groups would be all three, so one pass looks at two.
    ours = SeTa(0.0, num_groups=3, window_scale=0.6)
    expected = ours.select(scores, seeded(), epoch).indices
    groups = reference.lloyd(scores.numpy(), 3)
    first = epoch % 2
    inside = (groups >= first) & (groups < first + 2)
    assert torch.equal(expected, torch.from_numpy(inside.nonzero()[0]))


def test_references_of_a_target_agree():
    scores, rng = tools.make_scores(1000, 'cpu'), np.random.default_rng(0)
    for name in ('infobatch-target', 'seta-target'):
        ours = benchmark_select.make_pruner(name, 'cpu')(scores)
        indices, weights = reference.REFERENCES[name](scores.numpy(), rng)
        assert len(ours.indices) == len(indices) == len(set(indices)) == 500
        torch.testing.assert_close(
            ours.weights.unique(), torch.from_numpy(weights).unique()
        )
        theirs = scores[torch.from_numpy(indices)]
        mean = scores[ours.indices].mean().item()
        assert theirs.mean().item() == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize('epoch', [1, 2])
def test_reference_seta_keeps_the_window_of_a_random_share(epoch):
    scores = torch.arange(10.0).repeat(100)
    indices, weights = reference.reference_seta(
        scores.numpy(), np.random.default_rng(0), epoch=epoch, num_groups=10
    )
    # Nine of ten groups, of which 90 % are there: the hardest or the
    # easiest is outside.
    assert set(scores[indices].tolist()) == set(
        range(epoch % 2, 9 + epoch % 2)
    )
    assert len(indices) == pytest.approx(810, abs=30)
    assert len(set(indices.tolist())) == len(indices) == len(weights)


def test_lloyd_finds_groups_as_good_as_those_of_scikit_learn():
    cluster = pytest.importorskip('sklearn.cluster')
    scores = tools.make_scores(2000, 'cpu').numpy()
    groups = reference.lloyd(scores, 5)
    heaps = [scores[groups == g] for g in range(5)]
    assert all(a.max() < b.min() for a, b in zip(heaps, heaps[1:]))
    kmeans = cluster.KMeans(5, n_init=10, random_state=0)
    best = kmeans.fit(scores[:, None]).inertia_
    assert sum(len(heap) * heap.var() for heap in heaps) < 1.01 * best


@pytest.mark.parametrize('name', tools.PRUNERS)
def test_reference_pass_visits_and_weighs_what_was_selected(name):
    scores = tools.make_scores(1000, 'cpu').numpy()
    select = reference.REFERENCES[name]
    order, weights = reference.reference_pass(
        select, scores, np.random.default_rng(0)
    )
    assert isinstance(order, list) and isinstance(order[0], int)
    assert sorted(order) == weights.nonzero()[0].tolist()
    assert order != sorted(order)


@pytest.mark.parametrize('name', tools.PRUNERS)
def test_start_of_a_pass_selects_as_the_reference(tmp_path, name):
    training = benchmark_select.Training(name, 5000, str(tmp_path))
    assert training.sampler.selected == 5000
    training.start_pass()
    scores = tools.make_scores(5000, 'cpu').numpy()
    indices, _ = reference.REFERENCES[name](scores, np.random.default_rng(0))
    expected = pytest.approx(len(indices), rel=0.01)
    assert training.sampler.selected == expected
    assert training.setup_seconds > 0


# The measurements


@pytest.fixture
def in_this_process(monkeypatch):
    """Measure here: a process of its own takes seconds to start."""

    def measure(what, args, **task):
        task.update(device='cpu', repeats=1)
        if 'iterations' in task:
            task['iterations'] = 400
        return benchmark.MEASUREMENTS[what](task)

    monkeypatch.setattr(benchmark, 'measure', measure)
    monkeypatch.setattr(benchmark, 'SMALLEST_MEMORY_SIZE', 2000)


KEYS = {
    'hook': {
        'run', 'batch', 'plain_us', 'hooked_us', 'added_us', 'added_cpu_us',
        'ratio',
    },
    'update': {
        'batch', 'ema_us', 'ema_at_once_us', 'mart_us', 'mart_at_once_us',
        'one_line_us', 'plain_us', 'ratio',
    },
    'select': {
        'pruner', 'size', 'kept', 'select_s', 'reference_s', 'ratio',
        'start_s', 'reference_start_s', 'start_ratio', 'unpruned_start_s',
        'setup_s',
    },
}  # fmt: skip
MEMORY = {'host_select_peak', 'host_start_peak', 'host_steady', 'process_gib'}


def test_command_prints_tables_and_writes_json(
    tmp_path, capsys, in_this_process
):
    file = tmp_path / 'new' / 'costs.json'
    command = ['--sizes', '1000', '2000', '--device', 'cpu', '--only', *KEYS]
    page = tmp_path / 'page.md'
    names = ['hook', 'update', 'select', 'select: memory']
    page.write_text(
        ''.join(f'<!-- {n} -->\nold\n<!-- end of {n} -->\n' for n in names)
    )
    command += ['--json', str(file), '--markdown', str(page)]
    cores = os.sched_getaffinity(0)
    benchmark.main(command)
    assert os.sched_getaffinity(0) == cores  # later tests have workers
    content = json.loads(file.read_text())['sections']
    sections = {name: of['rows'] for name, of in content.items()}
    assert {name: set(rows[0]) for name, rows in sections.items()} == KEYS
    assert [len(rows) for rows in sections.values()] == [6, 3, 10]
    assert set(sections['select'][-1]) == KEYS['select'] | MEMORY
    added = sections['hook'][0]['added_us']
    assert set(added) == {'median', 'low', 'high', 'runs'}
    printed = capsys.readouterr().out
    for row in ('| regrouped batches | 32 |', '| 128 |', '| seta | 2,000 |'):
        assert row in printed and row in page.read_text()
    assert 'old' not in page.read_text()
    machine = {'date', 'cpu', 'cores', 'python', 'torch', 'mmengine', 'bls_mm'}
    assert machine <= set(content['hook']['machine'])


def test_merge_is_measured_on_two_ranks(monkeypatch):
    monkeypatch.setattr(
        torch.multiprocessing,
        'spawn',
        lambda work, args, nprocs: start_ranks(nprocs, work, *args),
    )
    row = benchmark.measure_merge(dict(size=1000, repeats=3))
    assert set(row) == {
        'size', 'merge_s', 'reference_s', 'ratio', 'bytes_per_sample'
    }  # fmt: skip
    assert row['bytes_per_sample'] == 5
    assert row['merge_s']['runs'] == 3


def test_launches_are_counted_in_whole_iterations(tmp_path):
    counter = benchmark_hook.LaunchCounter()
    task = dict(iterations=400, run='plain', batch=32)
    benchmark_hook.make_train_runner(
        task, True, counter, str(tmp_path)
    ).train()
    assert set(counter.per_iteration()) == {'launches', 'copies', 'syncs'}
    seen = {e.key: e.count for e in counter._profile.key_averages()}
    assert seen['Optimizer.step#SGD.step'] == counter.ITERATIONS


def test_measurement_has_a_process_that_returns_or_says_why():
    args = SimpleNamespace(device='cpu', repeats=1)
    assert set(benchmark.measure('update', args, batch=2)) == KEYS['update']
    with pytest.raises(RuntimeError, match="KeyError: 'batch'"):
        benchmark.measure('update', args)


def test_references_that_would_take_minutes_are_skipped(monkeypatch):
    monkeypatch.setitem(benchmark_select.REFERENCE_LIMITS, 'seta', 100)
    task = dict(pruner='seta', size=101, device='cpu', repeats=1)
    row = benchmark_select.measure_select_time(task)
    assert row['reference_s'] is None and row['start_ratio'] is None
    assert row['select_s']['median'] > 0
    assert tables.show(None, '{}') == 'skipped'


def test_memory_counts_the_peak_and_forgets_it():
    # In a fresh process: one that freed as much takes it from there.
    with ProcessPoolExecutor(1, get_context('forkserver')) as process:
        held, peak, left = process.submit(memory_of_a_block).result()
    assert held == pytest.approx(40e6, rel=0.2)
    assert peak == pytest.approx(120e6, rel=0.2)
    assert left < 16e6


# End to end


def make_run(variant, seed, saved, seconds):
    return dict(
        settings=dict(variant=variant, seed=seed),
        saved=saved,
        train_seconds=seconds,
        cpu_seconds=2 * seconds - 10,
    )


def test_efficiency_is_time_saved_by_visits_saved():
    runs = [
        make_run('full', 0, 0.0, 100.0),
        make_run('infobatch', 0, 0.2, 81.0),
        make_run('seta', 0, 0.0, 101.0),
        make_run('full', 1, 0.0, 200.0),
        make_run('infobatch', 1, 0.25, 150.0),
        make_run('seta', 1, 0.0, 201.0),
    ]
    infobatch, seta = benchmark_end_to_end.efficiencies('c.py', runs)
    shares = infobatch['train_efficiency']
    assert shares['median'] == pytest.approx((0.19 / 0.2 + 1) / 2)
    assert infobatch['cpu_saved']['median'] == pytest.approx(
        (38 / 190 + 100 / 390) / 2
    )
    assert infobatch['train_full_s']['median'] == 150
    # Nothing was pruned, so there is nothing to be efficient at.
    assert seta['train_efficiency'] is None
    assert len(tables.make_tables('end-to-end', [infobatch, seta])) == 1


# The tables


def test_page_without_a_place_for_a_table_is_refused(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('nothing')
    with pytest.raises(ValueError, match='no place <!-- hook -->'):
        tables.put_into(page, 'hook', 'table')


@pytest.mark.parametrize(
    'value, form, expected',
    [
        (0.5, '{:.1%}', '50.0%'),
        (dict(median=10, low=9, high=11, runs=3), '{:.1f}', '10.0 ±10%'),
        (dict(median=10, low=10, high=10, runs=1), '{:.1f}', '10.0'),
        (dict(median=0, low=-1, high=1, runs=3), '{:.1f}', '0.0'),
        (1e-6 / 3, tables.readable, '0.333 µs'),
        (0.01234, tables.readable, '12.3 ms'),
        (123.4, tables.readable, '123 s'),
    ],
)
def test_show(value, form, expected):
    assert tables.show(value, form) == expected
