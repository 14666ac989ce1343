"""Make a training config small: stubs for its data and model, few passes."""

from typing import Any, Dict, List, Tuple

from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, OPTIMIZERS, init_default_scope

from bls_mm.config.pruning import list_hooks, type_name
from bls_mm.datasets.sample_ids import one_round, sample_ids

from .scale import Scale
from .small_data import BATCHES, pick, small_loader, small_loop, stub_datasets
from .stubs import StubModel

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
OPTIMIZER_KEYS = ('optimizer', 'accumulative_counts', 'clip_grad')


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
        train_dataloader=small_loader(loader, dataset),
        train_cfg=small_loop(scale.cfg),
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
            settings = pick(cfg[name], OPTIMIZER_KEYS)
            optimizer = dict(settings['optimizer'], params=part.parameters())
            if 'betas' in optimizer:  # torch has become strict with them
                optimizer['betas'] = tuple(map(float, optimizer['betas']))
            settings['optimizer'] = OPTIMIZERS.build(optimizer)
            wrappers[name] = OptimWrapper(**settings)
        return model, wrappers
    small = dict(pick(cfg, OPTIMIZER_KEYS), type='OptimWrapper')
    if 'batch_size_per_gpu' in small.get('optimizer', {}):
        # Constructors of mmyolo, which read it.
        small.update(pick(cfg, ('constructor', 'paramwise_cfg')))
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
