"""Comparisons of toy runs, made in this process or made up."""

import itertools
import json

from bls_mm.comparison import process, run, study
from bls_mm.runner.build import build_runner
from bls_mm.runner.results import write_json

CONFIG = """
custom_imports = dict(imports=['toy'], allow_failed_imports=False)
model = dict(type='ToyModel')
train_dataloader = dict(
    dataset=dict(type='ToyDataset'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_size=4,
    num_workers=0,
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    dataset=dict(type='ToyDataset'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_size=20,
    num_workers=0,
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='ToyMetric')
train_cfg = dict(by_epoch=True, max_epochs=8, val_interval=8)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_scope = 'mmengine'
"""
PASSES, SAMPLES = 8, 40

_numbers = itertools.count()


def write_config(folder):
    """Write the config of a toy run."""
    file = folder / 'toy_config.py'
    file.write_text(CONFIG)
    return str(file)


class FakeRuns:
    """Makes up results of runs, and can be interrupted in one.

    Attributes:
        made (list[str]): The folders of the runs that were begun.
        stop_at (str, optional): The folder of a run to break off.
    """

    def __init__(self, monkeypatch):
        self.made = []
        self.stop_at = None
        monkeypatch.setattr(process, 'run_process', self)
        self.without_plot(monkeypatch)

    def without_plot(self, monkeypatch):
        monkeypatch.setattr(study, 'save_plot', lambda *_: None)

    def __call__(self, settings, log, echo):
        self.made.append(settings.parent.name)
        if settings.parent.name == self.stop_at:
            self.stop_at = None
            raise KeyboardInterrupt
        self.run(settings)

    def run(self, file):
        settings = json.loads(file.read_text())
        share = dict(infobatch=0.7, seta=0.6).get(settings['prune'], 1.0)
        result = make_result('', 0, 1.0, round(1000 * share), 2.0)
        result.update(settings=settings, kept=[1.0] + [share] * 8 + [1.0])
        write_json(file.parent / 'result.json', result)


class RunsHere(FakeRuns):
    """Makes the runs in this process."""

    def __init__(self, monkeypatch):
        super().__init__(monkeypatch)
        monkeypatch.setattr(run, 'build_runner', self.build)

    def without_plot(self, monkeypatch):
        """What is made has a plot."""

    def run(self, file):
        run.make_run(file)

    @staticmethod
    def build(cfg):
        # MMEngine's hubs are global, under this name.
        cfg.experiment_name = f'study{next(_numbers)}'
        cfg.log_level = 'WARNING'
        return build_runner(cfg)


def make_result(variant, seed, acc, visited, seconds, ratio=None):
    """What a run of 1,000 visits in full might have reported."""
    return dict(
        settings=dict(
            config='a/resnet.py',
            config_hash='hash',
            cfg_options={},
            target_saving=None,
            variant=variant,
            seed=seed,
        ),
        metrics=dict(acc=acc, top5=99.0),
        visited=visited,
        saved=1 - visited / 1000,
        train_seconds=seconds,
        cpu_seconds=visited / 2,
        kept=[1.0, visited / 1000],
        prune_ratio=ratio,
        target_saving=None,
        epochs=4,
        iterations=100,
    )


def write_comparison(folder, *accuracies):
    """Write a comparison: accuracies of full, infobatch and random."""
    names, visits = ['full', 'infobatch', 'random'], [1000, 600, 600]
    runs = [
        make_result(name, seed, acc, count, 1.0)
        for seed, row in enumerate(accuracies)
        for name, acc, count in zip(names, row, visits)
    ]
    for result in runs:
        seed, variant = (result['settings'][k] for k in ('seed', 'variant'))
        write_json(folder / f'seed{seed}' / variant / 'result.json', result)
    write_json(folder / 'compare.json', dict(metric='acc', runs=runs))
