"""Settings of all tests."""

import torch

from bls_mm.checkpoint.trusted import trust_mmengine_classes

# The models here are so small that threads would only wait for each other.
torch.set_num_threads(1)

# As `tools/train.py` does; the original mmengine could not resume otherwise.
trust_mmengine_classes()

# Files of a few long tests. Begun last, one would leave the other cores idle.
LONG = (
    'test_kill.py',
    'test_zoo_configs.py',
    'test_segmentation.py',
    'test_sister_packages.py',
    'test_detection.py',
    'test_resume.py',
    'test_launchers.py',
    'test_wheel.py',
    'test_sweep.py',
    'test_pass_seams.py',
    'test_gpu_check.py',
    'test_benchmark.py',
    'test_interference.py',
    'test_cost.py',
    'test_distributed.py',
    'test_reference_runs.py',
    'test_properties.py',
)


def pytest_configure(config):
    # pytest-xdist would begin with the files that have the most tests.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))
