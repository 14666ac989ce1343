"""Record what a fixed set of toy runs does, to hold other code against it.

``test_reference_runs.py`` compares the code with the record in ``tests/data``,
floats up to rounding, since that differs between machines. To compare two
commits to the bit, record both on one machine::

    export PYTHONPATH=.:tests/helpers
    python tests/helpers/record_reference_runs.py --out FILE
    python tests/helpers/record_reference_runs.py --compare FILE FILE
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import torch
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from observed import (
    Record,
    first_difference,
    read_records,
    seen_by_all,
    seen_by_rank,
    write_records,
)
from ranks import WRAPPER, join, leave, start_ranks
from torch.utils.data import BatchSampler, Sampler
from toy import StopAt, make_runner

from bls_mm.trusted import trust_mmengine_classes

SIZE, BATCH, EPOCHS = 25, 4, 5  # an epoch ends with a batch of one sample
STEPS = 7 * EPOCHS
SAVED_AT = {1: 9, 2: 6}  # iterations by the number of ranks, in mid-pass
TOY = dict(type='ToyDataset', size=SIZE)
SCHEDULE = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=9),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=9, T_max=STEPS - 9),
    dict(type='MultiStepLR', by_epoch=True, milestones=[2, 4], gamma=0.5),
]


class ByShape(BatchSampler):
    """Batches of samples that are all upright or all not."""

    def __iter__(self) -> Iterator[List[int]]:
        groups: Dict[bool, List[int]] = {True: [], False: []}
        for index in self.sampler:
            info = self.sampler.dataset.get_data_info(index)
            group = groups[info['width'] < info['height']]
            group.append(index)
            if len(group) == self.batch_size:
                yield group[:]
                group.clear()
        rest = groups[True] + groups[False]
        for start in range(0, len(rest), self.batch_size):
            yield rest[start : start + self.batch_size]


@DATA_SAMPLERS.register_module(force=True)
class SomeTwice(Sampler):
    """A sampler with an order of its own: a third of the samples twice."""

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self.size, self.seed, self.epoch = len(dataset), seed, 0

    def __len__(self) -> int:
        return self.size + self.size // 3

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(self.size, generator=generator).tolist()
        return iter(order + order[: self.size // 3])


class Run(NamedTuple):
    """A run to record.

    Attributes:
        changes (dict): Settings, as of ``toy.make_runner``.
        ranks (int): Number of processes.
        resumed (bool): Whether an error stops the run in the middle of a
            pass, and what is recorded resumes it.
    """

    changes: Dict[str, Any]
    ranks: int = 1
    resumed: bool = False


def hooks(**settings: Any) -> Dict[str, Any]:
    return dict(
        custom_hooks=[dict(type='BLSHook', **settings), dict(type='Observer')]
    )


def pruned_by(**pruner: Any) -> Dict[str, Any]:
    return dict(train_dataloader__sampler__pruner=pruner or None)


LOOPS = {
    'epochs': dict(by_epoch=True, max_epochs=EPOCHS),
    'iterations': dict(by_epoch=False, max_iters=STEPS),
}
INFOBATCH, SETA = pruned_by(type='InfoBatch'), pruned_by(type='SeTa')
EMA = hooks(score=dict(type='EMAScore'), per_sample=False)
SETTINGS = {
    'InfoBatch': INFOBATCH,
    'SeTa': SETA,
    'RandomPrune': pruned_by(type='RandomPrune'),
    'Importance': pruned_by(type='Importance', target_saving=0.3),
    'no pruner': pruned_by(),
    'target': pruned_by(type='InfoBatch', target_saving=0.3),
    'EMAScore': dict(INFOBATCH, **EMA),
    'no rescaling': hooks(rescale_loss=False, align_schedule=False),
    'regrouped': dict(
        train_dataloader__batch_sampler=dict(type=ByShape, drop_last=False)
    ),
    'repeated': dict(
        train_dataloader__dataset=dict(
            type='RepeatDataset', dataset=dict(TOY, size=13), times=2
        )
    ),
    'accumulated': dict(optim_wrapper__accumulative_counts=3),
    'inner': dict(
        train_dataloader__sampler=dict(
            type='BLSSampler',
            pruner=dict(type='InfoBatch'),
            inner=dict(type='SomeTwice'),
        )
    ),
}
RESUMED = ['InfoBatch', 'SeTa', 'Importance', 'EMAScore', 'regrouped']
OF_TWO_RANKS = [
    'InfoBatch',
    'SeTa',
    'RandomPrune',
    'Importance',
    'no pruner',
    'EMAScore',
    'regrouped',
]


def make_runs() -> Dict[str, Run]:
    """All runs by name."""
    runs = {}
    for loop, settings in LOOPS.items():
        for name, changes in SETTINGS.items():
            runs[f'{loop}, {name}'] = Run({'train_cfg': settings, **changes})
        for name in RESUMED:
            run = runs[f'{loop}, {name}']
            runs[f'{loop}, {name}, resumed'] = run._replace(resumed=True)
        if not settings['by_epoch']:
            settings = dict(settings, max_iters=STEPS // 2)
        for name in OF_TWO_RANKS:
            changes = {'train_cfg': settings, **SETTINGS[name]}
            runs[f'{loop}, {name}, 2 ranks'] = Run(changes, ranks=2)
        run = runs[f'{loop}, InfoBatch, 2 ranks']
        runs[f'{loop}, InfoBatch, 2 ranks, resumed'] = run._replace(
            resumed=True
        )
    return runs


RUNS = make_runs()


def train(folder: Path, run: Run, **changes: Any) -> Runner:
    """Make a run, on all of its ranks at a time."""
    settings: Dict[str, Any] = dict(
        model=dict(type='ObservedModel'),
        param_scheduler=SCHEDULE,
        train_dataloader__dataset=TOY,
        train_dataloader__batch_size=BATCH,
        default_hooks=dict(checkpoint=None),
        **hooks(),
    )
    settings.update(run.changes, **changes)
    if not run.resumed:
        runner = make_runner(folder, **settings)
        runner.train()
        return runner
    settings['default_hooks'] = dict(
        checkpoint=dict(
            type='CheckpointHook',
            by_epoch=False,
            interval=SAVED_AT[run.ranks],
        )
    )
    broken = make_runner(folder, **settings)
    broken.register_hook(StopAt(SAVED_AT[run.ranks] + 2))
    try:
        broken.train()
    except KeyboardInterrupt:
        runner = make_runner(folder, resume=True, **settings)
        runner.train()
        return runner
    raise RuntimeError('The run came to its end before it was stopped.')


def record_alone(folder: Path, run: Run) -> Record:
    """Record a run of one rank."""
    runner = train(folder, run)
    return dict(seen_by_all(runner), ranks=[seen_by_rank(runner)])


def record_together(folder: Path, names: List[str]) -> Dict[str, Record]:
    """Record runs of two ranks, all by the same two processes."""
    start_ranks(2, _work, folder, names)
    first, second = (torch.load(folder / f'{rank}.pth') for rank in range(2))
    records = {}
    for name in names:
        shared, ours = first[name]
        others, theirs = second[name]
        found = first_difference(shared, others, where=name)
        if found:
            raise RuntimeError(f'Two ranks differ in {found}.')
        records[name] = dict(shared, ranks=[ours, theirs])
    return records


def _work(rank: int, folder: Path, names: List[str]) -> None:
    join(rank, 2, folder)
    seen = {}
    for i, name in enumerate(names):
        runner = train(
            folder / str(i),
            RUNS[name],
            launcher='pytorch',
            cfg=dict(model_wrapper_cfg=WRAPPER),
        )
        seen[name] = (seen_by_all(runner), seen_by_rank(runner))
    torch.save(seen, folder / f'{rank}.pth')
    leave()


def prepare() -> None:
    """Do in a process what ``conftest.py`` does in that of the tests."""
    torch.set_num_threads(1)
    trust_mmengine_classes()


def record_all(folder: Path) -> Dict[str, Record]:
    """Record all runs."""
    names = [name for name, run in RUNS.items() if run.ranks == 2]
    records = record_together(folder, names)
    for i, (name, run) in enumerate(RUNS.items()):
        if run.ranks == 1:
            records[name] = record_alone(folder / f'alone{i}', run)
    return {name: records[name] for name in RUNS}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description='Record or compare toy runs.')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--out', type=Path, help='file to write a record to')
    what.add_argument(
        '--compare', type=Path, nargs=2, help='records to compare to the bit'
    )
    args = parser.parse_args()
    if args.out:
        prepare()
        with tempfile.TemporaryDirectory() as folder:
            write_records(args.out, record_all(Path(folder)))
        print(f'{len(RUNS)} runs: {args.out}')
        return
    found = first_difference(*map(read_records, args.compare))
    if found:
        sys.exit(f'First difference: {found}')
    print('The records are the same to the bit.')


if __name__ == '__main__':
    main()
