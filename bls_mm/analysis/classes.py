"""The classes of samples: their scores, and what is kept of each."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from bls_mm.visualization.samples import class_name

from .statistics import QUANTILES

_MOST_MAPS = 5000


@dataclass
class Labels:
    """The classes of samples, as pairs.

    Attributes:
        samples (ndarray): Sample of each pair, int64, shape (M,).
        classes (ndarray): Class of each pair, int64, shape (M,).
        single (bool): Whether each sample has one class at most.
        checked (int): Samples whose classes are known.
    """

    samples: np.ndarray
    classes: np.ndarray
    single: bool
    checked: int


def classes_of(info: Dict[str, Any]) -> List[int]:
    """The classes that the annotation of a sample names.

    Args:
        info (dict): What a dataset's ``get_data_info`` returns.

    Returns:
        list[int]: Each class once, ascending; empty if none is named.
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


def map_classes(
    info: Dict[str, Any], loaders: Sequence[Any], ignored: int = 255
) -> List[int]:
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


def sampled(count: int) -> np.ndarray:
    """Samples whose label maps are read, 5,000 at most: each is a file.

    Args:
        count (int): Number of samples N.

    Returns:
        ndarray: Int64, shape (min(N, 5000),), ascending.
    """
    if count <= _MOST_MAPS:
        return np.arange(count)
    picked = np.random.default_rng(0).choice(count, _MOST_MAPS, replace=False)
    return np.sort(picked)


def wilson(successes: int, trials: int, z: float) -> Tuple[float, float]:
    """Interval of a share: Wilson, JASA 22, 1927.

    Args:
        successes (int): Their count.
        trials (int): Their count, at least 1.
        z (float): Standard deviations.

    Returns:
        tuple[float, float]: Lower and upper bound, in [0, 1].
    """
    share = successes / trials
    width = 1 + z**2 / trials
    centre = (share + z**2 / (2 * trials)) / width
    spread = np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) * (
        z / width
    )
    return max(0.0, float(centre - spread)), min(1.0, float(centre + spread))


def summarise_classes(
    scores: np.ndarray,
    weights: Optional[np.ndarray],
    labels: Labels,
    names: Optional[Sequence[str]],
) -> List[Dict[str, Any]]:
    """Scores and keep rates of each class.

    Args:
        scores (ndarray): Shape (N,).
        weights (ndarray, optional): Weight of each sample, shape (N,), 0 if
            pruned.
        labels (Labels): Classes of the samples.
        names (list[str], optional): Names of the classes.

    Returns:
        list[dict]: A row for each class that occurs, the hardest median
        first: ``name``, ``count`` and ``quantiles`` of its scores. With
        weights also ``kept`` (share), ``low`` and ``high`` (its 95 %
        interval, wider for many classes so that one false alarm in all of
        them has 5 %), ``weight`` (mean loss weight over all samples of the
        class) and ``starved`` (whether the interval is below the mean of all
        samples).
    """
    order = np.argsort(labels.classes, kind='stable')
    samples, classes = labels.samples[order], labels.classes[order]
    present, starts = np.unique(classes, return_index=True)
    overall = None if weights is None else float((weights > 0).mean())
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(present)))
    rows = []
    for label, members in zip(present, np.split(samples, starts[1:])):
        quantiles = np.quantile(scores[members], QUANTILES)
        row = dict(
            name=class_name(names, label),
            count=len(members),
            quantiles=quantiles.tolist(),
        )
        if weights is not None:
            row.update(_keep_rate(weights[members], overall, z))
        rows.append(row)
    return sorted(rows, key=lambda row: -row['quantiles'][2])


def _keep_rate(
    weights: np.ndarray, overall: Optional[float], z: float
) -> Dict[str, Any]:
    """What is kept of a class, by the weights of its samples."""
    kept = int((weights > 0).sum())
    low, high = wilson(kept, len(weights), z)
    return dict(
        kept=kept / len(weights),
        low=low,
        high=high,
        weight=float(weights.mean()),
        starved=bool(overall is not None and high < overall),
    )
