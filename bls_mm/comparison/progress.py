"""How far a study has come: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import List, Optional, Type

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)


def make_console() -> Console:
    """A console on stdout; not of 80 columns where that is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 140)


class StudyProgress:
    """Says which run is made, what it logs, and how long the rest may take.

    Args:
        kept (int): Runs that are finished already.
        total (int): All runs.
        console (Console, optional): Where to show it. Defaults to None,
            nowhere.
    """

    def __init__(
        self, kept: int, total: int, console: Optional[Console] = None
    ) -> None:
        self._console = console or Console(quiet=True)
        self._left = total - kept
        self._total = total
        self._begun = 0
        self._since = 0.0
        self._seconds: List[float] = []
        self._bar = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task('', total=total)

    def __enter__(self) -> 'StudyProgress':
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._bar.stop()

    def begin(self, name: str, kept: bool = False) -> None:
        """Say that a run begins, or that it need not be made.

        Args:
            name (str): The run.
            kept (bool): Whether its result is there. Defaults to False.
        """
        self._begun += 1
        line = f'==> Run {self._begun} of {self._total}: {name}'
        if kept:
            line += ', kept'
        elif self._seconds:
            mean = sum(self._seconds) / len(self._seconds)
            line += f', about {_format_time(mean * self._left)} left'
        self.echo(line)
        self._bar.update(self._task, description=name)
        self._since = time.monotonic()

    def end(self, summary: str, kept: bool = False) -> None:
        """Say how a run ended.

        Args:
            summary (str): What came out.
            kept (bool): As for :meth:`begin`. Defaults to False.
        """
        if not kept:
            self._seconds.append(time.monotonic() - self._since)
            self._left -= 1
        self.echo(summary)
        self._bar.advance(self._task)

    def echo(self, line: str) -> None:
        """Show a line as it is."""
        self._console.print(
            line, markup=False, highlight=False, emoji=False, soft_wrap=True
        )


def _format_time(seconds: float) -> str:
    """Write a duration in the unit in which it is short."""
    for unit, size in (('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.0f} {unit}'
    return f'{seconds:.0f} s'
