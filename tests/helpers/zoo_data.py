"""Small data of each dataset of the zoo, in that dataset's own format.

Everything is written where the configs look for it, below ``data``, so that a
test only has to go to that folder. Sample ``i`` of a dataset is written as
the ``i``-th.
"""

import hashlib
import json
import pickle

import cv2
import numpy as np

TRAIN, VAL = 8, 2  # images
CLASSES = dict(
    ade=150, camvid=11, cifar10=10, cifar100=100, cityscapes=19, imagenet=1000
)
WORDS = 'a picture of two small big red green blue boxes on the wall'.split()


def make_image(rng, height, width):
    """Boxes before noise, and what is where.

    Returns:
        tuple: The image (H, W, 3) and the number of the box of each pixel
        (H, W), 0 being what is behind the boxes.
    """
    image = rng.integers(0, 60, (height, width, 3), np.uint8)
    boxes = np.zeros((height, width), np.uint8)
    # In the four quarters, so that all are seen and most crops have some.
    for number in range(4):
        top, left = (number // 2) * height // 2, (number % 2) * width // 2
        rows = slice(top + rng.integers(1, 8), top + height // 2 - 2)
        columns = slice(left + rng.integers(1, 8), left + width // 2 - 2)
        image[rows, columns] += rng.integers(0, 190, 3, np.uint8)
        boxes[rows, columns] = number + 1
    return image, boxes


def size(index):
    """Height and width: every other image is upright."""
    return (128, 160) if index % 2 else (160, 128)


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


# Classification


def write_cifar(root, rng):
    """The pickles of CIFAR-10 and CIFAR-100.

    Returns:
        dict: The checksums, by the names of the files.
    """
    ten, hundred = 'cifar10/cifar-10-batches-py', 'cifar100/cifar-100-python'
    files = {f'{ten}/data_batch_{i}': 2 for i in range(1, 6)}
    files.update(
        {f'{ten}/test_batch': VAL, f'{hundred}/train': TRAIN}, test=VAL
    )
    files[f'{hundred}/test'] = files.pop('test')
    sums = {}
    for name, count in files.items():
        key = 'labels' if name.startswith(ten) else 'fine_labels'
        classes = CLASSES[name.partition('/')[0]]
        content = {
            'data': rng.integers(0, 256, (count, 3072), np.uint8),
            key: rng.integers(0, classes, count).tolist(),
        }
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(content))
        sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    return sums


def write_folders(root, rng, classes, image_size, channels=3):
    """Folders of classes, as our converters write them; some are empty."""
    for split, count in (('train', TRAIN), ('test', VAL)):
        for label in range(classes):
            (root / split / f'{label:03d}').mkdir(parents=True)
        for index in range(count):
            pixels = (image_size, image_size, channels)
            write_image(
                root / split / f'{index % classes:03d}/{index}.png',
                rng.integers(0, 256, pixels, np.uint8),
            )


def write_imagenet(root, rng):
    """Folders of two classes, and the lists of all images."""
    folders = {'n01440764': 0, 'n02110341': 251}
    for split, count in (('train', TRAIN), ('val', VAL)):
        lines = []
        for index in range(count):
            folder = list(folders)[index % 2]
            name = f'{folder}/{folder}_{index}.JPEG'
            image, _ = make_image(rng, *size(index))
            write_image(root / split / name, image)
            lines.append(f'{name} {folders[folder]}\n')
        meta = root / 'meta' / f'{split}.txt'
        meta.parent.mkdir(exist_ok=True)
        meta.write_text(''.join(lines))


# Detection


def write_coco(root, rng, classes, panoptic):
    """Boxes, masks and panoptic segments.

    Args:
        root (Path): Where to write.
        rng (numpy.random.Generator): What is drawn.
        classes (Sequence[str]): Names of the classes with boxes.
        panoptic (dict): The names under ``thing_classes`` and
            ``stuff_classes``.
    """
    things = panoptic['thing_classes']
    kinds = [
        dict(id=i, name=name, isthing=int(name in things))
        for i, name in enumerate((*things, *panoptic['stuff_classes']), 1)
    ]
    for split, count in (('train2017', TRAIN), ('val2017', VAL)):
        images, boxes, segments = [], [], []
        for index in range(count):
            height, width = size(index)
            name = f'{index:012d}.jpg'
            image, numbers = make_image(rng, height, width)
            write_image(root / split / name, image)
            images.append(
                dict(id=index, file_name=name, height=height, width=width)
            )
            found = [annotation(numbers == n, rng) for n in range(1, 5)]
            for ann in found:
                boxes.append(dict(ann, id=len(boxes) + 1, image_id=index))
            # A crowd, the only one with a run-length encoding.
            boxes[-1].update(iscrowd=1, segmentation=rle(numbers == 4))
            segments.append(panoptic_annotation(index, numbers, found))
            write_image(
                root / f'annotations/panoptic_{split}/{index:012d}.png',
                # The id of a segment is r + 256 g + 65536 b.
                np.dstack([0 * numbers, 0 * numbers, numbers + 1]),
            )
        instances = [
            dict(id=i, name=name) for i, name in enumerate(classes, 1)
        ]
        for kind, found, categories in (
            ('instances', boxes, instances),
            ('panoptic', segments, kinds),
        ):
            write_json(
                root / f'annotations/{kind}_{split}.json',
                dict(images=images, annotations=found, categories=categories),
            )


def write_cells(root, rng):
    """BCCD, as our converter writes it."""
    classes = [
        dict(id=i, name=name)
        for i, name in enumerate(('Platelets', 'RBC', 'WBC'), 1)
    ]
    for split, count in (('train', TRAIN), ('val', VAL)):
        images, boxes = [], []
        for index in range(count):
            name = f'{index}.jpg'
            image, numbers = make_image(rng, 120, 160)
            write_image(root / split / name, image)
            images.append(
                dict(id=index, file_name=name, height=120, width=160)
            )
            found = [annotation(numbers == n, rng) for n in range(1, 5)]
            for number, ann in enumerate(found):
                ann.update(category_id=1 + number % 3, id=len(boxes) + 1)
                boxes.append(dict(ann, image_id=index))
        write_json(
            root / f'{split}.json',
            dict(images=images, annotations=boxes, categories=classes),
        )


def annotation(mask, rng):
    """Box and polygon of a mask that is a rectangle."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    height, width = len(rows), len(columns)
    right, bottom = left + width, top + height
    return dict(
        bbox=[left, top, width, height],
        area=width * height,
        iscrowd=0,
        category_id=int(rng.integers(1, 81)),
        segmentation=[
            [left, top, right, top, right, bottom, left, bottom],
        ],
    )


def rle(mask):
    """Uncompressed run lengths, column by column, of a mask."""
    flat = np.concatenate([[False], mask.T.ravel(), [False]])
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    edges = np.concatenate([[0], turns, [mask.size]])
    return dict(counts=np.diff(edges).tolist(), size=list(mask.shape))


def panoptic_annotation(index, numbers, found):
    """The segments of an image: a wall, and the boxes before it."""
    height, width = numbers.shape
    wall = dict(
        id=1,
        category_id=81,
        bbox=[0, 0, width, height],
        area=int((numbers == 0).sum()),
        iscrowd=0,
    )
    keys = ('bbox', 'area', 'iscrowd', 'category_id')
    boxes = [
        dict({key: ann[key] for key in keys}, id=number)
        for number, ann in enumerate(found, 2)
    ]
    return dict(
        image_id=index,
        file_name=f'{index:012d}.png',
        segments_info=[wall, *boxes],
    )


# Segmentation


def write_ade20k(root, rng):
    """Labels 1 to 150, 0 for what has none."""
    for split, short, count in (
        ('training', 'train', TRAIN),
        ('validation', 'val', VAL),
    ):
        for index in range(count):
            name = f'{split}/ADE_{short}_{index + 1:08d}'
            labels = rng.integers(0, CLASSES['ade'] + 1, 5)
            write_labelled(
                root / f'images/{name}.jpg',
                root / f'annotations/{name}.png',
                rng,
                labels,
            )


def write_cityscapes(root, rng):
    """Labels 0 to 18, 255 for what has none."""
    for split, city, count in (
        ('train', 'aachen', TRAIN),
        ('val', 'frankfurt', VAL),
    ):
        for index in range(count):
            name = f'{split}/{city}/{city}_{index:06d}_000019'
            labels = rng.integers(0, CLASSES['cityscapes'], 5)
            labels[0] = 255
            write_labelled(
                root / f'leftImg8bit/{name}_leftImg8bit.png',
                root / f'gtFine/{name}_gtFine_labelTrainIds.png',
                rng,
                labels,
            )


def write_camvid(root, rng):
    """Labels 0 to 10, 255 for what has none, as our converter writes them."""
    for split, count in (('train', TRAIN), ('test', VAL)):
        for index in range(count):
            labels = rng.integers(0, CLASSES['camvid'], 5)
            labels[0] = 255
            write_labelled(
                root / f'img_dir/{split}/{index:04d}.jpg',
                root / f'ann_dir/{split}/{index:04d}.png',
                rng,
                labels,
            )


def write_labelled(image_path, label_path, rng, labels):
    """An image, and a map with a label for each of its boxes."""
    image, boxes = make_image(rng, 96, 192)
    write_image(image_path, image)
    write_image(label_path, labels.astype(np.uint8)[boxes])


# Captions


def write_captions(root, rng):
    """COCO captions in the splits of Karpathy, next to the images of 2014."""
    for split, count in (('train', TRAIN), ('val', VAL)):
        entries = []
        for index in range(count):
            name = f'val2014/COCO_val2014_{index:012d}.jpg'
            if split == 'train':
                name = name.replace('val', 'train')
            write_image(root / name, make_image(rng, *size(index))[0])
            caption = make_caption(rng)
            # One caption an entry to train on, all of an image to validate.
            caption = caption if split == 'train' else [caption]
            entries.append(dict(image=name, caption=caption))
        write_json(root / f'annotations/coco_karpathy_{split}.json', entries)


def write_nocaps(root, rng):
    """NoCaps, which only has images to validate on."""
    images, annotations = [], []
    for index in range(VAL):
        name = f'{index:016x}.jpg'
        write_image(root / 'images' / name, make_image(rng, *size(index))[0])
        height, width = size(index)
        images.append(
            dict(id=index, file_name=name, height=height, width=width)
        )
        annotations.append(
            dict(id=index, image_id=index, caption=make_caption(rng))
        )
    write_json(
        root / 'annotations/nocaps_val_4500_captions.json',
        dict(images=images, annotations=annotations),
    )


def make_caption(rng):
    return ' '.join(rng.choice(WORDS, 6)) + '.'


def write_vocabulary(root):
    """A vocabulary for the tokenizer of BERT."""
    root.mkdir(parents=True)
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '.']
    (root / 'vocab.txt').write_text('\n'.join([*special, *WORDS]) + '\n')
