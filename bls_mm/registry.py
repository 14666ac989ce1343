"""Registries of pruners and scores."""

from typing import Any, Optional, Type, TypeVar

from mmengine.registry import Registry

PRUNERS = Registry('pruner', scope='bls_mm', locations=['bls_mm.pruners'])
SCORES = Registry('score', scope='bls_mm', locations=['bls_mm.scores'])

T = TypeVar('T')


def build(cfg: Any, registry: Registry, base: Type[T], entry: str) -> T:
    """Build a component from its config, or pass a built one through.

    Args:
        cfg (dict or object): A config with a ``type``, or an instance.
        registry (Registry): ``PRUNERS`` or ``SCORES``.
        base (type): The class that the component derives from.
        entry (str): The config entry that errors should name.

    Returns:
        object: The component.

    Raises:
        TypeError: If ``cfg`` is neither a config nor a component.
        ValueError: If the type is not known or a setting is out of range.
    """
    if isinstance(cfg, base):
        return cfg
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise TypeError(
            f'`{entry}` should be a dict with a `type` or a '
            f'{base.__name__}, but got {cfg!r}.'
        )
    cls = cfg['type']
    if not isinstance(cls, (str, type)):
        raise TypeError(
            f'`{entry}.type` should be a name or a class, but got {cls!r}.'
        )
    if isinstance(cls, str):
        cls = _find(cls, registry, entry)
    settings = {k: v for k, v in cfg.items() if k not in ('type', '_scope_')}
    try:
        component = cls(**settings)
    except (TypeError, ValueError) as error:
        raise type(error)(f'`{entry}`: {error}') from error
    if not isinstance(component, base):
        raise TypeError(
            f'`{entry}` should be a {base.__name__}, but '
            f'`type={cfg["type"]!r}` gives a {type(component).__name__}.'
        )
    return component


def _find(name: str, registry: Registry, entry: str) -> Type:
    """Look a type up by name; unknown names list the known ones."""
    try:
        cls: Optional[Type] = registry.get(name)
    except RuntimeError:  # mmengine: neither registered nor importable
        cls = None
    if cls is None:
        known = ', '.join(sorted(registry.module_dict))
        raise ValueError(
            f'`{entry}` has an unknown type {name!r}. Known: {known}.'
        )
    return cls
