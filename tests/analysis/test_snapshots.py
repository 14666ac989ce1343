"""The checkpoints of a run, and which of them can be used."""

from bls_mm.analysis.snapshots import read_snapshots


def test_damaged_checkpoint_is_left_out(run, link):
    work_dir = link('epoch_6.pth')
    data = (run[0] / 'epoch_7.pth').read_bytes()
    (work_dir / 'epoch_7.pth').write_bytes(data[:-100])
    snapshots, left_out = read_snapshots(work_dir)
    assert [s.path.name for s in snapshots] == ['epoch_6.pth']
    assert left_out == ['epoch_7.pth: is damaged']
