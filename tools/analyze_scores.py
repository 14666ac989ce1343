"""Report which samples a pruned training found hard, from its checkpoints.

Writes `report.html`, one file to open in a browser, and `scores.csv` into
the folder `analyze` of the work dir. Nothing is trained. Run it where the
training ran, since the config names the data by relative paths:

    python tools/analyze_scores.py work_dirs/CONFIG
"""

import argparse
from pathlib import Path

from bls_mm.analysis import charts, report
from bls_mm.analysis import statistics as stats
from bls_mm.analysis.samples import Data, Gallery, write_csv
from bls_mm.analysis.work_dir import (
    WorkDirError,
    next_weights,
    read_config,
    read_scalars,
    read_snapshots,
    steps_of,
)
from bls_mm.hooks.visualization_hook import hardest


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('work_dir', type=Path, help='where the run was saved')
    parser.add_argument(
        '--out',
        type=Path,
        help='folder to write; defaults to WORK_DIR/analyze',
    )
    parser.add_argument(
        '--top',
        type=int,
        default=16,
        help='pictures of a kind; defaults to %(default)s',
    )
    args = parser.parse_args(argv)
    if args.top < 0:
        parser.error(f'`--top` should be 0 or more, but got {args.top}.')
    return args


def selection_of(cfg, snapshots):
    """The selection that the report is about.

    Returns:
        tuple: Weights of the samples, 0 if pruned, and words for what they
        are; None and '' if the run has no pruner.
    """
    for snapshot in reversed(snapshots):
        if snapshot.weights is not None:
            number = snapshot.numbers['number'] + 1
            return snapshot.weights, (
                f'pass {number} kept, the last pruned one in a checkpoint'
            )
    weights = next_weights(cfg, snapshots[-1])
    if weights is None:
        return None, ''
    return weights, (
        'the pruner of the run would keep by these scores, since no '
        'checkpoint is of a pruned pass'
    )


def class_part(scores, weights, labels, names):
    """What the template shows of classes."""
    if not len(labels.classes):
        return {}
    rows = stats.summarise_classes(scores, weights, labels, names)
    by_score = report.shown_classes(rows, lambda row: -row['quantiles'][2])
    note = ''
    if len(rows) > len(by_score):
        note = f' ({len(by_score)} of {len(rows)}, those at both ends)'
    part = dict(class_note=note)
    if len(rows) > 1:
        part.update(class_chart=charts.class_score_chart(by_score))
    if weights is None or (weights > 0).all() or len(rows) < 2:
        return part
    overall = float((weights > 0).mean())
    rows.sort(key=lambda row: row['kept'])
    by_kept = report.shown_classes(rows, lambda row: row['kept'])
    return dict(
        part,
        keep_chart=charts.keep_rate_chart(by_kept, overall),
        overall=overall,
        class_rows=rows,
        starved=[row for row in rows if row['starved']],
    )


def kept_part(scalars, snapshots):
    """What the template shows of the kept share."""
    rows = scalars.per_pass()
    by_epoch = scalars.by_epoch
    if not rows:
        return dict(kept_chart=None, by_epoch=False)
    return dict(
        kept_chart=charts.kept_chart(rows, by_epoch), by_epoch=by_epoch
    )


def analyze(work_dir, out, top=16):
    """Analyze a work dir.

    Args:
        work_dir (Path): Where the run was saved.
        out (Path): Folder to write.
        top (int): Pictures of a kind. Defaults to 16.

    Raises:
        WorkDirError: If the work dir has no scores or no config.
    """
    snapshots, notes = read_snapshots(work_dir)
    notes = [f'Left out: {note}.' for note in notes]
    cfg = read_config(work_dir)
    last, scalars = snapshots[-1], read_scalars(work_dir)
    scores, steps = last.scores, steps_of(cfg, last)
    weights, selection = selection_of(cfg, snapshots)
    kept = None if weights is None else weights > 0
    means = stats.mean_scores(snapshots)
    data = Data(cfg, last)
    out.mkdir(parents=True, exist_ok=True)
    labels = write_csv(out / 'scores.csv', data, scores, means, kept)
    if 0 < labels.checked < data.count:
        notes.append(
            f'Classes are known of {labels.checked:,} samples: of the others '
            'they are not named, or their label maps were not read.'
        )
    gallery = Gallery(cfg, data, scores)
    top = min(top, data.count)
    content = dict(
        name=work_dir.resolve().name,
        count=data.count,
        checkpoints=[s.path.name for s in snapshots],
        passes=min(last.passes, steps / last.per_pass),
        saved=stats.saved(last, scalars, steps, data.length),
        time_chart=time_part(snapshots, steps / last.per_pass),
        histogram=charts.histogram_chart(scores, kept),
        selection=selection,
        single=labels.single,
        hardest=gallery.show(hardest(scores, top)),
        easiest=gallery.show(hardest(-scores, top)),
        suspects=gallery.show(hardest(means, top), means)
        if labels.single
        else [],
        **kept_part(scalars, snapshots),
        **class_part(scores, weights, labels, data.names),
    )
    notes += [p for p in (data.problem, gallery.problem) if p]
    report.render(out / 'report.html', notes=notes, **content)


def time_part(snapshots, most):
    """The chart of scores over at most so many passes; None for one moment."""
    if len(snapshots) < 2:
        return None
    quantiles = [stats.quantiles_of(s.scores) for s in snapshots]
    passes = [min(snapshot.passes, most) for snapshot in snapshots]
    return charts.time_chart(passes, quantiles)


def main():
    args = parse_args()
    out = args.out or args.work_dir / 'analyze'
    try:
        analyze(args.work_dir, out, args.top)
    except WorkDirError as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    print(f'Wrote {out / "report.html"} and {out / "scores.csv"}')


if __name__ == '__main__':
    main()
