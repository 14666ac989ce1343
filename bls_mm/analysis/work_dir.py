"""The config and the log that a training left in its work dir."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config

from .snapshots import WorkDirError

# What a validation logs beside its metrics.
_NO_METRICS = ('data_time', 'epoch', 'iter', 'memory', 'step', 'time')


@dataclass
class Scalars:
    """What was logged, in the order of the run.

    Attributes:
        rows (list[dict]): Of training, with ``iter``, ``bls_kept`` and
            ``bls_saved``.
        validations (list[dict]): The metrics of each validation, and its
            ``step``.
    """

    rows: List[Dict[str, Any]] = field(default_factory=list)
    validations: List[Dict[str, Any]] = field(default_factory=list)

    def values(self, key: str) -> List[float]:
        """All logged values of a scalar of training."""
        return [row[key] for row in self.rows if key in row]

    def per_pass(self) -> List[Dict[str, float]]:
        """One row for each logged pass.

        In an iteration-based run a pass begins where the shares change.

        Returns:
            list[dict]: ``at`` (epoch or iteration), ``kept`` and ``saved``
            (shares).
        """
        passes: Dict[Any, Dict[str, float]] = {}
        for row in self.rows:
            kept, saved = row['bls_kept'], row['bls_saved']
            at = row.get('epoch', row['iter'])
            key = row.get('epoch', (kept, saved))
            passes.setdefault(key, dict(at=at, kept=kept, saved=saved))
        return list(passes.values())

    @property
    def by_epoch(self) -> bool:
        """Whether the loop counts epochs."""
        return any('epoch' in row for row in self.rows)

    def metrics(self) -> Dict[str, float]:
        """The metrics of the last validation; empty if there is none."""
        if not self.validations:
            return {}
        last = self.validations[-1]
        return {key: value for key, value in last.items() if key != 'step'}


def read_scalars(work_dir: Path) -> Scalars:
    """Read what a run and its resumed parts logged.

    Args:
        work_dir (Path): The work dir.

    Returns:
        Scalars: A resumed part replaces what an earlier one logged of the
        same iterations.
    """
    scalars = Scalars()
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines = file.read_text(encoding='utf-8').splitlines()
        logged = [row for row in map(parse_line, lines) if row]
        training = [row for row in logged if 'iter' in row]
        others = [row for row in logged if 'iter' not in row]
        scalars.rows = _continued(scalars.rows, training, 'iter')
        scalars.validations = _continued(scalars.validations, others, 'step')
    return scalars


def _continued(
    rows: List[Dict[str, Any]], part: List[Dict[str, Any]], key: str
) -> List[Dict[str, Any]]:
    if not part:
        return rows
    return [row for row in rows if row[key] < part[0][key]] + part


def parse_line(line: str) -> Optional[Dict[str, Any]]:
    """One line of the log.

    Args:
        line (str): A line of ``scalars.json``.

    Returns:
        dict or None: A row of training, which has ``iter``, or of
        validation; None where it is torn or neither.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    # With `log_with_hierarchy` every name has its mode in front.
    row = {
        key.removeprefix('train/').removeprefix('val/'): value
        for key, value in row.items()
    }
    if {'bls_kept', 'bls_saved'} <= row.keys():
        row.setdefault('iter', row.get('step', 0))
        return row
    metrics = {
        key: value
        for key, value in row.items()
        if key not in _NO_METRICS and type(value) in (int, float)
    }
    if 'iter' in row or 'step' not in row or not metrics:
        return None
    return dict(metrics, step=row['step'])


def read_config(work_dir: Path) -> Config:
    """Load the config that MMEngine wrote into a work dir.

    Args:
        work_dir (Path): The work dir.

    Raises:
        WorkDirError: If there is none.
    """
    files = list(work_dir.glob('*.py'))
    files = files or list(work_dir.glob('*/vis_data/config.py'))
    if not files:
        raise WorkDirError(
            f'There is no config (*.py) in `{work_dir}`, which MMEngine '
            'writes when a training starts.'
        )
    return Config.fromfile(max(files, key=lambda p: p.stat().st_mtime))
