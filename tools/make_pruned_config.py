"""Write the config file that prunes the data of another config.

The file inherits from the other one and holds only what changes. `CONFIG` is
a file or a zoo path:

    python tools/make_pruned_config.py \
        mmdet::retinanet/retinanet_r50_fpn_1x_coco.py \
        --prune infobatch -o configs/retinanet_pruned.py
"""

import argparse
import keyword
import os
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from bls_mm.config.code import Code, assignment
from bls_mm.config.options import add_pruning_options
from bls_mm.config.pruning import add_pruning
from bls_mm.zoo import load_config, zoo_path

OWN_TYPES = ('bls_mm.BLSHook', 'bls_mm.BLSSampler')


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='config file, or package::path')
    parser.add_argument(
        '--prune',
        default='infobatch',
        metavar='{infobatch,seta,random,none}',
        help='how to prune the data; defaults to infobatch',
    )
    add_pruning_options(parser)
    parser.add_argument(
        '-o', '--output', required=True, metavar='FILE', help='where to write'
    )
    parser.add_argument(
        '--force', action='store_true', help='overwrite an existing file'
    )
    return parser.parse_args(argv)


def make_text(config, output, *pruning):
    """Write down a config that inherits from another one and prunes.

    Args:
        config (str): The other config, a file or a zoo path.
        output (Path): Where the text will be saved.
        *pruning: Arguments of :func:`bls_mm.config.add_pruning` after the
            config.

    Returns:
        str: The text.
    """
    base = load_config(config)
    pruned = add_pruning(base, *pruning)
    path = zoo_path(config) if '::' in config else Path(config)
    # Private, but the only one who knows which style MMEngine sees in a file.
    if Config._is_lazy_import(str(path)):
        parts = new_style(base, pruned, import_path(path, output))
    else:
        parts = old_style(base, pruned, base_expression(config, output))
    return '\n'.join(parts)


def old_style(base, pruned, base_code):
    """Statements of a config file with `_base_`.

    Args:
        base (Config): The config to inherit from.
        pruned (Config): The config to arrive at.
        base_code (str): Expression for `_base_`.
    """
    yield f'_base_ = {base_code}\n'
    imports = 'custom_imports' not in base  # a list, which would be replaced
    if imports:
        imports = dict(imports=['bls_mm'], allow_failed_imports=False)
        yield assignment('custom_imports', imports)
    before, after = (c.train_dataloader.sampler for c in (base, pruned))
    sampler = change(before, after)
    if after.get('inner') == before:
        # Merged into what it wraps, it would hold itself.
        sampler = dict(_delete_=True, **plain(after))
        sampler['inner'] = Code('_base_.train_dataloader.sampler')
    changed = dict(train_dataloader=dict(sampler=sampler))
    changed.update(changed_hooks(base, pruned, '_base_.'))
    for name, value in changed.items():
        yield assignment(name, without_prefix(value) if imports else value)


def new_style(base, pruned, module):
    """Statements of a config file with `read_base`; see :func:`old_style`.

    Args:
        base (Config): The config to inherit from.
        pruned (Config): The config to arrive at.
        module (str): What to import, relative to the file.
    """
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


def changed_hooks(base, pruned, prefix):
    """What to set of `default_hooks` and `custom_hooks`, if anything.

    Args:
        base (Config): The config to inherit from.
        pruned (Config): The config to arrive at.
        prefix (str): What leads to the values of ``base`` in the file.
    """
    changed = {}
    before, after = (c.get('default_hooks') or {} for c in (base, pruned))
    if before != after:
        changed['default_hooks'] = change(before, after)
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


def change(before, after):
    """What to merge into a dict to get another one, as MMEngine merges."""
    # MMEngine marks with `_scope_` what comes from the zoo of a package.
    if not set(before) - {'_scope_'} <= set(after):
        return dict(_delete_=True, **plain(after))
    changed = {}
    for key, value in plain(after).items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = change(old, value)
            if value:
                changed[key] = value
        elif key not in before or old != value:
            changed[key] = value
    return changed


def plain(value):
    """Dicts and lists of a config as Python's own, a `type` in front."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key != 'type')
        return {key: plain(value[key]) for key in keys}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    return value


def without_prefix(value):
    """Shorten the names of what `custom_imports` registers."""
    if isinstance(value, dict):
        return {key: without_prefix(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_prefix(item) for item in value]
    return value.rpartition('.')[2] if value in OWN_TYPES else value


# Naming the base


def base_expression(config, output):
    """The value of `_base_`, good wherever the file and the package are.

    Args:
        config (str): The other config, a file or a zoo path.
        output (Path): The file that will hold the value.
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


def import_path(path, output):
    """The base of a new-style config, as `from` takes it.

    Args:
        path (Path): The file of the base.
        output (Path): The file that will import it.

    Raises:
        ValueError: If Python cannot import it from there.
    """
    relative = os.path.relpath(path.resolve().with_suffix(''), _folder(output))
    parts = Path(relative).parts
    names = [part for part in parts if part != '..']
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(
                f'A new-style config is inherited by importing it, but '
                f'`{name}` of {path} is no name that Python can import.'
            )
    return '.' * (len(parts) - len(names) + 1) + '.'.join(names)


def _folder(output):
    return Path(output).resolve().parent


def main(argv=None):
    args = parse_args(argv)
    output = Path(args.output)
    try:
        if output.exists() and not args.force:
            raise FileExistsError(
                f'`{output}` exists. Use `--force` to overwrite it.'
            )
        text = make_text(
            args.config,
            output,
            args.prune,
            args.prune_ratio,
            args.score,
            args.target_saving,
        )
    except (OSError, TypeError, ValueError) as error:
        raise SystemExit(f'{Path(__file__).name}: error: {error}') from None
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text + '\n')
    print(f'Wrote {output}. To train: python tools/train.py {output}')


if __name__ == '__main__':
    main()
