"""Ship configs and tools with the package, as MIM and MMEngine look for them.

Everything else is in ``pyproject.toml``.
"""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What `package/.mim` holds of the checkout. What only developers need and
# what a run left behind stays out.
SHIPPED = ('configs', 'tools', 'model-index.yml')
LEFT_OUT = shutil.ignore_patterns('__pycache__', 'dev')


class BuildWithMim(build_py):
    """Copy to ``bls_mm/.mim``; link there for an editable install."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            link(ROOT / 'bls_mm' / '.mim')
        else:
            copy(Path(self.build_lib, 'bls_mm', '.mim'))


def copy(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for source in filter(Path.exists, (ROOT / name for name in SHIPPED)):
        if source.is_dir():
            shutil.copytree(source, target / source.name, ignore=LEFT_OUT)
        else:
            shutil.copy(source, target)


def link(target: Path) -> None:
    target.mkdir(exist_ok=True)
    for name in SHIPPED:
        path = target / name
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.join('..', '..', name))


setup(cmdclass={'build_py': BuildWithMim})
