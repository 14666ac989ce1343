"""The samples whose true losses are measured."""

import copy
from typing import Any, Dict

from mmengine.config import Config
from mmengine.registry import DATASETS


def make_true_loss_dataset(cfg: Config) -> Dict[str, Any]:
    """Configure the training samples with the pipeline of the validation data.

    Index `i` is the sample with score `i`. In the pipelines of OpenMMLab it
    loads annotations too, and nothing in it is random.

    Args:
        cfg (Config): The config of the training.

    Returns:
        dict: The config of a dataset of N samples, without the datasets that
        repeat them.

    Raises:
        ValueError: If the dataset is put together from several or cut by
            ``num_batch_per_epoch``, or there is no pipeline.
    """
    loader = cfg.train_dataloader
    dataset = copy.deepcopy(_unwrapped(loader.dataset))
    if 'datasets' in dataset:
        raise ValueError(
            'True losses of concatenated datasets are not supported, but '
            f'`train_dataloader.dataset` has a {dataset["type"]}.'
        )
    if loader.get('num_batch_per_epoch') is not None:
        raise ValueError(
            'True losses of a part of a dataset are not supported: remove '
            '`train_dataloader.num_batch_per_epoch`.'
        )
    if not cfg.get('val_dataloader'):
        raise ValueError(
            'The config has no `val_dataloader`, whose pipeline reads the '
            'samples for their true losses.'
        )
    validation = _unwrapped(cfg.val_dataloader.dataset)
    if 'pipeline' not in validation:
        raise ValueError(
            '`val_dataloader.dataset` should have a `pipeline`, which reads '
            'the samples for their true losses, but got a '
            f'{validation["type"]} without one.'
        )
    dataset['pipeline'] = validation['pipeline']
    return dataset


def _unwrapped(dataset: Dict[str, Any]) -> Dict[str, Any]:
    while 'dataset' in dataset:  # RepeatDataset and its kin
        dataset = dataset['dataset']
    return dataset


def build_true_loss_dataset(cfg: Config) -> Any:
    """Build what :func:`make_true_loss_dataset` returns.

    Raises:
        ValueError: As there.
    """
    return DATASETS.build(
        make_true_loss_dataset(cfg),
        default_args=dict(_scope_=cfg.get('default_scope')),
    )


def check_true_loss_dataset(dataset: Any, count: int) -> None:
    """Refuse a dataset of other samples than those that have scores.

    Args:
        dataset (Dataset): From :func:`build_true_loss_dataset`.
        count (int): Number of samples that the run scores.

    Raises:
        ValueError: If it has another number of them.
    """
    if len(dataset) != count:
        raise ValueError(
            'True losses of a part of a dataset are not supported: '
            f'`train_dataloader` scores {count} samples, but its dataset '
            f'without wrappers has {len(dataset)}.'
        )
