"""Print what figures depend on: the card, its driver and the versions."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

import bls_mm

PACKAGES = [
    'torch', 'torchvision', 'numpy', 'onedl-mmengine', 'mmengine',
    'onedl-mmcv', 'mmcv', 'mmcv-lite', 'onedl-mmpretrain', 'mmpretrain',
    'pytest',
]  # fmt: skip


def describe_card():
    """Name, memory and driver of each GPU."""
    if not torch.cuda.is_available():
        return 'no GPU'
    if shutil.which('nvidia-smi'):
        done = subprocess.run(
            [
                'nvidia-smi',
                '--query-gpu=name,memory.total,driver_version',
                '--format=csv,noheader',
            ],
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return torch.cuda.get_device_name()


def versions():
    """Versions of the packages that are there."""
    for name in PACKAGES:
        try:
            yield f'{name} {version(name)}'
        except PackageNotFoundError:
            pass


def main():
    print('card:', describe_card())
    print(
        'cuda:', torch.version.cuda, 'cudnn:', torch.backends.cudnn.version()
    )
    print('python:', platform.python_version())
    print('bls_mm:', bls_mm.__version__)
    print('packages:', ', '.join(versions()))


if __name__ == '__main__':
    main()
