"""What the tests of true losses share."""

import pytest
from blobs import write_blobs


@pytest.fixture(scope='session')
def options(tmp_path_factory):
    """Settings of a run of 96 images, three epochs of three batches."""
    return write_blobs(tmp_path_factory.mktemp('blobs'))
