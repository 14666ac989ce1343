"""Write a checkpoint of the code at hand in mid-pass, and what follows it.

The files in ``tests/data`` are those of release 0.1.0. They stay as they are;
a release whose checkpoints look different gets files of its own::

    export PYTHONPATH=.:tests/helpers
    python tests/helpers/write_old_checkpoints.py FOLDER
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from observed import Record, seen_by_all, seen_by_rank, write_records
from toy import make_runner

from bls_mm.trusted import trust_mmengine_classes
from bls_mm.version import __version__

SAVED_AT = {'epochs': 6, 'iterations': 5}
LOOPS = {
    'epochs': dict(by_epoch=True, max_epochs=6),
    'iterations': dict(by_epoch=False, max_iters=21),
}


def make(loop: str, work_dir: Any, **changes: Any) -> Runner:
    """A runner of 14 samples in batches of 4, with little to save."""
    settings = dict(
        model=dict(type='ObservedModel'),
        train_cfg=LOOPS[loop],
        train_dataloader__dataset=dict(type='ToyDataset', size=14),
        optim_wrapper__optimizer=dict(type='SGD', lr=0.1),
        param_scheduler=dict(type='PolyLR', by_epoch=False, end=21),
        custom_hooks=[dict(type='BLSHook'), dict(type='Observer')],
        default_hooks=dict(checkpoint=None),
    )
    settings.update(changes)
    return make_runner(work_dir, **settings)


def resume(loop: str, checkpoint: Path, work_dir: Path) -> Record:
    """Resume a checkpoint; record the rest of the run."""
    runner = make(loop, work_dir, resume=True, load_from=str(checkpoint))
    runner.train()
    return dict(seen_by_all(runner), **seen_by_rank(runner))


def write(loop: str, checkpoint: Path) -> None:
    """Write the checkpoint of a run."""
    saving = dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=SAVED_AT[loop],
        out_dir='.',  # a relative path, since a checkpoint names its folder
    )
    make(loop, 'work', default_hooks=dict(checkpoint=saving)).train()
    saved = Path('work') / f'iter_{SAVED_AT[loop]}.pth'
    state = torch.load(saved, weights_only=False)['bls']
    if state['finished'] or not state['done'] or not len(state['weights']):
        raise RuntimeError(f'{saved} is not of the middle of a pruned pass.')
    shutil.copy(saved, checkpoint)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description='Write old checkpoints.')
    parser.add_argument('folder', type=Path, help='where to write them')
    folder = parser.parse_args().folder.resolve()
    torch.set_num_threads(1)
    trust_mmengine_classes()
    records = {}
    for loop in LOOPS:
        checkpoint = folder / f'checkpoint_{__version__}_{loop}.pth'
        with tempfile.TemporaryDirectory() as work:
            os.chdir(work)
            write(loop, checkpoint)
            records[loop] = resume(loop, checkpoint, Path(work) / 'resumed')
            os.chdir(folder)
        print(f'{checkpoint}: {checkpoint.stat().st_size} bytes')
    write_records(folder / f'checkpoint_{__version__}.json', records)


if __name__ == '__main__':
    main()
