"""Find and load configs: files, or configs of installed packages."""

import difflib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Union

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

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
    """Find a config file in an installed package.

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
