"""Make a training config small: stubs for its data and model, few passes."""

import itertools

import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope
from torch import nn

from bls_mm.datasets.sample_ids import one_round, sample_ids

PASSES = 4  # the first and the last are not pruned
BATCHES = 5  # in a pass, about
FRAMES = 3  # of a video
# Hooks that replace the pipeline, restart the loader or draw extra batches.
LOADER_HOOKS = (
    'BLSHook',
    'PipelineSwitchHook',
    'PreciseBNHook',
    'SwitchRecipeHook',
    'YOLOXModeSwitchHook',
)


class StubDataset(BaseDataset):
    """Samples that only know their number and what samplers ask for."""

    METAINFO = dict(classes=('common', 'rare'))

    def __init__(self, size, offset):
        self.size, self.offset = size, offset
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [
            dict(number=number, **_image_size(number))
            for number in range(self.offset, self.offset + self.size)
        ]

    def prepare_data(self, idx):
        # Not through `self.pipeline`, which hooks replace by a real one.
        return dict(number=self.get_data_info(idx)['number'])

    def get_cat_ids(self, idx):
        return [0] if self.get_data_info(idx)['number'] % 5 else [0, 1]


def stub_video_dataset():
    """A stub for configs of videos; its base class is mmdet's."""
    from mmdet.datasets.base_video_dataset import BaseVideoDataset

    class StubVideoDataset(BaseVideoDataset):
        METAINFO = StubDataset.METAINFO
        get_cat_ids = StubDataset.get_cat_ids

        def __init__(self, size, offset):
            self.size, self.offset = size, offset
            super().__init__(serialize_data=False)

        def load_data_list(self):
            return [
                dict(number=number, images=[_image_size(number)] * FRAMES)
                for number in range(self.offset, self.offset + self.size)
            ]

        def filter_data(self):
            return self.data_list

        def prepare_data(self, idx):
            video, frame = idx if isinstance(idx, tuple) else (idx, 0)
            number = self.get_data_info(video)['number']
            return dict(number=number * FRAMES + frame)

    return StubVideoDataset


class StubMix:
    """A transform of ``MultiImageMixDataset`` that draws other images."""

    def get_indices(self, dataset):
        return [0, len(dataset) - 1]

    get_indexes = get_indices  # what mmdet calls it

    def __call__(self, results):
        return results


class StubModel(BaseModel):
    """One parameter, and a loss that depends on the samples of the batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm1d(1, affine=False)  # for PreciseBNHook
        self.bbox_head = nn.Module()  # for YOLOXModeSwitchHook
        self.loss_module = nn.Module()  # for SwitchRecipeHook

    def forward(self, number, mode='tensor'):
        self.norm(number.float().repeat(2)[:, None])
        loss = (number % 7).float().mean() + 0 * self.weight.sum()
        return dict(loss=loss) if mode == 'loss' else loss


def _image_size(number):
    """Two thirds are wide, one third is upright."""
    return dict(width=3 if number % 3 else 1, height=2)


# Settings


def stub_datasets(cfg, size, number=None):
    """Replace the datasets in the config of a dataset, keep its wrappers.

    Args:
        cfg (dict): The config.
        size (int): Samples of all datasets together.
        number (Iterator, optional): Counts the datasets.

    Returns:
        dict: The new config.
    """
    if number is None:
        leaf_size = -(-size // count_leaves(cfg))
        return stub_datasets(cfg, leaf_size, itertools.count())
    cfg = dict(cfg)
    if 'datasets' in cfg:
        cfg['datasets'] = [
            stub_datasets(c, size, number) for c in cfg['datasets']
        ]
    elif 'dataset' in cfg:
        cfg['dataset'] = stub_datasets(cfg['dataset'], size, number)
    else:
        return dict(type=stub_type(cfg), size=size, offset=next(number) * size)
    if 'pipeline' in cfg:
        cfg['pipeline'] = [dict(type=StubMix)]
    if 'oversample_thr' in cfg:
        cfg['oversample_thr'] = 0.9  # so that the rare class is repeated
    return cfg


def count_leaves(cfg):
    """Number of datasets in the config of a dataset."""
    if 'datasets' in cfg:
        return sum(map(count_leaves, cfg['datasets']))
    return count_leaves(cfg['dataset']) if 'dataset' in cfg else 1


def stub_type(cfg):
    """The stub for a dataset: of videos or of images."""
    with DATASETS.switch_scope_and_registry(cfg.get('_scope_')) as registry:
        cls = registry.get(cfg['type'])
    # Not a class where the package has no dataset of an optional dependency.
    bases = cls.__mro__ if isinstance(cls, type) else ()
    if any(base.__name__ == 'BaseVideoDataset' for base in bases):
        return stub_video_dataset()
    return StubDataset


def small_sampler(cfg, dataset):
    """Fit the settings of a sampler to the size of the stubs."""
    cfg = dict(cfg)
    if 'inner' in cfg:
        cfg['inner'] = small_sampler(cfg['inner'], dataset)
    if 'dataset_size' in cfg and not cfg.get('ratio_mode'):
        cfg['dataset_size'] = [
            min(size, len(part))
            for size, part in zip(cfg['dataset_size'], dataset.datasets)
        ]
    return cfg


class Scale:
    """How much shorter a run gets: its numbers of epochs and iterations.

    Args:
        cfg (dict): ``train_cfg``.
        pass_length (float): Iterations of a pass over the stubs.
        schedulers (list[dict]): ``param_scheduler``.
    """

    def __init__(self, cfg, pass_length, schedulers):
        self.cfg = dict(cfg)
        if 'max_iters' in cfg:
            self.cfg['max_iters'] = round(PASSES * pass_length)
            self._iters = self.cfg['max_iters'] / cfg['max_iters']
            self._epochs = 1
        else:
            self.cfg['max_epochs'] = PASSES
            self._epochs = PASSES / cfg['max_epochs']
            # Iterations are those of a warm-up, within the first epoch.
            warm_up = [s.get('end', 0) for s in schedulers if not _by_epoch(s)]
            self._iters = pass_length / max([1, *warm_up])

    def __call__(self, value, by_epoch):
        if not 0 < value < 1e8:  # MMEngine's infinity is 1e9
            return value
        return max(
            1, round(value * (self._epochs if by_epoch else self._iters))
        )

    def scheduler(self, cfg):
        """Shorten a parameter scheduler."""
        cfg, by_epoch = dict(cfg), _by_epoch(cfg)
        for key in ('begin', 'end', 'T_max', 'step_size', 'total_steps'):
            if cfg.get(key) is not None:
                cfg[key] = self(cfg[key], by_epoch)
        for key in ('milestones', 'periods'):
            if key in cfg:
                cfg[key] = [self(value, by_epoch) for value in cfg[key]]
        if 'begin' in cfg and 'end' in cfg:
            cfg['begin'] = min(cfg['begin'], cfg['end'] - 1)
        return cfg

    def hook(self, cfg):
        """Move the epoch at which a hook acts."""
        cfg = dict(cfg)
        for key in ('switch_epoch', 'num_last_epochs'):
            if key in cfg:
                cfg[key] = min(self(cfg[key], True), PASSES - 1)
        if 'schedule' in cfg:
            cfg['schedule'] = [
                dict(recipe, action_epoch=epoch)
                for epoch, recipe in enumerate(cfg['schedule'], 1)
            ]
        return cfg


def _by_epoch(scheduler):
    return scheduler.get('by_epoch', True)


def type_name(cfg):
    """Name of a config's type, which may be a class or have a scope."""
    kind = cfg['type']
    return getattr(kind, '__name__', str(kind)).rpartition('.')[-1]


def _listed(value):
    """A setting that may be one, several or none."""
    if not value:
        return []
    return [value] if isinstance(value, dict) else list(value)


def small_settings(cfg):
    """Settings of a runner that trains a config in a moment.

    Args:
        cfg (Config): The config.
    """
    cfg = cfg.to_dict()
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    loader = dict(cfg['train_dataloader'])
    batch_size = loader.get('batch_size') or 1
    dataset = DATASETS.build(
        stub_datasets(loader['dataset'], BATCHES * batch_size + 1)
    )
    pass_size = len(dataset)
    if 'max_iters' in cfg['train_cfg'] and not loader.get('batch_sampler'):
        a_round = one_round(sample_ids(dataset))
        pass_size = pass_size if a_round is None else len(a_round)
    schedulers = _listed(cfg.get('param_scheduler'))
    scale = Scale(cfg['train_cfg'], pass_size / batch_size, schedulers)
    return dict(
        model=dict(type=StubModel),
        train_dataloader=small_loader(loader, dataset),
        train_cfg=scale.cfg,
        optim_wrapper=cpu_optimizer(cfg['optim_wrapper']),
        param_scheduler=[scale.scheduler(s) for s in schedulers],
        custom_hooks=[
            scale.hook(hook)
            for hook in hooks_of(cfg)
            if type_name(hook) in LOADER_HOOKS
        ],
        default_hooks=dict(timer=None, logger=None, checkpoint=None),
        default_scope=cfg.get('default_scope') or 'mmengine',
        randomness=dict(seed=0),
    )


def small_loader(cfg, dataset):
    """A loader of a config that needs no workers."""
    kept = ('batch_size', 'sampler', 'batch_sampler', 'drop_last')
    kept += ('num_batch_per_epoch',)
    loader = {key: cfg[key] for key in kept if key in cfg}
    if 'sampler' in loader:
        loader['sampler'] = small_sampler(loader['sampler'], dataset)
    return dict(
        loader,
        dataset=dataset,
        num_workers=0,
        collate_fn=dict(type='default_collate'),
    )


def cpu_optimizer(cfg):
    """An optimizer wrapper that runs on the CPU, for one parameter."""
    kept = ('optimizer', 'accumulative_counts', 'clip_grad')
    small = {key: cfg[key] for key in kept if cfg.get(key) is not None}
    return dict(small, type='OptimWrapper')


def hooks_of(cfg):
    yield from _listed(cfg.get('custom_hooks'))
    for hook in (cfg.get('default_hooks') or {}).values():
        if hook:
            yield hook
