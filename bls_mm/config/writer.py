"""Pruned configs as files that inherit from the unpruned ones."""

import keyword
import os
import re
from pathlib import Path
from typing import Any, Iterator, Optional, Union

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from bls_mm.zoo import load_config, zoo_path

from .code import Code, assignment
from .difference import changed_hooks, changed_keys, plain
from .pruning import add_pruning

OWN_TYPES = ('bls_mm.BLSHook', 'bls_mm.BLSSampler')


def write_config(
    config: Union[str, Path],
    output: Union[str, Path],
    *,
    prune: str = 'infobatch',
    prune_ratio: Optional[float] = None,
    target_saving: Optional[float] = None,
    score: Optional[str] = None,
    force: bool = False,
) -> Path:
    """Write the config file that prunes the data of another config.

    Args:
        config (str or Path): The other config, a file or a zoo path such as
            ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.
        output (str or Path): File to write. Its folder is made if needed.
        prune (str): The pruner, see :func:`bls_mm.config.add_pruning`, as
            are the next three. Defaults to 'infobatch'.
        prune_ratio (float, optional): Setting of the pruner.
            Defaults to None.
        target_saving (float, optional): Setting of the pruner.
            Defaults to None.
        score (str, optional): The score. Defaults to None.
        force (bool): Whether to overwrite an existing file.
            Defaults to False.

    Returns:
        Path: The file.

    Raises:
        FileExistsError: If the file exists and ``force`` is not set.
        FileNotFoundError: If there is no such config.
        TypeError: If a setting is of the wrong type.
        ValueError: If a setting is out of range, ``output`` is ``config``, or
            that is a new-style config that Python cannot import from
            ``output``.
    """
    output = Path(output)
    if '::' not in str(config) and output.resolve() == Path(config).resolve():
        raise ValueError(
            f'`{output}` would inherit from itself: `output` should be '
            'another file than `config`.'
        )
    if output.exists() and not force:
        raise FileExistsError(
            f'`{output}` exists. Use `--force`, or `force=True`, to overwrite '
            'it.'
        )
    base = load_config(config)
    pruned = add_pruning(base, prune, prune_ratio, score, target_saving)
    text = inheriting_text(str(config), base, pruned, output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    return output


def inheriting_text(
    config: str, base: Config, pruned: Config, output: Path
) -> str:
    """The text of a config file that inherits from another one.

    Args:
        config (str): The config to inherit from, a file or a zoo path.
        base (Config): The same, loaded.
        pruned (Config): The config to arrive at.
        output (Path): The file that will hold the text.

    Returns:
        str: Statements that set what differs, in the style of the base.
    """
    path = zoo_path(config) if '::' in config else Path(config)
    # Private, but only this function knows which style MMEngine sees in a
    # file.
    if Config._is_lazy_import(str(path)):  # noqa: SLF001
        parts = _new_style(base, pruned, import_path(path, output))
    else:
        parts = _old_style(base, pruned, base_expression(config, output))
    return '\n'.join(parts) + '\n'


def _old_style(base: Config, pruned: Config, base_code: str) -> Iterator[str]:
    """Statements of a config file with ``_base_``."""
    yield f'_base_ = {base_code}\n'
    imports = 'custom_imports' not in base  # a list, which would be replaced
    if imports:
        ours = dict(imports=['bls_mm'], allow_failed_imports=False)
        yield assignment('custom_imports', ours)
    before, after = (c.train_dataloader.sampler for c in (base, pruned))
    sampler = changed_keys(before, after)
    if after.get('inner') == before:
        # Merged into what it wraps, it would hold itself.
        sampler = dict(_delete_=True, **plain(after))
        sampler['inner'] = Code('_base_.train_dataloader.sampler')
    changed = dict(train_dataloader=dict(sampler=sampler))
    changed.update(changed_hooks(base, pruned, '_base_.'))
    for name, value in changed.items():
        yield assignment(name, _without_prefix(value) if imports else value)


def _new_style(base: Config, pruned: Config, module: str) -> Iterator[str]:
    """Statements of a config file with ``read_base``."""
    yield 'from mmengine.config import read_base\n'
    yield f'with read_base():\n    from {module} import *\n'
    name = 'train_dataloader.sampler'
    before, after = (c.train_dataloader.sampler for c in (base, pruned))
    sampler = plain(after)
    if after.get('inner') == before:
        sampler['inner'] = Code(name)
    yield assignment(name, sampler)
    hooks = changed_hooks(base, pruned, '')
    for key in hooks.pop('default_hooks', {}):
        yield assignment(
            f'default_hooks.{key}', plain(pruned.default_hooks[key])
        )
    for name, value in hooks.items():
        yield assignment(name, value)


def _without_prefix(value: Any) -> Any:
    """Shorten the names of what ``custom_imports`` registers."""
    if isinstance(value, dict):
        return {key: _without_prefix(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_prefix(item) for item in value]
    return value.rpartition('.')[2] if value in OWN_TYPES else value


def base_expression(config: str, output: Path) -> str:
    """The value of ``_base_``, valid wherever the file and the package are.

    Args:
        config (str): The config to inherit from, a file or a zoo path.
        output (Path): The file that will hold the value.

    Returns:
        str: A Python expression.
    """
    package, is_zoo, name = config.partition('::')
    if not is_zoo:
        path = os.path.relpath(Path(config).resolve(), _folder(output))
        return repr(Path(path).as_posix())
    spec = f'{package}::{name.removesuffix(".py")}.py'
    # MMEngine looks for the name of a distribution, which may be a fork, and
    # takes only folders with plain names.
    if MODULE2PACKAGE.get(package) == package and re.match(r'\w+::\w+/', spec):
        return repr(spec)
    finder = "__import__('bls_mm.zoo').zoo.zoo_path"
    return f'str(\n    {finder}(\n        {spec!r}\n    )\n)'


def import_path(path: Path, output: Path) -> str:
    """The base of a new-style config, as ``from`` takes it.

    Args:
        path (Path): The file of the base.
        output (Path): The file that will import it.

    Returns:
        str: A relative module name.

    Raises:
        ValueError: If Python cannot import it from there.
    """
    relative = os.path.relpath(path.resolve().with_suffix(''), _folder(output))
    parts = Path(relative).parts
    names = [part for part in parts if part != '..']
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(
                'A new-style config is inherited by importing it, but '
                f'`{name}` of {path} is not a name that Python can import.'
            )
    return '.' * (len(parts) - len(names) + 1) + '.'.join(names)


def _folder(output: Path) -> Path:
    return output.resolve().parent
