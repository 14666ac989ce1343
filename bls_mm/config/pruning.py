"""Unpruned configs in, pruned configs out: what the tools share."""

import ast
import copy
from typing import Any, Dict, Iterator, Optional, Tuple

from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS, Registry

from bls_mm.pruners import Pruner
from bls_mm.registry import PRUNERS, SCORES, build
from bls_mm.scores import Score

SAMPLER = 'train_dataloader.sampler'
# Samplers that BLSSampler replaces, and the settings it copies from them.
PLAIN_SAMPLERS = ('DefaultSampler', 'InfiniteSampler')
PLAIN_SETTINGS = ('shuffle', 'seed', 'round_up')


def add_pruning(
    cfg: Config,
    prune: str = 'infobatch',
    prune_ratio: Optional[float] = None,
    score: Optional[str] = None,
    target_saving: Optional[float] = None,
    **pruner_settings: Any,
) -> Config:
    """Turn a training config into one that prunes its data.

    The sampler becomes a ``BLSSampler`` with the settings of the sampler it
    replaces. A sampler that does more than shuffle is wrapped instead. A
    ``BLSHook`` is added unless there is one.

    Args:
        cfg (Config): The config. It is not changed.
        prune (str): The pruner: the name of its class in any case, with or
            without a trailing ``Prune``, or ``'none'`` to keep scores but
            visit everything. Defaults to 'infobatch'.
        prune_ratio (float, optional): Setting of the pruner. Defaults to
            None, the default of the pruner.
        score (str, optional): The score, as :func:`parse_score` reads it.
            Defaults to None, the one of the hook.
        target_saving (float, optional): Setting of the pruner: share of the
            visits of the whole run to save. Defaults to None.
        **pruner_settings: Other settings of the pruner.

    Returns:
        Config: A new config.

    Raises:
        TypeError: If ``cfg`` is not a Config, or a setting is of a wrong
            type.
        ValueError: If the config has no training sampler, a name is not
            known, or a setting is out of range.
    """
    if not isinstance(cfg, Config):
        raise TypeError(
            f'`cfg` should be a Config, but got a {type(cfg).__name__}.'
        )
    if prune_ratio is not None:
        pruner_settings['prune_ratio'] = prune_ratio
    if target_saving is not None:
        pruner_settings['target_saving'] = target_saving
    pruner = _pruner(prune, pruner_settings)
    cfg = copy.deepcopy(cfg)
    sampler = _training_sampler(cfg)
    cfg.train_dataloader.sampler = ConfigDict(_bls_sampler(sampler, pruner))
    _set_hook(cfg, score)
    return cfg


def has_pruning(cfg: Config) -> bool:
    """Whether a config has a ``BLSHook`` already."""
    return _has_hook(cfg, 'BLSHook')


def read_pruner(cfg: Config) -> Optional[Pruner]:
    """The pruner of a config, without its data.

    Args:
        cfg (Config): The config.

    Returns:
        Pruner or None: None if the config has no ``BLSSampler``, or that no
        pruner.

    Raises:
        TypeError: If a setting of it is of the wrong type.
        ValueError: If it is unknown, or a setting is out of range.
    """
    sampler = cfg.train_dataloader.get('sampler') or {}
    if type_name(sampler) != 'BLSSampler':
        return None
    return build_pruner(sampler)


def build_pruner(sampler: Dict[str, Any]) -> Optional[Pruner]:
    """The pruner of a ``BLSSampler`` or one derived from it, by its config.

    Arguments and errors as in :func:`read_pruner`.
    """
    pruner = sampler.get('pruner', dict(type='InfoBatch'))
    if pruner is None:
        return None
    return build(pruner, PRUNERS, Pruner, f'{SAMPLER}.pruner')


def add_hook(cfg: Config, name: str) -> None:
    """Add a hook of this package to a config that does not have it.

    Args:
        cfg (Config): Changed in place.
        name (str): Class of the hook, such as ``BLSHook``.
    """
    if not _has_hook(cfg, name):
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []),
            ConfigDict(type=f'bls_mm.{name}'),
        ]


def _pruner(prune: str, settings: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    if prune.lower() == 'none':
        if settings:
            raise ValueError(
                f'`prune=none` accepts no settings, but got '
                f'{", ".join(settings)}.'
            )
        return None
    pruner = dict(type=find_type('prune', prune, PRUNERS), **settings)
    build(pruner, PRUNERS, Pruner, f'{SAMPLER}.pruner')  # checks settings
    return pruner


def find_type(what: str, name: str, registry: Registry) -> str:
    """Find the registered type that a short name stands for.

    Args:
        what (str): ``'prune'`` or ``'score'``: the name of the setting in
            errors, and the suffix of the type name that can be omitted.
        name (str): The name in any case.
        registry (Registry): Where to look.
    """
    for known in registry.module_dict:
        if name.lower() in (known.lower(), known.lower().removesuffix(what)):
            return known
    known_names = sorted(registry.module_dict)
    if what == 'prune':
        known_names.append('none')
    raise ValueError(
        f'Unknown `{what}` {name!r}. Known: {", ".join(known_names)}.'
    )


def _training_sampler(cfg: Config) -> Dict[str, Any]:
    if not cfg.get('train_dataloader'):
        raise ValueError(
            'The config has no `train_dataloader`, so there is no training '
            'data to prune.'
        )
    if not isinstance(cfg.train_dataloader, dict):
        raise ValueError(
            f'`train_dataloader` lists {len(cfg.train_dataloader)} '
            'DataLoaders, but only the data of one can be pruned.'
        )
    sampler = cfg.train_dataloader.get('sampler')
    if not sampler or 'type' not in sampler:
        raise ValueError(
            f'The config has no `{SAMPLER}`. Set it to '
            "dict(type='DefaultSampler', shuffle=True)."
        )
    return sampler


def _bls_sampler(
    base: Dict[str, Any], pruner: Optional[Dict[str, Any]]
) -> Dict[str, Any]:
    """The sampler config that prunes what the base sampler would visit."""
    name = type_name(base)
    if name == 'BLSSampler':
        settings = dict(base.items())
    elif name in PLAIN_SAMPLERS:
        settings = {k: base[k] for k in PLAIN_SETTINGS if k in base}
    else:
        settings = dict(inner=base)
    settings.update(type='bls_mm.BLSSampler', pruner=pruner)
    return settings


def _set_hook(cfg: Config, score: Optional[str]) -> None:
    """Add a BLSHook unless there is one; set its score if one is given."""
    add_hook(cfg, 'BLSHook')
    if score is None:
        return
    wanted, per_sample = parse_score(score)
    build(wanted, SCORES, Score, 'score')  # checks settings
    for hook in list_hooks(cfg):
        if not is_hook(hook, 'BLSHook'):
            continue
        if not per_sample:
            hook['per_sample'] = False
        # A hook that has this score already keeps the score's settings.
        there = hook.get('score')
        if isinstance(there, dict) and type_name(there) == wanted['type']:
            wanted = {**there, **wanted, 'type': there['type']}
        hook['score'] = ConfigDict(wanted)


def parse_score(spec: str) -> Tuple[Dict[str, Any], bool]:
    """Parse a score from the command line.

    Args:
        spec (str): ``NAME[:batch][:SETTING=VALUE...]``. The name of its class
            in any case, with or without a trailing ``Score``; ``batch`` uses
            only batch losses; settings of the score.

    Returns:
        tuple: Config of the score, and whether it may use per-sample losses.

    Raises:
        ValueError: If the spec has another form, or the name is not known.
    """
    name, *parts = spec.split(':')
    score: Dict[str, Any] = dict(type=find_type('score', name, SCORES))
    per_sample = True
    for part in parts:
        key, is_setting, value = part.partition('=')
        if is_setting and key.isidentifier():
            score[key] = _literal(value)
        elif part == 'batch':
            per_sample = False
        else:
            raise ValueError(
                '`score` should be NAME, NAME:batch or either with settings, '
                f'as in ema:batch:alpha=0.7, but got {spec!r}.'
            )
    return score, per_sample


def _literal(text: str) -> Any:
    """A Python number or the like; what is none is a string."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _has_hook(cfg: Config, name: str) -> bool:
    return any(is_hook(hook, name) for hook in list_hooks(cfg))


def list_hooks(cfg: Dict[str, Any]) -> Iterator[Any]:
    """The configs of all hooks, default and custom, None included."""
    yield from (cfg.get('default_hooks') or {}).values()
    yield from cfg.get('custom_hooks') or []


def is_hook(cfg: Any, name: str) -> bool:
    """Whether a hook is of a class of this package, or derived from it.

    Args:
        cfg (Any): Config of a hook, a hook, or None.
        name (str): Name of the class.
    """
    kind = cfg.get('type') if isinstance(cfg, dict) else type(cfg)
    if not isinstance(kind, type):
        # Not `get`, which may import whole packages.
        kind = HOOKS.module_dict.get(type_name(cfg))
    bases = [base.__name__ for base in getattr(kind, '__mro__', ())]
    return name in (type_name(cfg), *bases)


def type_name(cfg: Any) -> str:
    """Name of a config's type, which may be a class or have a scope."""
    kind = cfg.get('type') if isinstance(cfg, dict) else type(cfg)
    return getattr(kind, '__name__', str(kind)).rpartition('.')[-1]
