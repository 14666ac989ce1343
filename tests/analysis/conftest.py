"""Runs that several tests read."""

import pytest
from blobs import write_blobs
from mmengine.config import Config
from mmengine.runner import Runner
from pictures import on_pictures
from toy import EVERY_EPOCH, make_config

_count = 0


def train_from_file(work_dir, **changes):
    """Train as from a file, so that the config is in the work dir."""
    global _count
    _count += 1
    config = make_config(work_dir, **changes)
    config['experiment_name'] = f'analyze{_count}'
    logger = dict(type='LoggerHook', interval=1)
    hooks = config['default_hooks']
    saving = hooks['checkpoint'] or EVERY_EPOCH
    hooks.update(logger=logger, checkpoint=saving)
    imports = dict(imports=['toy', 'pictures'], allow_failed_imports=False)
    runner = Runner.from_cfg(Config(dict(config, custom_imports=imports)))
    runner.train()
    return runner


VALIDATED = dict(
    val_dataloader=dict(
        dataset=dict(type='Pictures', size=8),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='collate_pictures'),
        batch_size=8,
    ),
    val_cfg=dict(),
    val_evaluator=dict(type='ToyMetric', prefix='toy'),
)


@pytest.fixture(scope='session')
def train_run():
    """The function that trains a toy run into a work dir."""
    return train_from_file


@pytest.fixture(scope='session')
def run(tmp_path_factory):
    """A work dir, and the runner that has trained there."""
    work_dir = tmp_path_factory.mktemp('run')
    return work_dir, train_from_file(work_dir, **on_pictures(**VALIDATED))


@pytest.fixture
def link(run, tmp_path):
    """Put the config and some checkpoints of the run into a new work dir."""

    def make(*names, config=True):
        for name in names:
            (tmp_path / name).symlink_to(run[0] / name)
        if config:
            file = next(run[0].glob('*.py'))
            (tmp_path / file.name).symlink_to(file)
        return tmp_path

    return make


@pytest.fixture(scope='session')
def options(tmp_path_factory):
    """Settings of a run of 96 images, three epochs of three batches."""
    return write_blobs(tmp_path_factory.mktemp('blobs'))
