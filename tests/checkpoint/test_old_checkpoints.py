"""Runs that older releases began are resumed as those would have done."""

from pathlib import Path

import pytest
from observed import first_difference, read_records
from write_old_checkpoints import LOOPS, SAVED_AT, resume

DATA = Path(__file__).parents[1] / 'data'


@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize('version', ['0.1.0'])
def test_checkpoint_of_older_release_is_resumed_exactly(
    tmp_path, version, loop
):
    expected = read_records(DATA / f'checkpoint_{version}.json')[loop]
    checkpoint = DATA / f'checkpoint_{version}_{loop}.pth'
    record = resume(loop, checkpoint, tmp_path)
    assert record['iters'][0] == SAVED_AT[loop]
    assert first_difference(record, expected, tolerance=1e-5) is None
