"""Settings of all tests."""

import weakref

import pytest
import torch
from torch.utils.data import dataloader

from bls_mm.checkpoint.trusted import trust_mmengine_classes

# The models here are so small that threads would only wait for each other.
torch.set_num_threads(1)

# As `tools/train.py` does; the original mmengine could not resume otherwise.
trust_mmengine_classes()

# Long files. Begun last, one would leave the other cores idle.
FIRST = (
    'test_kill.py',
    'test_resume.py',
    'test_launchers.py',
    'test_wheel.py',
    'test_interference.py',
    'test_training.py',
    'test_pass_seams.py',
    'test_gpu_check.py',
    'test_cost.py',
    'test_distributed.py',
    'test_reference_runs.py',
    'test_properties.py',
    'test_sweep.py',
)
# These leave gigabytes in a process, which is then slow to fork workers.
LAST = (
    'test_benchmark.py',
    'test_zoo_configs.py',
    'test_segmentation.py',
    'test_sister_packages.py',
    'test_detection.py',
)


def pytest_configure(config):
    # pytest-xdist would begin with the files that have the most tests.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    places = {name: i - len(FIRST) for i, name in enumerate(FIRST)}
    places.update((name, i + 1) for i, name in enumerate(LAST))
    items.sort(key=lambda item: places.get(item.path.name, 0))


@pytest.fixture(autouse=True)
def end_workers(monkeypatch):
    """End the workers that a test has left.

    The garbage collector ends them too, later and in any order, which can
    take five seconds for each: a queue that is gone tells no worker to stop.
    """
    cls = dataloader._MultiProcessingDataLoaderIter
    iterators, init = weakref.WeakSet(), cls.__init__

    def remember(self, *args, **kwargs):
        init(self, *args, **kwargs)
        iterators.add(self)

    monkeypatch.setattr(cls, '__init__', remember)
    yield
    for iterator in list(iterators):
        iterator._shutdown_workers()
