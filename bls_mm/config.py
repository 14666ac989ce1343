"""Configs in, pruned configs out: what the tools share, without a runner."""

import copy
import difflib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple, Union

from mmengine.config import Config, ConfigDict
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import Registry

from .pruners import Pruner
from .registry import PRUNERS, SCORES, build
from .scores import Score

SAMPLER = 'train_dataloader.sampler'
# Samplers that BLSSampler replaces, and what it takes over from them.
PLAIN_SAMPLERS = ('DefaultSampler', 'InfiniteSampler')
PLAIN_SETTINGS = ('shuffle', 'seed', 'round_up')

# Lets MMEngine find `_base_ = 'bls_mm::...'`. A module stands for the package
# here: MMEngine would look for the package where its metadata are, and those
# of an editable install are in another place.
MODULE2PACKAGE['bls_mm'] = __name__


def load_config(path: Union[str, Path]) -> Config:
    """Load a config from a file or from the zoo of an installed package.

    Args:
        path (str or Path): A config file of either style, or a zoo path such
            as ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If there is no such file, or no such package.
    """
    if '::' in str(path):
        path = zoo_path(str(path))
    elif not Path(path).is_file():
        raise FileNotFoundError(f'There is no config file `{path}`.')
    cfg = Config.fromfile(path)
    for value in cfg.values():
        _drop_own_scope(value)
    return cfg


def _drop_own_scope(value: Any) -> None:
    """Forget that a value came from a `bls_mm::` base.

    MMEngine would look for its types, which may be of any package, among
    those of bls_mm alone.
    """
    if isinstance(value, dict):
        if value.get('_scope_') == 'bls_mm':
            del value['_scope_']
        value = list(dict.values(value))  # those of ConfigDict import things
    if isinstance(value, (list, tuple)):
        for item in value:
            _drop_own_scope(item)


def zoo_path(spec: str) -> Path:
    """Find a config file that an installed package brings along.

    Args:
        spec (str): ``package::path``, the path being relative to the configs
            of the package, with or without ``.py``.

    Returns:
        Path: The file.

    Raises:
        FileNotFoundError: If there is no such file, or no such package.
    """
    package, _, name = spec.partition('::')
    root = _zoo_root(package)
    path = root / (name if name.endswith('.py') else f'{name}.py')
    if not path.is_file():
        raise FileNotFoundError(
            f'`{package}` has no config `{name}`.{_similar(path, root)}'
        )
    return path


def _zoo_root(package: str) -> Path:
    # Not mmengine's resolver: it looks for the distribution, whose name is
    # another one where a package was forked, and may call pip.
    found = find_spec(package) if package.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f'The package `{package}` is not installed.')
    root = Path(found.submodule_search_locations[0], '.mim', 'configs')
    if not root.is_dir():
        raise FileNotFoundError(f'`{package}` was installed without configs.')
    return root


def _similar(path: Path, root: Path) -> str:
    """Hint at the files with the most similar names."""
    names = {
        file.name: str(file.relative_to(root)) for file in root.rglob('*.py')
    }
    close = difflib.get_close_matches(path.name, names, n=3)
    if not close:
        return f' Its configs are in {root}.'
    return f' Similar: {", ".join(names[name] for name in close)}.'


def add_pruning(
    cfg: Config,
    prune: str = 'infobatch',
    prune_ratio: Optional[float] = None,
    score: Optional[str] = None,
    target_saving: Optional[float] = None,
    **pruner_settings: Any,
) -> Config:
    """Turn a training config into one that prunes its data.

    The sampler becomes a ``BLSSampler`` with the settings of the one it
    replaces, or around it where that is more than a plain shuffle. A
    ``BLSHook`` is added to the hooks, or the one that is there is kept.

    Args:
        cfg (Config): The config. It is not changed.
        prune (str): The pruner: the name of its class in any case, with or
            without a trailing ``Prune``, or ``'none'`` to keep scores but
            visit everything. Defaults to 'infobatch'.
        prune_ratio (float, optional): Setting of the pruner. Defaults to
            None, the default of the pruner.
        score (str, optional): The score: the name of its class in any case,
            with or without a trailing ``Score``; ``':batch'`` after it
            scores by batch losses alone. Defaults to None, the one of the
            hook.
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
                f'`prune=none` takes no settings, but got '
                f'{", ".join(settings)}.'
            )
        return None
    pruner = dict(type=find_type('prune', prune, PRUNERS), **settings)
    build(pruner, PRUNERS, Pruner, f'{SAMPLER}.pruner')  # checks settings
    return pruner


def find_type(what: str, name: str, registry: Registry) -> str:
    """Find the registered type that a short name stands for.

    Args:
        what (str): ``'prune'`` or ``'score'``: the setting that errors name,
            and the last part of a type name that may be left out.
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
        f'Unknown {what} {name!r}. Known: {", ".join(known_names)}.'
    )


def _training_sampler(cfg: Config) -> Dict[str, Any]:
    if not cfg.get('train_dataloader'):
        raise ValueError(
            'The config has no `train_dataloader`, so there is no training '
            'data to prune.'
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
    name = _type_name(base)
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
    name, per_sample = split_score(score)
    score_cfg = dict(type=find_type('score', name, SCORES))
    build(score_cfg, SCORES, Score, 'score')  # one that needs settings fails
    for hook in _hooks(cfg):
        if _type_name(hook) != 'BLSHook':
            continue
        if not per_sample:
            hook['per_sample'] = False
        # A hook that has this score already keeps the score's settings.
        if _type_name(hook.get('score') or {}) != score_cfg['type']:
            hook['score'] = ConfigDict(score_cfg)


def split_score(spec: str) -> Tuple[str, bool]:
    """Split ``NAME`` or ``NAME:batch``.

    Returns:
        tuple: The name of the score, and whether it may see the losses of
        single samples.
    """
    name, _, unit = spec.partition(':')
    if unit not in ('', 'batch'):
        raise ValueError(
            f'`score` should be NAME or NAME:batch, but got {spec!r}.'
        )
    return name, not unit


def _has_hook(cfg: Config, name: str) -> bool:
    return any(_type_name(hook) == name for hook in _hooks(cfg))


def _hooks(cfg: Config) -> Iterator[Any]:
    """The configs of all hooks, default and custom."""
    yield from (cfg.get('default_hooks') or {}).values()
    yield from cfg.get('custom_hooks') or []


def _type_name(cfg: Any) -> str:
    """Name of a config's type, which may be a class or have a scope."""
    kind = cfg.get('type') if isinstance(cfg, dict) else type(cfg)
    return getattr(kind, '__name__', str(kind)).rpartition('.')[-1]
