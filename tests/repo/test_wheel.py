"""What is published: built, installed in a clean environment, and used."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bls_mm

ROOT = Path(__file__).parents[2]
NOT_COPIED = ('.*', '__pycache__', '_build', 'build', 'dist', '*_dirs')
DATA = str(ROOT / 'data')  # not that of the tests
PRUNED = 'bls_mm::demo/resnet_mnist-bls-infobatch.py'


def run(*command, **kwargs):
    """Output of a command; the test fails where the command does."""
    result = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **kwargs,
    )
    assert not result.returncode, result.stdout
    return result.stdout


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """A folder with the sdist and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp('built')
    source, out = folder / 'source', folder / 'dist'
    ignored = shutil.ignore_patterns(*NOT_COPIED)
    shutil.copytree(
        ROOT,
        source,
        ignore=lambda folder, names: {
            *ignored(folder, names),
            *(n for n in names if os.path.join(folder, n) == DATA),
        },
    )
    run(sys.executable, '-m', 'build', '-n', '-o', out, source)
    return out


@pytest.fixture(scope='module')
def python(built, tmp_path_factory):
    """An interpreter that has the wheel and, from here, what it needs."""
    folder = tmp_path_factory.mktemp('clean')
    venv.create(folder, symlinks=True)
    python = folder / 'bin' / 'python'
    pip = (sys.executable, '-m', 'pip', '--python', python)
    (wheel,) = built.glob('*.whl')
    run(*pip, 'install', '--no-deps', '--no-index', wheel)
    # Torch and the like. Not what is installed from the checkout, since the
    # files in there that Python runs at its start do not count.
    lines = [sysconfig.get_path('purelib')]
    if (Path(lines[0]) / 'torchvision_cpu.py').exists():
        lines.append('import torchvision_cpu')
    (site,) = (folder / 'lib').glob('python*/site-packages')
    (site / 'needed.pth').write_text('\n'.join(lines))
    return python


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder to work in, with eight pictures of digits to train on."""
    for split in ('train', 'test'):
        for label in (0, 1):
            folder = tmp_path / 'data' / 'mnist5k' / split / str(label)
            folder.mkdir(parents=True)
            for i in range(4):
                image = np.full((28, 28), 50 * i + label, dtype=np.uint8)
                Image.fromarray(image).save(folder / f'{i}.png')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('PYTHONPATH', raising=False)
    return tmp_path


def test_wheel_holds_the_package_its_configs_and_tools(built):
    (wheel,) = built.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    info = f'bls_mm-{bls_mm.__version__}.dist-info/'
    assert all(name.startswith(('bls_mm/', info)) for name in names)
    shipped = {name.removeprefix('bls_mm/') for name in names}
    modules = [*(ROOT / 'bls_mm').glob('*.py')]
    modules += (ROOT / 'bls_mm').glob('[a-z]*/*.py')
    expected = {file.relative_to(ROOT / 'bls_mm') for file in modules}
    expected |= {
        '.mim' / file.relative_to(ROOT)
        for folder in ('configs', 'tools')
        for file in (ROOT / folder).rglob('*.*')
        if not {'dev', '__pycache__'} & set(file.parts)
    }
    expected |= {Path('py.typed'), Path('.mim/model-index.yml')}
    expected |= {Path('analysis/report.html.j2')}
    left = {file.as_posix() for file in expected} ^ shipped
    assert all(name.startswith(info) for name in left), left


def test_index_would_take_the_files(built):
    run(sys.executable, '-m', 'twine', 'check', '--strict', *built.iterdir())


def test_sdist_holds_what_building_and_testing_need(built):
    (sdist,) = built.glob('*.tar.gz')
    with tarfile.open(sdist) as archive:
        names = {name.partition('/')[2] for name in archive.getnames()}
    folders = ('bls_mm', 'configs', 'docs', 'tests', 'tools')
    files = [f for folder in folders for f in (ROOT / folder).rglob('*.*')]
    unwanted = {'__pycache__', '.mim', '_build'}
    for file in [*files, ROOT / 'setup.py', ROOT / 'pyproject.toml']:
        if file.is_file() and not unwanted & set(file.parts):
            assert file.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.startswith(('data', '.venv'))]


def test_installed_package_is_complete(python, elsewhere):
    code = 'from importlib.metadata import version; print(version("bls_mm"))'
    assert run(python, '-c', code).split()[-1] == bls_mm.__version__
    # The sister packages of OpenMMLab contradict each other.
    check = (sys.executable, '-m', 'pip', '--python', python, 'check')
    report = subprocess.run(check, stdout=subprocess.PIPE, text=True).stdout
    assert not re.findall('^bls.mm .*', report, re.MULTILINE)


def test_installed_package_trains_a_config_of_its_own(python, elsewhere):
    (elsewhere / 'mine.py').write_text(
        f'_base_ = {PRUNED!r}\n'
        'train_dataloader = dict(batch_size=4)\n'
        'train_cfg = dict(max_epochs=4)\n'
        'param_scheduler = dict(total_steps=4)\n'
    )
    code = (
        'from importlib.util import find_spec as f; print(f("bls_mm").origin)'
    )
    package = Path(run(python, '-c', code).split()[-1])
    assert python.parents[1] in package.parents
    env = dict(os.environ, OMP_NUM_THREADS='1')
    script = package.with_name('.mim') / 'tools' / 'train.py'
    output = run(python, script, 'mine.py', '--dry-run', env=env)
    assert 'epochs 2 to 3 of 4\n' in output
    assert '--dry-run' in run(python, '-m', 'bls_mm', 'train', '--help')
    command = python.parent / 'bls-mm'
    output = run(command, 'train', 'mine.py', '--work-dir', 'out', env=env)
    assert re.search(r'BLS: visited \d\d samples instead of 32', output)
    assert 'Failed to search registry' not in output
    assert (elsewhere / 'out' / 'epoch_4.pth').is_file()


def test_types_are_seen_from_outside(python, elsewhere):
    (elsewhere / 'user.py').write_text(
        'from bls_mm import BLSHook, SeTa\n'
        'hook = BLSHook(per_sample=True)\n'
        "SeTa(prune_ratio='half')\n"
        'reveal_type(hook.visited)\n'
    )
    # Reading torch takes a quarter of a minute, and this is not about it.
    skip = '[mypy]\n[mypy-torch.*,mmengine.*]\nfollow_imports = skip\n'
    (elsewhere / 'mypy.ini').write_text(skip)
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'mypy',
            '--python-executable',
            python,
            'user.py',
        ],
        capture_output=True,
        text=True,
    )
    assert 'user.py:3: error: Argument "prune_ratio"' in result.stdout
    assert re.search('Revealed type is "(builtins.)?int"', result.stdout)
    assert 'Found 1 error' in result.stdout
