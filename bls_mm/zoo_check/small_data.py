"""Datasets and DataLoaders of a config, with stubs for the data."""

import itertools
from typing import Any, Dict, Iterator, Optional

from mmengine.registry import DATASETS

from bls_mm.config.pruning import type_name

from .stubs import StubDataset, StubMix, stub_video_dataset

BATCHES = 5  # in a pass, about
LOADER_KEYS = (
    'batch_size',
    'batch_sampler',
    'drop_last',
    'num_batch_per_epoch',
    'sampler',
)


def stub_datasets(
    cfg: Dict[str, Any], size: int, number: Optional[Iterator[int]] = None
) -> Dict[str, Any]:
    """Replace the datasets in the config of a dataset, keep its wrappers.

    Args:
        cfg (dict): The config.
        size (int): Samples of all datasets together.
        number (Iterator, optional): Counts the datasets. Defaults to None.

    Returns:
        dict: The new config.
    """
    if number is None:
        leaf_size = -(-size // _count_leaves(cfg))
        return stub_datasets(cfg, leaf_size, itertools.count())
    cfg = dict(cfg)
    if 'datasets' in cfg:
        cfg['datasets'] = [
            stub_datasets(c, size, number) for c in cfg['datasets']
        ]
    elif 'dataset' in cfg:
        cfg['dataset'] = stub_datasets(cfg['dataset'], size, number)
    else:
        offset = next(number) * size
        return dict(type=_stub_type(cfg), size=size, offset=offset)
    if 'pipeline' in cfg or type_name(cfg) == 'CombinedDataset':
        cfg['pipeline'] = [dict(type=StubMix)]
    if 'oversample_thr' in cfg:
        cfg['oversample_thr'] = 0.9  # so that the rare class is repeated
    return cfg


def _count_leaves(cfg: Dict[str, Any]) -> int:
    """Number of datasets in the config of a dataset."""
    if 'datasets' in cfg:
        return sum(map(_count_leaves, cfg['datasets']))
    return _count_leaves(cfg['dataset']) if 'dataset' in cfg else 1


def _stub_type(cfg: Dict[str, Any]) -> type:
    """The stub for a dataset, of videos or of images, with its name."""
    with DATASETS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
        cls = registry.get(cfg['type'])
    # Not a class where the package has no dataset of an optional dependency.
    bases = cls.__mro__ if isinstance(cls, type) else ()
    stub: type = StubDataset
    if any(base.__name__ == 'BaseVideoDataset' for base in bases):
        stub = stub_video_dataset()
    return type(type_name(cfg), (stub,), {})


def small_loader(cfg: Dict[str, Any], dataset: Any) -> Dict[str, Any]:
    """A loader of a config that needs no workers."""
    loader = pick(cfg, LOADER_KEYS)
    if 'sampler' in loader:
        loader['sampler'] = _small_sampler(loader['sampler'], dataset)
    collate = dict(type='default_collate')
    return dict(loader, dataset=dataset, num_workers=0, collate_fn=collate)


def _small_sampler(cfg: Dict[str, Any], dataset: Any) -> Dict[str, Any]:
    """Fit the settings of a sampler to the size of the stubs."""
    cfg = dict(cfg)
    if 'inner' in cfg:
        cfg['inner'] = _small_sampler(cfg['inner'], dataset)
    if 'dataset_size' in cfg and not cfg.get('ratio_mode'):
        cfg['dataset_size'] = [
            min(size, len(part))
            for size, part in zip(cfg['dataset_size'], dataset.datasets)
        ]
    return cfg


def small_loop(cfg: Dict[str, Any]) -> Dict[str, Any]:
    """A loop that may have loaders of its own."""
    if 'other_loaders' not in cfg:
        return cfg
    loaders = []
    for loader in cfg['other_loaders']:
        size = BATCHES * (loader.get('batch_size') or 1) + 1
        dataset = DATASETS.build(stub_datasets(loader['dataset'], size))
        loaders.append(small_loader(loader, dataset))
    return dict(cfg, other_loaders=loaders)


def pick(cfg: Dict[str, Any], keys: Any) -> Dict[str, Any]:
    """The settings of these names that are there."""
    return {key: cfg[key] for key in keys if cfg.get(key) is not None}
