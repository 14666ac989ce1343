"""The training dataset in the report: annotations, the table, pictures."""

import csv
from array import array
from pathlib import Path

import numpy as np

from bls_mm.datasets.images import NoImagesError
from bls_mm.datasets.sample_ids import first_indices
from bls_mm.datasets.wrappers import find_source, innermost
from bls_mm.visualization.samples import SampleDrawer, class_name

from . import report
from . import statistics as stats
from .work_dir import build_dataset

COLUMNS = (
    'sample_id',
    'dataset_index',
    'score',
    'rank',
    'percentile',
    'mean_score',
    'classes',
    'kept',
    'image_path',
)
_CHUNK = 65536


class Data:
    """The training dataset of the run, as far as it can be read.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): A checkpoint of the run.

    Attributes:
        count (int): Samples.
        indices (ndarray): First index of each sample, shape (count,).
        names (list[str], optional): Names of the classes.
        problem (str, optional): Why the dataset cannot be used.
    """

    def __init__(self, cfg, snapshot):
        self.count = len(snapshot.scores)
        self.dataset = None
        self.names = None
        self.problem = None
        self.indices = np.arange(self.count)
        self._loaders = []
        try:
            dataset, samples = build_dataset(
                cfg, snapshot.numbers['world_size']
            )
        except Exception as error:  # of any dataset
            self.problem = (
                'The training dataset could not be built, so there are no '
                'pictures, classes and paths. Run the tool where the training '
                f'ran. {type(error).__name__}: {error}'
            )
            return
        if samples.count != self.count:
            self.problem = (
                f'The dataset has {samples.count} samples now, and the '
                f'checkpoint scores of {self.count}: no pictures, classes and '
                'paths.'
            )
            return
        self.dataset = dataset
        self.indices = first_indices(samples)
        source = self.source(0)
        metainfo = getattr(source.dataset, 'metainfo', {})
        self.names = metainfo.get('classes')
        self._has_info = hasattr(source.dataset, 'get_data_info')
        self._loaders = [
            t for t in source.transforms if 'Annotations' in type(t).__name__
        ]

    @property
    def length(self):
        """Indices of the dataset."""
        return self.count if self.dataset is None else len(self.dataset)

    def source(self, sample):
        """Where a sample comes from."""
        return find_source(self.dataset, int(self.indices[sample]))

    def info(self, sample):
        """The annotation of a sample, empty if there is none."""
        if self.dataset is None or not self._has_info:
            return {}
        dataset, index = innermost(self.dataset, int(self.indices[sample]))
        info = dataset.get_data_info(index)
        return info if isinstance(info, dict) else {}

    def maps_of(self):
        """Classes of samples that only their label maps tell, by sample."""
        info = self.info(0)
        has_map = 'seg_map_path' in info and not stats.classes_of(info)
        if not has_map or not self._loaders:
            return {}
        try:
            return {
                sample: stats.map_classes(self.info(sample), self._loaders)
                for sample in stats.sampled(self.count).tolist()
            }
        except Exception as error:  # of files and transforms
            self.problem = (
                'The label maps could not be read, so nothing is known about '
                f'classes. {type(error).__name__}: {error}'
            )
            return {}


def write_csv(file, data, scores, means, kept):
    """Write a row a sample, in the order of the ids.

    Args:
        file (Path): Where to.
        data (Data): The dataset.
        scores (ndarray): Shape (N,).
        means (ndarray): Mean score over all checkpoints, shape (N,).
        kept (ndarray, optional): Which are kept, bool, shape (N,).

    Returns:
        Labels: Classes of the samples, which are looked up on the way.
    """
    of_maps = data.maps_of()
    samples, classes = array('q'), array('q')
    single, checked = not of_maps, 0
    with file.open('w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for numbers in rows_of(data.indices, scores, means, kept):
            sample = numbers[0]
            info = data.info(sample)
            found = of_maps.get(sample) or stats.classes_of(info)
            samples.extend([sample] * len(found))
            classes.extend(found)
            checked += bool(found)
            single = single and len(found) < 2 and 'instances' not in info
            names = ';'.join(map(str, found))
            path = info.get('img_path') or ''
            writer.writerow((*numbers[:-1], names, numbers[-1], path))
    return stats.Labels(
        np.array(samples, np.int64),
        np.array(classes, np.int64),
        single and checked > 0,
        checked,
    )


def rows_of(indices, scores, means, kept):
    """The columns that are numbers, a row at a time, ``kept`` at the end."""
    ranks = stats.ranks_of(scores)
    percentiles = stats.percentiles_of(ranks)
    for start in range(0, len(scores), _CHUNK):
        part = slice(start, start + _CHUNK)
        shown = [''] * len(scores[part])
        if kept is not None:
            shown = kept[part].astype(int).tolist()
        yield from zip(
            range(start, start + len(shown)),
            indices[part].tolist(),
            [f'{score:.7g}' for score in scores[part].tolist()],
            ranks[part].tolist(),
            percentiles[part].round(4).tolist(),
            [f'{mean:.7g}' for mean in means[part].tolist()],
            shown,
        )


class Gallery:
    """Pictures of samples for the report.

    Args:
        cfg (Config): The config, for the visualizer of the task.
        data (Data): The dataset.
        scores (ndarray): Shape (N,).

    Attributes:
        problem (str, optional): Why there are no pictures.
    """

    def __init__(self, cfg, data, scores):
        self._data = data
        self._scores = scores
        self.problem = None
        self._visualizer = cfg.get('visualizer') or dict(type='Visualizer')
        self._drawer = None

    def show(self, samples, means=None):
        """What the template shows of samples; nothing without images."""
        if self._data.dataset is None or self.problem:
            return []
        try:
            if self._drawer is None:
                self._drawer = SampleDrawer(
                    self._data.dataset, self._visualizer
                )
            return [self._entry(int(sample), means) for sample in samples]
        except NoImagesError as error:
            self.problem = f'There are no pictures of samples, since {error}.'
        except Exception as error:  # of files, transforms, visualizers
            self.problem = (
                'The pictures of samples could not be drawn. '
                f'{type(error).__name__}: {error}'
            )
        return []

    def _entry(self, sample, means):
        picture = self._drawer.draw(int(self._data.indices[sample]))
        info = self._data.info(sample)
        classes = [
            class_name(self._data.names, label)
            for label in stats.classes_of(info)
        ]
        extra = None
        if means is not None:
            extra = f'{means[sample]:.3g} on average'
        return dict(
            id=sample,
            src=report.encode(picture),
            score=float(self._scores[sample]),
            classes=', '.join(classes),
            extra=extra,
            path=Path(info.get('img_path') or '').name,
        )
