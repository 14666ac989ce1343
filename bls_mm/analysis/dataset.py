"""The training dataset of a run, as far as it can be read."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import Subset

from bls_mm.datasets.sample_ids import SampleIds, first_indices, sample_ids
from bls_mm.datasets.wrappers import Source, find_source, innermost

from .classes import classes_of, map_classes, sampled
from .snapshots import Snapshot


def build_dataset(cfg: Config, world_size: int = 1) -> Tuple[Any, SampleIds]:
    """Build the training dataset as the runner does.

    Args:
        cfg (Config): The config.
        world_size (int): Ranks of the training, which decide where
            ``num_batch_per_epoch`` cuts. Defaults to 1.

    Returns:
        tuple[Dataset, SampleIds]: The dataset and its samples.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader = cfg.train_dataloader
    dataset = DATASETS.build(loader.dataset)
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if loader.get('num_batch_per_epoch'):
        size = loader.num_batch_per_epoch * loader.batch_size * world_size
        dataset = Subset(dataset, range(min(size, len(dataset))))
    return dataset, sample_ids(dataset)


class Data:
    """The samples of a run with what is known about them.

    Args:
        cfg (Config): The config.
        snapshot (Snapshot): A checkpoint of the run.

    Attributes:
        count (int): Samples.
        dataset (Dataset, optional): None where it cannot be used.
        indices (ndarray): First index of each sample, int64, shape (count,).
        names (list[str], optional): Names of the classes.
        problem (str, optional): Why something is not known.
    """

    def __init__(self, cfg: Config, snapshot: Snapshot) -> None:
        self.count = len(snapshot.scores)
        self.dataset: Any = None
        self.names: Optional[Sequence[str]] = None
        self.problem: Optional[str] = None
        self.indices = np.arange(self.count)
        self._loaders: List[Any] = []
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
    def length(self) -> int:
        """Indices of the dataset."""
        return self.count if self.dataset is None else len(self.dataset)

    def source(self, sample: int) -> Source:
        """Where a sample comes from."""
        return find_source(self.dataset, int(self.indices[sample]))

    def info(self, sample: int) -> Dict[str, Any]:
        """The annotation of a sample; empty if there is none."""
        if self.dataset is None or not self._has_info:
            return {}
        dataset, index = innermost(self.dataset, int(self.indices[sample]))
        info = dataset.get_data_info(index)
        return info if isinstance(info, dict) else {}

    def map_classes(self) -> Dict[int, List[int]]:
        """The classes of samples that only label maps show, by sample.

        Returns:
            dict: Empty where annotations name classes; else 5,000 samples at
            most.
        """
        info = self.info(0)
        if 'seg_map_path' not in info or classes_of(info) or not self._loaders:
            return {}
        try:
            return {
                sample: map_classes(self.info(sample), self._loaders)
                for sample in sampled(self.count).tolist()
            }
        except Exception as error:  # of files and transforms
            self.problem = (
                'The label maps could not be read, so nothing is known about '
                f'classes. {type(error).__name__}: {error}'
            )
            return {}
