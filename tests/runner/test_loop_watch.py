"""What a training loop is asked and told while it is watched."""

import pytest

from bls_mm.runner.loop_watch import LoopWatch


class Loop:
    def __init__(self, dataloader):
        self.dataloader = dataloader


class PropertyLoop:
    """A loop whose DataLoader is a property."""

    def __init__(self, dataloader):
        self.dataloader = dataloader

    @property
    def dataloader(self):
        return self.held

    @dataloader.setter
    def dataloader(self, value):
        self.held = value


@pytest.mark.parametrize('kind', [Loop, PropertyLoop])
def test_new_dataloader_is_told_after_it_is_set(kind):
    loop, told = kind('first'), []

    def on_replaced(loader):
        told.append((loader, loop.dataloader))

    watch = LoopWatch(loop, on_replaced, lambda: None)
    loop.other = 1
    assert (loop.dataloader, told) == ('first', [])
    loop.dataloader = 'second'
    assert told == [('second', 'second')]
    watch.close()
    loop.dataloader = 'third'
    assert (loop.dataloader, len(told), type(loop)) == ('third', 1, kind)
    assert 'bls_watcher' not in vars(loop)
