"""Numbers of the report: ranks, classes, what was saved."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bls_mm.visualization.samples import class_name

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MOST_MAPS = 5000


@dataclass
class Labels:
    """The classes of samples, as pairs.

    Attributes:
        samples (ndarray): Sample of each pair, int64, shape (M,).
        classes (ndarray): Class of each pair, int64, shape (M,).
        single (bool): Whether each sample has one class at most.
        checked (int): Samples that were looked at.
    """

    samples: np.ndarray
    classes: np.ndarray
    single: bool
    checked: int


def classes_of(info):
    """The classes that the annotation of a sample names.

    Args:
        info (dict): What a dataset's ``get_data_info`` returns.

    Returns:
        list[int]: Each class once; empty if none is named.
    """
    if 'gt_label' in info:
        if type(info['gt_label']) is int:  # all of ImageNet
            return [info['gt_label']]
        return np.unique(np.asarray(info['gt_label'])).astype(int).tolist()
    instances = info.get('instances') or []
    labels = {
        int(instance['bbox_label'])
        for instance in instances
        if 'bbox_label' in instance and not instance.get('ignore_flag')
    }
    return sorted(labels)


def map_classes(info, loaders, ignored=255):
    """The classes in the label map of a sample.

    Args:
        info (dict): What a dataset's ``get_data_info`` returns.
        loaders (list): The transforms that load annotations.
        ignored (int): Label of pixels without a class. Defaults to 255.
    """
    for loader in loaders:
        info = loader(info)
    found = np.unique(info['gt_seg_map'])
    return found[found != ignored].astype(int).tolist()


def sampled(count):
    """Samples whose label maps are read, since each is a file."""
    if count <= _MOST_MAPS:
        return np.arange(count)
    picked = np.random.default_rng(0).choice(count, _MOST_MAPS, replace=False)
    return np.sort(picked)


def ranks_of(scores):
    """Rank of each sample from 1, the hardest; of equal scores the first."""
    ranks = np.empty(len(scores), np.int64)
    ranks[np.argsort(-scores, kind='stable')] = np.arange(1, len(scores) + 1)
    return ranks


def percentiles_of(ranks):
    """Share of the samples that are easier, in per cent."""
    return 100 * (len(ranks) - ranks) / max(1, len(ranks) - 1)


def quantiles_of(scores):
    """Quantiles of the scores of samples that have been seen."""
    seen = scores[scores != 0]
    return np.quantile(seen if len(seen) else scores, QUANTILES)


def mean_scores(snapshots):
    """Mean score of each sample over all checkpoints, shape (N,).

    A sample with a wrong label is hard for long, even where a model learns
    it by heart in the end. The middle of the first pass knows too little.
    """
    snapshots = [s for s in snapshots if s.passes >= 1] or snapshots
    total = 0.0
    for snapshot in snapshots:
        total = total + snapshot.scores.astype(np.float64)
    return total / len(snapshots)


def wilson(successes, trials, z):
    """Interval of a share: Wilson, JASA 22, 1927.

    Args:
        successes (ndarray): Counts.
        trials (ndarray): Counts, at least 1.
        z (float): Standard deviations.

    Returns:
        tuple[ndarray, ndarray]: Lower and upper bounds.
    """
    share = successes / trials
    width = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / width
    spread = np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) * (
        z / width
    )
    return centre - spread, centre + spread


def summarise_classes(scores, weights, labels, names):
    """Scores and keep rates of each class.

    Args:
        scores (ndarray): Shape (N,).
        weights (ndarray, optional): Weight of each sample, 0 if pruned.
        labels (Labels): Classes of the samples.
        names (list[str], optional): Names of the classes.

    Returns:
        list[dict]: A row a class that occurs, the hardest median first. With
        weights ``kept`` (share), ``low`` and ``high`` (its 95 % interval,
        wider for many classes so that one false alarm in all of them has
        5 %), ``weight`` (mean loss weight over all samples of the class) and
        ``starved`` (whether the interval is below the mean of all samples).
    """
    order = np.argsort(labels.classes, kind='stable')
    samples, classes = labels.samples[order], labels.classes[order]
    present, starts = np.unique(classes, return_index=True)
    rows = []
    for label, members in zip(present, np.split(samples, starts[1:])):
        quantiles = np.quantile(scores[members], QUANTILES)
        rows.append(
            dict(
                name=class_name(names, label),
                count=len(members),
                quantiles=[float(q) for q in quantiles],
                members=members,
            )
        )
    if weights is not None:
        add_keep_rates(rows, weights)
    for row in rows:
        del row['members']
    return sorted(rows, key=lambda row: -row['quantiles'][2])


def add_keep_rates(rows, weights):
    """Add what is kept of each class to its row."""
    overall = float((weights > 0).mean())
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(rows)))
    for row in rows:
        of_class = weights[row.pop('members')]
        kept = int((of_class > 0).sum())
        low, high = wilson(kept, len(of_class), z)
        row.update(
            kept=kept / len(of_class),
            low=float(max(low, 0)),
            high=float(min(high, 1)),
            weight=float(of_class.mean()),
            starved=bool(high < overall),
            members=None,
        )


def saved(snapshot, scalars, total_steps, indices):
    """What pruning saved by the last checkpoint.

    Args:
        snapshot (Snapshot): The checkpoint.
        scalars (Scalars): What was logged.
        total_steps (int): Iterations of the whole unpruned run.
        indices (int): Length of the dataset.

    Returns:
        dict: ``visits`` (share that was saved by the end of the pass in
        hand), ``iterations`` that were not made, ``of_iterations``,
        ``seconds`` an iteration and the estimate ``time`` saved in seconds,
        the last two None where no time was logged.
    """
    numbers, per_pass = snapshot.numbers, snapshot.per_pass
    steps = min(round(snapshot.passes * per_pass), total_steps)
    of_pass = indices
    if numbers['denominator'] > 1:  # a stream, counted in samples
        of_pass = numbers['numerator']
    ends = min((numbers['number'] + 1) * per_pass, total_steps)
    times = scalars.values('time')
    seconds = float(np.mean(times)) if times else None
    iterations = max(0, steps - snapshot.iteration)
    return dict(
        visits=max(0.0, 1 - numbers['visited'] / (ends / per_pass * of_pass)),
        iterations=iterations,
        of_iterations=steps,
        seconds=seconds,
        time=None if seconds is None else iterations * seconds,
    )
