"""What has to be set to turn one config into another."""

from typing import Any, Dict

from mmengine.config import Config

from .code import Code


def changed_hooks(base: Config, pruned: Config, prefix: str) -> Dict[str, Any]:
    """What to set of ``default_hooks`` and ``custom_hooks``.

    Args:
        base (Config): The config to inherit from.
        pruned (Config): The config to arrive at.
        prefix (str): What leads to the values of ``base`` in the file.

    Returns:
        dict: Values of the two names, without those that stay the same.
    """
    changed: Dict[str, Any] = {}
    before, after = (c.get('default_hooks') or {} for c in (base, pruned))
    if before != after:
        changed['default_hooks'] = changed_keys(before, after)
    before, after = (c.get('custom_hooks') or [] for c in (base, pruned))
    if before != after:
        name = f'{prefix}custom_hooks'
        kept = [
            Code(f'{name}[{i}]') if new == old else plain(new)
            for i, (old, new) in enumerate(zip(before, after))
        ]
        if before and before == after[: len(before)]:
            kept = [Code(f'*{name}')]
        added = [plain(hook) for hook in after[len(before) :]]
        changed['custom_hooks'] = kept + added
    return changed


def changed_keys(
    before: Dict[str, Any], after: Dict[str, Any]
) -> Dict[str, Any]:
    """What to merge into a dict to get another one, as MMEngine merges.

    Args:
        before (dict): The dict to inherit from.
        after (dict): The dict to arrive at.

    Returns:
        dict: The keys that differ; all of them and ``_delete_`` if one has
        to go.
    """
    # MMEngine marks with `_scope_` what comes from the zoo of a package.
    if not set(before) - {'_scope_'} <= set(after):
        return dict(_delete_=True, **plain(after))
    changed = {}
    for key, value in plain(after).items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = changed_keys(old, value)
            if value:
                changed[key] = value
        elif key not in before or old != value:
            changed[key] = value
    return changed


def plain(value: Any) -> Any:
    """Dicts and lists of a config as Python's own, with `type` in front."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key != 'type')
        return {key: plain(value[key]) for key in keys}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value
