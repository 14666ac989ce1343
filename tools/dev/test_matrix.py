"""Run the core tests on several versions of torch, Python and MMEngine.

    python tools/dev/test_matrix.py                 # `make test-matrix`
    python tools/dev/test_matrix.py --torch 2.0.1   # one row

Core tests need MMEngine, but neither mmcv's operators nor models, so nothing
is compiled. Each torch gets an environment of its own, made with the first of
its Python versions that is found here (on the path, or in pyenv), and removed
afterwards, since a torch for GPUs takes 5 GB. Ends with the table of
docs/compatibility.md, and with status 1 if a test failed.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    'checkpoint config datasets hooks losses passes properties pruners runner '
    'samplers scores'
)
FAMILIES = {
    'openmmlab': ['mmengine==0.10.7', 'mmcv-lite'],
    # The latter is imported, but not declared.
    'onedl': ['onedl-mmengine', 'opencv-python'],
}
TOOLS = ['setuptools<81', 'wheel', 'pytest', 'pytest-xdist', 'hypothesis']
# What the tests use if it is there.
TOOLS += ['psutil', 'scikit-learn', 'matplotlib', 'rich']
NEWEST = 'newest'
BEFORE_ONEDL = ('2.0.1', '2.1.2')


class Row(NamedTuple):
    """A torch, the Python versions to try in this order, and the rest."""

    torch: str
    pythons: Tuple[str, ...]
    numpy: str = 'numpy'
    pins: Optional[str] = None


ROWS = [
    # Pinned, so that a release of something else does not break it.
    Row(
        '2.0.1', ('3.9', '3.10', '3.11'), 'numpy<2', 'tools/dev/env/oldest.txt'
    ),
    Row('2.1.2', ('3.10', '3.11', '3.9'), 'numpy<2'),
    Row('2.4.1', ('3.12', '3.11', '3.10', '3.9')),
    Row('2.6.0', ('3.11', '3.12', '3.10', '3.13', '3.9')),
    Row('2.13.0', ('3.11', '3.12', '3.13', '3.10')),
    Row(NEWEST, ('3.13', '3.12', '3.11', '3.10')),
]
# Prints what was tested.
VERSIONS = """
import json
from importlib.metadata import distributions
print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))
"""


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    versions = [row.torch for row in ROWS]
    parser.add_argument(
        '--torch', nargs='+', choices=versions, default=versions
    )
    parser.add_argument(
        '--family', nargs='+', choices=FAMILIES, default=list(FAMILIES)
    )
    parser.add_argument(
        '--venv',
        default=os.environ.get('VENV', '.venv'),
        help='environments are VENV-matrix-TORCH; default .venv',
    )
    parser.add_argument(
        '--keep', action='store_true', help='do not remove the environments'
    )
    parser.add_argument(
        '--pytest', default='-n auto --dist loadfile', help='its arguments'
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    results: List[List[str]] = []
    for row in (row for row in ROWS if row.torch in args.torch):
        venv = Path(f'{args.venv}-matrix-{row.torch}').absolute()
        results += test_row(row, venv, args.family, args.pytest.split())
        if not args.keep:
            shutil.rmtree(venv, ignore_errors=True)
    print(make_table(results))
    return any(cells[-3] != '0' for cells in results)


def test_row(row, venv, families, options):
    """Results with one torch: a line of the table for each family."""
    python = make_env(row, venv)
    lines = []
    for family in families:
        if family == 'onedl' and minor_version(python) < 10:
            continue  # onedl-mmengine has never been there for Python 3.9
        if family == 'onedl' and row.torch in BEFORE_ONEDL:
            continue  # it imports `torch.amp.GradScaler`, new in torch 2.3
        print(f'==> torch {row.torch}, {family}', flush=True)
        other = [
            p for f, names in FAMILIES.items() if f != family for p in names
        ]
        pip(python, 'uninstall', '-y', *(n.split('==')[0] for n in other))
        pip(python, 'install', *pins(row), row.numpy, *FAMILIES[family])
        start = time.monotonic()
        counts = run_tests(python, options)
        found = json.loads(output(python, '-c', VERSIONS))
        names = [p.split('==')[0] for p in FAMILIES[family] if 'mm' in p]
        lines.append(
            [
                found['torch'].split('+')[0],
                output(
                    python, '-c', 'import sys; print(sys.version.split()[0])'
                ),
                found['numpy'],
                ', '.join(f'{name} {found[name]}' for name in names),
                str(counts.get('passed', 0)),
                str(counts.get('failed', 0) + counts.get('error', 0)),
                str(counts.get('skipped', 0)),
                f'{(time.monotonic() - start) / 60:.0f}',
            ]
        )
    return lines


def make_env(row, venv):
    """The Python of a new or finished environment."""
    python = venv / 'bin' / 'python'
    done = venv / '.ready'
    if done.exists():
        return python
    print(f'==> torch {row.torch}: new environment in {venv}', flush=True)
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([find_python(row), '-m', 'venv', venv], check=True)
    torch = 'torch' if row.torch == NEWEST else f'torch=={row.torch}'
    pip(python, 'install', *pins(row), torch, row.numpy, *TOOLS, '-e', ROOT)
    done.touch()
    return python


def find_python(row):
    """The first of a row's Python versions that runs here."""
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'))
    for version in row.pythons:
        found = sorted(pyenv.glob(f'versions/{version}.*/bin/python'))
        for exe in (shutil.which(f'python{version}'), *found):
            if (
                exe
                and not subprocess.run(
                    [exe, '-c', 'import venv'], stderr=subprocess.DEVNULL
                ).returncode
            ):
                return exe
    if f'{sys.version_info[0]}.{sys.version_info[1]}' in row.pythons:
        return sys.executable
    raise SystemExit(
        f'torch {row.torch} needs one of these Pythons: {row.pythons}'
    )


def run_tests(python, options) -> Dict[str, int]:
    """Show what pytest prints; how many tests passed, failed and so on."""
    command = [python, '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
    command += [*options, *(f'tests/{name}' for name in FOLDERS.split())]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    counts: Dict[str, int] = {}
    for line in process.stdout:
        print(line, end='', flush=True)
        counts = counts_in(line) or counts
    if process.wait() and not {'failed', 'error'} & set(counts):
        counts['error'] = 1  # pytest itself
    return counts


def counts_in(line) -> Dict[str, int]:
    """What pytest says in its last line; of any other line nothing."""
    if not re.match(r'(=+ )?\d+ \w+.* in [\d.]+s', line):
        return {}
    found = re.findall(r'(\d+) (passed|failed|error|skipped)', line)
    return {word: int(number) for number, word in found}


def make_table(results):
    today = datetime.date.today().isoformat()
    head = 'torch,Python,numpy,MMEngine,passed,failed,skipped,minutes'
    lines = [head.split(','), ['---'] * 4 + ['---:'] * 4, *results]
    table = '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)
    return f'\nRun on {today}:\n\n{table}'


def pins(row):
    return ('-c', ROOT / row.pins) if row.pins else ()


def minor_version(python):
    return int(output(python, '-c', 'import sys; print(sys.version_info[1])'))


def pip(python, *arguments):
    command = [python, '-m', 'pip', '--disable-pip-version-check']
    subprocess.run([*command, arguments[0], '-q', *arguments[1:]], check=True)


def output(*command):
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


if __name__ == '__main__':
    sys.exit(main())
