"""The clock of the runs of a comparison."""

import time
from typing import Any, Dict, Optional, Tuple

from mmengine.hooks import Hook


class TrainClock(Hook):
    """Measure the time of training without that of validation.

    Attributes:
        seconds (float): From the start of the first epoch to the end of the
            last one.
        cpu_seconds (float): Those that this process computed.
        metrics (dict): Those of the last validation.
    """

    priority = 'VERY_HIGH'  # first, so that the work of other hooks counts

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.metrics: Dict[str, Any] = {}
        self._since: Optional[Tuple[float, float]] = None
        self._paused = False

    def before_train_epoch(self, runner: Any) -> None:
        if self._since is None:
            self._start()

    def before_val(self, runner: Any) -> None:
        self._paused = self._since is not None
        self._stop()

    def after_val(self, runner: Any) -> None:
        if self._paused:
            self._start()

    def after_val_epoch(
        self, runner: Any, metrics: Optional[Dict[str, Any]] = None
    ) -> None:
        self.metrics = metrics or {}

    def after_train(self, runner: Any) -> None:
        self._stop()

    def _start(self) -> None:
        self._since = time.perf_counter(), time.process_time()

    def _stop(self) -> None:
        if self._since is not None:
            wall, cpu = self._since
            self.seconds += time.perf_counter() - wall
            self.cpu_seconds += time.process_time() - cpu
            self._since = None
