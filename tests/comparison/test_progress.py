"""What a study shows while it goes on."""

import io

import pytest
from rich.console import Console

from bls_mm.comparison import progress as progress_module
from bls_mm.comparison.progress import StudyProgress

TWO_HOURS = 7200


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, 'monotonic', lambda: now[0])
    return now


def show(clock, terminal):
    """Three runs, of which the first is kept and the second takes hours."""
    console = Console(file=io.StringIO(), width=100, force_terminal=terminal)
    with StudyProgress(kept=1, total=3, console=console) as progress:
        progress.begin('full, seed 0', kept=True)
        progress.end('acc 1', kept=True)
        progress.begin('seta, seed 0')
        progress.echo('Epoch(train) [1][50/50]  loss: 0.1')
        clock[0] += TWO_HOURS
        progress.end('acc 2')
        progress.begin('random, seed 0')
        progress.end('acc 3')
    return console.file.getvalue()


def test_a_file_gets_plain_lines(clock):
    assert show(clock, terminal=False).splitlines() == [
        '==> Run 1 of 3: full, seed 0, kept',
        'acc 1',
        '==> Run 2 of 3: seta, seed 0',
        'Epoch(train) [1][50/50]  loss: 0.1',
        'acc 2',
        '==> Run 3 of 3: random, seed 0, about 2 h left',
        'acc 3',
    ]


def test_a_terminal_gets_a_bar_too(clock):
    text = show(clock, terminal=True)
    assert '3/3' in text and 'about 2 h left' in text
