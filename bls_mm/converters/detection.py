"""COCO annotations and their images, which ``CocoDataset`` reads."""

import json
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from .output import draw_subset, write_once
from .sources import Source, describe_source

TRAIN = 'train'
AnyPath = Union[str, Path]


def convert_detection(
    splits: Mapping[str, Tuple[AnyPath, AnyPath]],
    out: AnyPath,
    subset: Optional[int] = None,
    seed: int = 0,
) -> Dict[str, int]:
    """Write a COCO set as ``OUT/SPLIT.json`` and ``OUT/SPLIT/NAME.jpg``.

    Annotations stay as they are, but for those of images left out.

    Args:
        splits (dict[str, tuple]): For each split the file of its annotations,
            and the folder or archive of its images, see :class:`Source`.
        out (str or Path): Folder to write.
        subset (int, optional): Number of training images; all of the other
            splits stay. Defaults to None, all.
        seed (int): Which training images. Defaults to 0.

    Returns:
        dict[str, int]: Number of images of each split.

    Raises:
        FileExistsError: If there is something else in ``out``.
        FileNotFoundError: If there is no such source.
        TypeError: If ``subset`` is not an integer.
        ValueError: If the annotations are not COCO's, or name an image that
            is not there, or there are too few images.
    """

    def write(folder: Path) -> Dict[str, int]:
        counts = {}
        for split, (annotations, images) in splits.items():
            content = _read_annotations(Path(annotations))
            if split == TRAIN:
                content = _keep_images(
                    content, draw_subset(content['images'], subset, seed)
                )
            names = [image['file_name'] for image in content['images']]
            _copy_images(Source(images), names, folder / split)
            (folder / f'{split}.json').write_text(json.dumps(content))
            counts[split] = len(names)
        return counts

    names = {
        k: list(map(describe_source, paths)) for k, paths in splits.items()
    }
    return write_once(out, dict(splits=names, subset=subset, seed=seed), write)


def _read_annotations(file: Path) -> Dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f'`{file}` is no JSON: {error}') from None
    keys = {'images', 'annotations', 'categories'}
    if not isinstance(content, dict) or not keys <= content.keys():
        raise ValueError(
            f'`{file}` should have {", ".join(sorted(keys))}, as COCO has.'
        )
    for image in content['images']:
        if 'file_name' not in image:
            raise ValueError(
                f'`{file}` has an image without `file_name`: {image}. LVIS '
                'has none: take it from the end of `coco_url`.'
            )
    return content


def _keep_images(
    content: Dict[str, Any], images: List[Dict[str, Any]]
) -> Dict[str, Any]:
    """Keep some of the images, and their annotations."""
    kept = {image['id'] for image in images}
    annotations = [a for a in content['annotations'] if a['image_id'] in kept]
    return {**content, 'images': images, 'annotations': annotations}


def _copy_images(source: Source, names: List[str], folder: Path) -> None:
    """Copy images, whatever folder of the source they are in."""
    name_of: Dict[str, str] = {}
    missing = []
    for name, paths in _match_names(source.list_names(), names).items():
        if not paths:
            missing.append(name)
            continue
        if len(paths) > 1:
            raise ValueError(
                f'`{source.path}` has {paths[0]} and {paths[1]}, and either '
                f'may be {name}. Give the folder that has the images.'
            )
        if name_of.setdefault(paths[0], name) != name:
            raise ValueError(
                f'`{source.path}` has {paths[0]}, which may be '
                f'{name_of[paths[0]]} or {name}.'
            )
    if missing:
        raise ValueError(
            f'`{source.path}` lacks {len(missing)} of {len(names)} images, '
            f'among them {missing[0]}.'
        )
    for path, content in source.read(list(name_of)):
        file = folder / name_of[path]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _match_names(paths: List[str], names: List[str]) -> Dict[str, List[str]]:
    """Find the paths that end with each name; that which is it, if any."""
    found: Dict[str, List[str]] = {name: [] for name in names}
    for path in paths:
        parts = PurePosixPath(path).parts
        for start in range(len(parts)):
            end = '/'.join(parts[start:])
            if end in found:
                found[end].append(path)
    return {
        name: [name] if name in ends else ends for name, ends in found.items()
    }
