"""Report which samples a pruned training found hard."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Union

import numpy as np

from bls_mm.hooks.visualization_hook import hardest

from . import answer, charts
from .classes import Labels, summarise_classes
from .dataset import Data
from .gallery import Gallery
from .report import render, shown_classes
from .selection import find_selection, read_budget, samples_per_pass
from .snapshots import Snapshot, read_snapshots
from .statistics import (
    Saved,
    mean_scores,
    quantiles_of,
    share_of_hardest,
    what_was_saved,
)
from .table import write_csv
from .work_dir import Scalars, read_config, read_scalars


class Report(NamedTuple):
    """What :func:`analyze_scores` wrote.

    Attributes:
        page (Path): The report, one HTML file.
        table (Path): A row for each sample, a CSV file.
        answer (Answer): The sentences that the report opens with.
        saved (Saved): What pruning saved.
        metrics (dict): The metrics of the last validation.
        classes (list[dict]): A row for each class, see
            :func:`bls_mm.analysis.classes.summarise_classes`.
        notes (list[str]): What could not be read, and why.
    """

    page: Path
    table: Path
    answer: answer.Answer
    saved: Saved
    metrics: Dict[str, float]
    classes: List[Dict[str, Any]]
    notes: List[str]


def analyze_scores(
    work_dir: Union[str, Path],
    out: Optional[Union[str, Path]] = None,
    top: int = 16,
) -> Report:
    """Write the report and the table of a run; nothing is trained.

    To be called where the training ran, since its config names the data by
    relative paths. Pictures, classes, times and what else is not known are
    left out, and the report says so.

    Args:
        work_dir (str or Path): Where the run was saved.
        out (str or Path, optional): Folder to write ``report.html`` and
            ``scores.csv`` to. Defaults to None, for ``analyze`` in
            ``work_dir``.
        top (int): Pictures of a kind, 0 or more. Defaults to 16.

    Returns:
        Report: The files, and the figures that matter most.

    Raises:
        ValueError: If ``top`` is negative.
        WorkDirError: If the work dir has no scores or no config.
    """
    if top < 0:
        raise ValueError(f'`top` should be 0 or more, but got {top}.')
    work_dir = Path(work_dir)
    out = work_dir / 'analyze' if out is None else Path(out)
    snapshots, left_out = read_snapshots(work_dir)
    cfg, scalars = read_config(work_dir), read_scalars(work_dir)
    last = snapshots[-1]
    means, data = mean_scores(snapshots), Data(cfg, last)
    budget = read_budget(cfg, last)
    samples = samples_per_pass(cfg, last, data.length)
    selection = find_selection(cfg, snapshots, samples)
    weights = None if selection is None else selection.weights
    kept = None if weights is None else weights > 0

    out.mkdir(parents=True, exist_ok=True)
    page, table = out / 'report.html', out / 'scores.csv'
    labels = write_csv(table, data, last.scores, means, kept)
    rows = summarise_classes(last.scores, weights, labels, data.names)
    saved = what_was_saved(last, scalars, budget, samples)
    content = _answer(last, scalars, saved, budget.passes, rows)
    gallery, top = Gallery(cfg, data, last.scores), min(top, data.count)
    pictures = dict(
        hardest=gallery.show(hardest(last.scores, top)),
        easiest=gallery.show(hardest(-last.scores, top)),
        suspects=gallery.show(hardest(means, top), means)
        if labels.single
        else [],
    )
    notes = _notes(left_out, labels, data, gallery)
    render(
        page,
        name=work_dir.resolve().name,
        count=data.count,
        checkpoints=[s.path.name for s in snapshots],
        passes=min(last.passes, budget.steps / last.per_pass),
        answer=content,
        notes=notes,
        selection='' if selection is None else selection.words,
        single=labels.single,
        histogram=charts.histogram_chart(last.scores, kept),
        time_chart=_time_chart(snapshots, budget.steps / last.per_pass),
        kept_chart=_kept_chart(scalars),
        by_epoch=scalars.by_epoch,
        **pictures,
        **_class_part(rows, weights),
    )
    return Report(page, table, content, saved, scalars.metrics(), rows, notes)


def _answer(
    last: Snapshot,
    scalars: Scalars,
    saved: Saved,
    passes: int,
    rows: List[Dict[str, Any]],
) -> answer.Answer:
    """What the report opens with."""
    paid = [
        answer.describe_saving(saved, min(last.passes, passes), passes),
        answer.describe_time(saved),
        answer.describe_accuracy(scalars.metrics(), len(scalars.validations)),
    ]
    hard = [answer.describe_hardest(share_of_hardest(last.scores))]
    if len(rows) > 1:
        median = float(np.median(last.scores))
        hard.insert(0, answer.describe_classes(rows, median))
        if 'starved' in rows[0]:
            hard.append(answer.describe_starved(rows))
    return answer.Answer(paid, [sentence for sentence in hard if sentence])


def _notes(
    left_out: List[str], labels: Labels, data: Data, gallery: Gallery
) -> List[str]:
    """What could not be read."""
    notes = [f'Left out: {note}.' for note in left_out]
    if 0 < labels.checked < data.count:
        notes.append(
            f'Classes are known for {labels.checked:,} samples; the others '
            'name none, or their label maps were not read.'
        )
    return notes + [p for p in (data.problem, gallery.problem) if p]


def _class_part(
    rows: List[Dict[str, Any]], weights: Optional[np.ndarray]
) -> Dict[str, Any]:
    """What the template shows of classes, in charts and a table."""
    if len(rows) < 2:
        return {}
    by_score = shown_classes(rows, lambda row: -row['quantiles'][2])
    note = ''
    if len(rows) > len(by_score):
        note = f' ({len(by_score)} of {len(rows)}, those at both ends)'
    part: Dict[str, Any] = dict(
        class_note=note, class_chart=charts.class_score_chart(by_score)
    )
    if weights is None or (weights > 0).all():
        return part
    overall = float((weights > 0).mean())
    by_kept = sorted(rows, key=lambda row: row['kept'])
    shown = shown_classes(rows, lambda row: row['kept'])
    return dict(
        part,
        keep_chart=charts.keep_rate_chart(shown, overall),
        overall=overall,
        class_rows=by_kept,
        starved=[row for row in by_kept if row['starved']],
    )


def _kept_chart(scalars: Scalars) -> Optional[str]:
    """The chart of the shares that passes keep; None without a log."""
    rows = scalars.per_pass()
    return charts.kept_chart(rows, scalars.by_epoch) if rows else None


def _time_chart(snapshots: List[Snapshot], most: float) -> Optional[str]:
    """The chart of scores over at most so many passes; None for one moment."""
    if len(snapshots) < 2:
        return None
    quantiles = [quantiles_of(s.scores) for s in snapshots]
    passes = [min(snapshot.passes, most) for snapshot in snapshots]
    return charts.time_chart(passes, quantiles)
