"""`tools/dev/gpu_check.sh`: its study of CIFAR-10, in small on the CPU."""

import csv
import io
import math
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tools.dev.gpu_check import cifar10_data as data
from tools.dev.gpu_check import cifar10_gpu as study
from tools.dev.gpu_check import cifar10_images, cifar10_model, cifar10_run
from tools.dev.gpu_check import cifar10_report as report

DEV = Path(__file__).parents[2] / 'tools' / 'dev'

# The data


def jpeg(color):
    stream = io.BytesIO()
    Image.new('RGB', (32, 32), color).save(stream, 'JPEG', quality=95)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Two classes; the colours say which image is which."""
    root = tmp_path / 'pictures'
    for split, names in (('train', '0123'), ('test', '45')):
        for name in names:
            file = (
                root / split / ('bird', 'cat')[int(name) % 2] / f'{name}.jpg'
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(jpeg((40 * int(name), 0, 0)))
    return root


@pytest.mark.parametrize('packed', [False, True])
def test_images_are_read_from_a_folder_or_its_archive(
    tmp_path, folder, packed
):
    source = folder
    if packed:
        source = tmp_path / 'pictures.tar.xz'
        with tarfile.open(source, 'w:xz') as archive:
            archive.add(folder, 'some/where')
    target = tmp_path / 'pictures.npz'
    data.main([str(source), str(target)])
    arrays = data.load(target)
    assert arrays['train_images'].shape == (4, 32, 32, 3)
    assert arrays['train_labels'].tolist() == [0, 0, 1, 1]
    assert arrays['test_labels'].tolist() == [0, 1]
    red = arrays['train_images'][:, 16, 16, 0].astype(int)
    assert np.abs(red - [0, 80, 40, 120]).max() < 5


def test_much_is_decoded_in_processes_as_in_one():
    contents = [jpeg((i % 200, 0, 0)) for i in range(1001)]
    images = data.decode_in_parallel(contents, workers=2)
    assert np.array_equal(images, data.decode(contents))


def test_data_without_a_split_are_refused(tmp_path, folder):
    for file in (folder / 'test').rglob('*.jpg'):
        file.unlink()
    with pytest.raises(ValueError, match='has no test/CLASS/NAME.jpg'):
        data.convert(folder, tmp_path / 'pictures.npz')


def test_wrong_labels_are_a_share_and_of_other_classes():
    def with_wrong(labels, share):
        return data.with_wrong_labels(labels, share, np.random.default_rng(0))

    labels = np.arange(20_000) % 10
    wrong = with_wrong(labels, 0.1)
    changed = wrong != labels
    assert changed.mean() == pytest.approx(0.1, abs=0.01)
    steps = np.bincount((wrong - labels)[changed] % 10, minlength=10)
    assert steps[0] == 0 and steps[1:].min() > 150
    assert np.array_equal(wrong, with_wrong(labels, 0.1))
    assert np.array_equal(labels, with_wrong(labels, 0))


# Images on the device


@pytest.fixture
def images():
    arrays = cifar10_images.drawn_images(train=40, size=8)
    raw = arrays['train_images']
    return raw, cifar10_images.DeviceImages(raw, arrays['train_labels'], 'cpu')


def restored(images, inputs):
    """Pixels again, uint8, shape (B, H, W, 3)."""
    pixels = inputs.permute(0, 2, 3, 1) * images._std + images._mean
    return pixels.round().byte().numpy()


def test_images_are_normalised(images):
    raw, on_device = images
    ids = torch.tensor([3, 17, 3])
    inputs = on_device.as_it_is(ids)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(restored(on_device, inputs), raw[ids])
    all_inputs = on_device.as_it_is(torch.arange(40))
    assert all_inputs.mean().abs() < 1e-4
    assert (all_inputs.std((0, 2, 3)) - 1).abs().max() < 1e-3


def test_augmented_images_are_crops_half_of_them_flipped(images):
    raw, on_device = images
    margin = ((2, 2), (2, 2), (0, 0))
    padded = np.pad(raw[5], margin, mode='reflect')
    crops = {}
    for y in range(5):
        for x in range(5):
            crop = padded[y : y + 8, x : x + 8]
            crops[crop.tobytes()] = (y, x, False)
            crops[crop[:, ::-1].tobytes()] = (y, x, True)
    inputs = on_device.augmented(torch.full((2000,), 5))
    found = [crops[i.tobytes()] for i in restored(on_device, inputs)]
    assert set(found) == set(crops.values()) and len(crops) == 50
    assert sum(flip for _, _, flip in found) == pytest.approx(1000, abs=120)


def test_whitening_decorrelates_patches(images):
    rows = cifar10_images.patches(images[1])
    filters = cifar10_model.whitening_filters(images[1])
    assert filters.shape == (24, 3, 2, 2)
    assert torch.equal(filters[:12], -filters[12:])
    outputs = rows @ filters[:12].flatten(1).T
    torch.testing.assert_close(
        outputs.T.cov(), torch.eye(12), atol=0.1, rtol=0
    )


# A training


@pytest.fixture(scope='module')
def splits():
    arrays = cifar10_images.drawn_images()
    return cifar10_run.Splits.from_arrays(arrays, 'cpu')


SETTINGS = cifar10_run.Settings('cpu', batch=32, width=8)


def test_rows_with_one_seed_start_alike_and_hear_sample_losses(
    tmp_path, splits
):
    scores, loss = {}, {}
    for row in ('InfoBatch', 'SeTa', 'InfoBatch, EMAScore'):
        runner = cifar10_run.make_runner(
            row, 5, 0, cifar10_images.Indices(480), splits, SETTINGS,
            str(tmp_path),
        )  # fmt: skip
        hook = next(h for h in runner.hooks if type(h).__name__ == 'BLSHook')
        runner.train()
        loss[row] = runner.model._losses[0].item()
        scores[row] = hook.scores
    assert len(set(loss.values())) == 1
    # Batch losses alone give samples of a batch the same score.
    assert len(scores['InfoBatch'].unique()) > 470
    assert scores['InfoBatch'].min() > 0


def test_accuracies_are_those_of_a_plain_loop(splits):
    torch.manual_seed(0)
    model = cifar10_model.FastNet(splits.train, width=8, bfloat16=False)
    everything = splits.test.as_it_is(torch.arange(200))
    with torch.no_grad():
        model.eval()
        plain = model(everything)
        both = plain + model(everything.flip(3))
        model.train()
    expected = [
        (x.argmax(1) == splits.test.labels).float().mean().item() * 100
        for x in (plain, both)
    ]
    found = cifar10_model.accuracies(model, splits.test, batch=64)
    assert found == pytest.approx(expected)
    assert model.training


def test_smoke_study_trains_all_rows_with_each_seed(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        study.main(['--smoke', '--device', 'cpu', '--out', str(tmp_path)])
    assert end.value.code == 0
    with open(tmp_path / 'cifar10.csv', newline='') as stream:
        runs = list(csv.DictReader(stream))
    made = [(run['row'], run['seed']) for run in runs]
    assert made == [(r, s) for s in '01' for r in study.DEFAULT_ROWS]
    visits = {run['row']: int(run['visits']) for run in runs}
    assert visits.pop('full') == 5 * 480
    assert set(visits.values()) == {3 * 480}
    accuracy = {(r['row'], r['seed']): float(r['accuracy']) for r in runs}
    assert min(accuracy['full', s] for s in '01') > 25  # chance is 10
    gained = [accuracy['SeTa', s] - accuracy['full', s] for s in '01']
    page = (tmp_path / 'cifar10.md').read_text()
    assert page in capsys.readouterr().out
    line = next(x for x in page.splitlines() if x.startswith('| SeTa |'))
    cells = [cell.strip() for cell in line.split('|')[1:-1]]
    assert cells[1] == '2' and cells[8] == '40.0%'
    assert float(cells[3]) == pytest.approx(sum(gained) / 2, abs=0.006)
    assert float(cells[4]) == pytest.approx(
        abs(gained[0] - gained[1]) / 2, abs=0.006
    )


def test_saving_holds_for_pruned_runs_and_fewer_epochs(tmp_path):
    rows = ['full', 'RandomPrune', 'fewer epochs']
    command = ['--smoke', '--device', 'cpu', '--out', str(tmp_path)]
    with pytest.raises(SystemExit):
        study.main(
            [*command, '--saving', '.2', '--seeds', '1', '--rows', *rows]
        )
    with open(tmp_path / 'cifar10.csv', newline='') as stream:
        runs = {run['row']: run for run in csv.DictReader(stream)}
    assert [runs[row]['saving'] for row in rows] == ['0', '0.2', '0.2']
    assert [int(runs[row]['visits']) for row in rows] == [2400, 1920, 1920]


def test_failed_run_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    def train(row, epochs, seed, splits, settings):
        if row == 'SeTa':
            raise RuntimeError('no memory')
        return make_run(row, seed, seconds=0.01)

    monkeypatch.setattr(study, 'train', train)
    command = ['--smoke', '--device', 'cpu', '--out', str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        study.main(command)
    assert end.value.code == 1
    printed = capsys.readouterr().out
    assert 'FAILED: SeTa, 5 epochs, seed 1' in printed
    runs = 2 * (len(study.DEFAULT_ROWS) - 1)
    assert 'no memory' in printed
    assert f'{runs} runs, 2 seeds, 2 failed' in printed


# Time


def test_clock_lets_begin_what_ends_in_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(study.time, 'perf_counter', lambda: now[0])
    clock = study.Clock(60, size=1000, saving=0.4)
    clock.note(make_run('full', 0, visits=1000, seconds=2), elapsed=3)
    clock.note(make_run('full', 0, visits=2000, seconds=3), elapsed=3.5)
    # 2 ms a visit, 1 s a run and a margin of 10 %: 23.1, 14.3 and 62.7 s.
    assert clock.fits(['full'], 10)
    assert clock.fits(['InfoBatch'], 10)
    assert not clock.fits(['full', 'InfoBatch', 'fewer epochs'], 13)
    now[0] += 40
    assert not clock.fits(['full'], 10)
    assert clock.fits(['InfoBatch'], 10)


def test_schedules_share_the_time(monkeypatch, tmp_path):
    now = [0.0]

    def train(row, epochs, seed, splits, settings):
        run = make_run(row, seed, visits=1000 * epochs, seconds=epochs)
        now[0] += epochs
        return dict(run, epochs=epochs)

    monkeypatch.setattr(study, 'train', train)
    monkeypatch.setattr(study.time, 'perf_counter', lambda: now[0])
    args = study.parse_args(
        [
            'data', '--rows', 'full', '--epochs', '10', '30', '--minutes',
            '2.5', '--device', 'cpu', '--out', str(tmp_path),
        ]
    )  # fmt: skip
    shared = study.Splits([0] * 1000, None)
    runs, failures = study.study(args, shared, SETTINGS)
    assert failures == 0
    # 3 s of warm-up, then whichever had less time, if it fits.
    made = [10, 30, 10, 10, 10, 30, 10, 10, 10, 10]
    assert [run['epochs'] for run in runs] == made
    assert now[0] == 3 + sum(made) <= 150


# The tables


def make_run(row, seed, accuracy=90.0, visits=100, seconds=10.0):
    return dict(
        row=row,
        epochs=10,
        saving=0 if row == 'full' else 0.4,
        seed=seed,
        accuracy=accuracy,
        accuracy_mirrored=accuracy + 1,
        train_loss=0.5,
        visits=visits,
        seconds=seconds,
        device='card',
    )


def test_rows_are_paired_by_seed():
    runs = [make_run('full', s, 90.0 + s) for s in range(3)]
    # Seed 7 has no full run.
    for seed, gained in ((0, -1.0), (1, 0.5), (2, -0.1), (7, 50.0)):
        runs.append(make_run('SeTa', seed, 90.0 + seed + gained, 60, 8.0))
    full, seta = report.summarize(runs)
    assert full['accuracy'] == 91 and full['gained'] == full['error'] == 0
    assert seta['seeds'] == 3
    assert seta['gained'] == pytest.approx(-0.2)
    variance = (0.8**2 + 0.7**2 + 0.1**2) / 2
    assert seta['error'] == pytest.approx(math.sqrt(variance / 3))
    assert seta['visits_saved'] == pytest.approx(0.4)
    assert seta['time_saved'] == pytest.approx(0.2)


def test_single_seed_has_no_error_and_no_full_run_no_row():
    assert report.summarize([make_run('SeTa', 0)]) == []
    runs = [make_run('full', 0), make_run('SeTa', 0, 89.0)]
    table = report.make_table(runs).splitlines()
    assert table[-1].startswith('| SeTa | 1 | 89.00 | -1.00 |  | 90.00 |')


# The commands


@pytest.mark.parametrize(
    'command, message',
    [
        (['gpu_check.sh', '--only', 'nothing'], '--only takes tests, bench'),
        (['gpu_check.sh', '--out'], '--out needs a value'),
        (['gpu_check.sh', '--minutes', '0.5'], 'takes a whole number, but'),
        (['gpu_check.sh', '--fast'], 'unknown option --fast'),
        (['collect_wheels.sh'], 'Collect what a bare GPU machine lacks'),
    ],
)
def test_wrong_command_line_is_refused(command, message):
    done = subprocess.run(
        ['bash', str(DEV / command[0]), *command[1:]],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and message in done.stderr


def test_failed_part_fails_the_command_and_stops_no_other(tmp_path):
    fake = tmp_path / 'python'
    # As Python, which fails in the benchmark.
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *benchmarks*) exit 3 ;; esac\necho "ran $2"\n'
    )
    fake.chmod(0o755)
    done = subprocess.run(
        ['bash', str(DEV / 'gpu_check.sh'), '--smoke', '--out', 'out'],
        cwd=tmp_path,
        env=dict(PATH='/usr/bin:/bin', PYTHON=str(fake)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    log = (tmp_path / 'out' / 'gpu_check.log').read_text()
    assert log == done.stdout
    for line in (
        '== tests: exit status 0',
        '== benchmark: exit status 3',
        'ran tools.dev.gpu_check.cifar10_gpu',
        '== cifar10: exit status 0',
    ):
        assert line in log


def test_saving_out_of_range_is_refused(capsys):
    for saving in ('0', '1', '40'):
        with pytest.raises(SystemExit):
            study.parse_args(['--smoke', '--saving', saving])
        assert '--saving should be in (0, 1), but' in capsys.readouterr().err


def test_study_without_data_is_refused(capsys):
    with pytest.raises(SystemExit):
        study.parse_args([])
    assert (
        'give the file that cifar10_data.py wrote' in capsys.readouterr().err
    )
