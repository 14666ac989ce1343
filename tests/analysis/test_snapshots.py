"""The checkpoints of a run, and which of them can be used."""

import pytest
import torch

from bls_mm.analysis.snapshots import read_snapshots


def test_damaged_checkpoint_is_left_out(run, link):
    work_dir = link('epoch_6.pth')
    data = (run[0] / 'epoch_7.pth').read_bytes()
    (work_dir / 'epoch_7.pth').write_bytes(data[:-100])
    snapshots, left_out = read_snapshots(work_dir)
    assert [s.path.name for s in snapshots] == ['epoch_6.pth']
    assert left_out == ['epoch_7.pth: is damaged']


@pytest.mark.parametrize(
    'saves, kept',
    [
        # Epochs in the order of their files, with the seconds of their saves.
        ([(1, 1), (2, 1), (3, 5), (4, 6)], [1, 2, 3, 4]),  # resumed
        ([(4, 3), (3, 3), (2, 3)], [2, 3, 4]),  # in one second
        ([(4, 4), (2, 2), (3, 3)], [2, 3, 4]),  # copied in another order
        # Made anew: from epoch 2 on what is there is of the run before.
        ([(3, 3), (4, 4), (1, 5), (2, 6)], [1, 2]),
        ([(3, 3), (2, 2), (3, 5)], [2, 3]),  # went on from epoch 2
    ],
)
def test_later_moments_of_an_earlier_run_are_left_out(
    run, tmp_path, saves, kept
):
    for number, (epoch, second) in enumerate(saves):
        checkpoint = load(run, epoch)
        checkpoint['meta']['time'] = f'20260101_00000{second}'
        torch.save(checkpoint, tmp_path / f'{number}_epoch_{epoch}.pth')
    snapshots, left_out = read_snapshots(tmp_path)
    assert [s.numbers['number'] + 1 for s in snapshots] == kept
    newest = max(second for _, second in saves)
    assert snapshots[-1].saved_at.endswith(str(newest))
    dropped = {epoch for epoch, _ in saves} - set(kept)
    assert len(left_out) == len(dropped)
    for epoch, line in zip(sorted(dropped), left_out):
        assert line.endswith(f'epoch_{epoch}.pth: of an earlier run')


def test_checkpoint_of_another_seed_is_of_an_earlier_run(run, tmp_path):
    for epoch in (1, 2, 3):
        checkpoint = load(run, epoch)
        checkpoint['meta']['time'] = f'20260101_00000{epoch}'
        checkpoint['bls']['seed'] += epoch < 2
        torch.save(checkpoint, tmp_path / f'epoch_{epoch}.pth')
    snapshots, left_out = read_snapshots(tmp_path)
    assert [s.path.name for s in snapshots] == ['epoch_2.pth', 'epoch_3.pth']
    assert left_out == ['epoch_1.pth: of an earlier run']


def load(run, epoch):
    return torch.load(run[0] / f'epoch_{epoch}.pth', weights_only=False)
