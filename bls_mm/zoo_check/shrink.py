"""Make a training config small: stubs for its data and model, few passes."""

import itertools
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, OPTIMIZERS, init_default_scope

from bls_mm.config.pruning import list_hooks, type_name
from bls_mm.datasets.sample_ids import one_round, sample_ids

from .stubs import StubDataset, StubMix, StubModel, stub_video_dataset

PASSES = 4  # the first and the last are not pruned
BATCHES = 5  # in a pass, about
# Hooks that replace the pipeline or the loader, restart it, draw extra batches
# or schedule by its length.
LOADER_HOOKS = (
    'BLSHook',
    'DisableObjectSampleHook',
    'PGGANFetchDataHook',
    'PipelineSwitchHook',
    'PreciseBNHook',
    'SwitchRecipeHook',
    'YOLOXModeSwitchHook',
    'YOLOXPoseModeSwitchHook',
)
LOADER_KEYS = (
    'batch_size',
    'batch_sampler',
    'drop_last',
    'num_batch_per_epoch',
    'sampler',
)
OPTIMIZER_KEYS = ('optimizer', 'accumulative_counts', 'clip_grad')
# Of schedulers, what counts epochs or iterations.
NUMBERS = ('begin', 'end', 'T_max', 'step_size', 'total_steps', 'interval')
# Of hooks, what counts epochs, and what counts iterations.
EPOCHS = (
    'disable_after_epoch',
    'num_last_epochs',
    'switch_epoch',
    'warmup_epochs',
)
ITERATIONS = ('warmup_mim_iter', 'warmup_min_iter')


def small_settings(cfg: Config) -> Dict[str, Any]:
    """Settings of a runner that trains a config in a moment.

    Its dataset wrappers, sampler, batch sampler, loop, schedules, optimizer
    and the hooks that touch the data loader stay; the default scope becomes
    that of the config.

    Args:
        cfg (Config): The config. It is not changed.

    Returns:
        dict: Arguments of ``Runner``, without a work dir.
    """
    settings = cfg.to_dict()
    scope = settings.get('default_scope') or 'mmengine'
    init_default_scope(scope)
    loader = settings['train_dataloader']
    batch_size = loader.get('batch_size') or 1
    size = BATCHES * batch_size + 1
    dataset = DATASETS.build(stub_datasets(loader['dataset'], size))
    if len(dataset) < size:  # a wrapper takes a part of them only
        size = -(-size * size // len(dataset))
        dataset = DATASETS.build(stub_datasets(loader['dataset'], size))
    pass_size = len(dataset)
    if 'max_iters' in settings['train_cfg'] and not loader.get(
        'batch_sampler'
    ):
        a_round = one_round(sample_ids(dataset))
        pass_size = pass_size if a_round is None else len(a_round)
    schedulers = _listed(settings.get('param_scheduler'))
    scale = Scale(settings['train_cfg'], pass_size / batch_size, schedulers)
    model, optimizer = _small_model(settings['optim_wrapper'])
    return dict(
        model=model,
        train_dataloader=_small_loader(loader, dataset),
        train_cfg=_small_loop(scale.cfg),
        optim_wrapper=optimizer,
        param_scheduler=_each(scale.scheduler, settings),
        custom_hooks=[
            scale.hook(hook)
            for hook in list_hooks(settings)
            if type_name(hook) in LOADER_HOOKS
        ],
        default_hooks=dict(
            timer=None,
            logger=None,
            checkpoint=None,
            param_scheduler=_scheduler_hook(settings, scale),
        ),
        default_scope=scope,
        randomness=dict(seed=0),
    )


class Scale:
    """How much shorter a run gets: its numbers of epochs and iterations.

    Args:
        cfg (dict): ``train_cfg``.
        pass_length (float): Iterations of a pass over the stubs.
        schedulers (list[dict]): ``param_scheduler``.

    Attributes:
        cfg (dict): ``train_cfg`` of the short run.
    """

    def __init__(
        self,
        cfg: Dict[str, Any],
        pass_length: float,
        schedulers: List[Dict[str, Any]],
    ) -> None:
        self.cfg = dict(cfg)
        if 'max_iters' in cfg:
            self.cfg['max_iters'] = round(PASSES * pass_length)
            self._iters = self.cfg['max_iters'] / cfg['max_iters']
            self._epochs = 1.0
        else:
            self.cfg['max_epochs'] = PASSES
            self._epochs = PASSES / cfg['max_epochs']
            # Iterations are those of a warm-up, within the first epoch.
            warm_up = [s.get('end', 0) for s in schedulers if not _by_epoch(s)]
            self._iters = pass_length / max([1, *warm_up])

    def __call__(self, value: int, by_epoch: bool) -> int:
        """Shorten a number of epochs or iterations."""
        if not 0 < value < 1e8:  # MMEngine's infinity is 1e9
            return value
        return max(
            1, round(value * (self._epochs if by_epoch else self._iters))
        )

    def scheduler(self, cfg: Dict[str, Any]) -> Dict[str, Any]:
        """Shorten a parameter scheduler."""
        cfg, by_epoch = dict(cfg), _by_epoch(cfg)
        for key in NUMBERS:
            if cfg.get(key) is not None:
                cfg[key] = self(cfg[key], by_epoch)
        for key in ('milestones', 'periods'):
            if key in cfg:
                cfg[key] = [self(value, by_epoch) for value in cfg[key]]
        if 'begin' in cfg and 'end' in cfg:
            cfg['begin'] = min(cfg['begin'], cfg['end'] - 1)
        return cfg

    def hook(self, cfg: Dict[str, Any]) -> Dict[str, Any]:
        """Move the epoch at which a hook acts."""
        cfg = dict(cfg)
        for key in EPOCHS:
            if key in cfg:
                cfg[key] = min(self(cfg[key], True), PASSES - 1)
        for key in ITERATIONS:
            if key in cfg:
                cfg[key] = self(cfg[key], False)
        for key in ('max_epochs', 'total_epochs'):
            if key in cfg:
                cfg[key] = self(cfg[key], True)
        if 'switch_pipeline' in cfg:
            cfg['switch_pipeline'] = [dict(type=StubMix)]
        for key in ('new_train_dataset', 'new_train_pipeline'):
            if key in cfg:  # the same stubs
                cfg[key] = None
        if 'schedule' in cfg:
            cfg['schedule'] = [
                dict(recipe, action_epoch=epoch)
                for epoch, recipe in enumerate(cfg['schedule'], 1)
            ]
        return cfg


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


def _small_loader(cfg: Dict[str, Any], dataset: Any) -> Dict[str, Any]:
    """A loader of a config that needs no workers."""
    loader = _picked(cfg, LOADER_KEYS)
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


def _small_loop(cfg: Dict[str, Any]) -> Dict[str, Any]:
    """A loop that may have loaders of its own."""
    if 'other_loaders' not in cfg:
        return cfg
    loaders = []
    for loader in cfg['other_loaders']:
        size = BATCHES * (loader.get('batch_size') or 1) + 1
        dataset = DATASETS.build(stub_datasets(loader['dataset'], size))
        loaders.append(_small_loader(loader, dataset))
    return dict(cfg, other_loaders=loaders)


def _small_model(cfg: Dict[str, Any]) -> Tuple[Any, Any]:
    """The stub for a model, and optimizers for it that run on the CPU.

    Args:
        cfg (dict): ``optim_wrapper``.
    """
    parts = [name for name, each in cfg.items() if _is_wrapper(each)]
    if parts and 'optimizer' not in cfg:
        model = StubModel(parts)
        wrappers = {}
        for name, part in zip(parts, model.parts):
            settings = _picked(cfg[name], OPTIMIZER_KEYS)
            optimizer = dict(settings['optimizer'], params=part.parameters())
            if 'betas' in optimizer:  # torch has become strict with them
                optimizer['betas'] = tuple(map(float, optimizer['betas']))
            settings['optimizer'] = OPTIMIZERS.build(optimizer)
            wrappers[name] = OptimWrapper(**settings)
        return model, wrappers
    small = dict(_picked(cfg, OPTIMIZER_KEYS), type='OptimWrapper')
    if 'batch_size_per_gpu' in small.get('optimizer', {}):
        # Constructors of mmyolo, which read it.
        small.update(_picked(cfg, ('constructor', 'paramwise_cfg')))
    return dict(type=StubModel), small


def _is_wrapper(cfg: Any) -> bool:
    return isinstance(cfg, dict) and 'optimizer' in cfg


def _scheduler_hook(settings: Dict[str, Any], scale: Scale) -> Dict[str, Any]:
    """The hook that steps the schedules, or sets the rates on its own."""
    hooks = settings.get('default_hooks') or {}
    return scale.hook(
        hooks.get('param_scheduler') or dict(type='ParamSchedulerHook')
    )


def _each(function: Any, settings: Dict[str, Any]) -> Any:
    """Shorten all schedules, or those of each optimizer."""
    value = settings.get('param_scheduler')
    if isinstance(value, dict) and 'type' not in value:
        return {
            name: [function(each) for each in _listed(some)]
            for name, some in value.items()
        }
    return [function(each) for each in _listed(value)]


def _listed(value: Any) -> List[Dict[str, Any]]:
    """A setting that may be one, several, some by name or none."""
    if not value:
        return []
    if isinstance(value, dict) and 'type' not in value:
        return [each for some in value.values() for each in _listed(some)]
    return [value] if isinstance(value, dict) else list(value)


def _picked(cfg: Dict[str, Any], keys: Any) -> Dict[str, Any]:
    return {key: cfg[key] for key in keys if cfg.get(key) is not None}


def _by_epoch(scheduler: Dict[str, Any]) -> bool:
    return scheduler.get('by_epoch', True)
