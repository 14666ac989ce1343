"""The dataset converters, from files as users have them to dataset classes."""

import gzip
import importlib
import io
import json
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from tools.dataset_converters import (
    prepare_classification,
    prepare_detection,
    prepare_segmentation,
)

rng = np.random.default_rng(0)
TRAIN, TEST = 12, 4
SPLITS = dict(train=TRAIN, test=TEST)


def encode(image, kind='PNG'):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def pack(path, files):
    """Write files, by name, into a folder or an archive."""
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w') as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif '.tar' in path.name:
        with tarfile.open(path, f'w:{path.suffix[1:]}') as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(f'./{name}')
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    return path


# Classification: each maker returns the files and what should be read


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 did, which wrote CIFAR's files."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        data = value if isinstance(value, bytes) else value.encode()
        self.write(pickle.BINSTRING + struct.pack('<i', len(data)) + data)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def dump(content):
    stream = io.BytesIO()
    Python2Pickler(stream, 2).dump(content)
    return stream.getvalue().replace(b'numpy._core', b'numpy.core')


def random_images(shape):
    return {
        split: (
            rng.integers(0, 256, (count, *shape), np.uint8),
            np.arange(count) % 4,
        )
        for split, count in SPLITS.items()
    }


def as_rows(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def make_cifar10():
    data = random_images((32, 32, 3))
    classes = ['ant', 'bee', 'cow', 'dog']
    images, labels = data['train']
    batches = {
        f'data_batch_{i + 1}': (images[i::5], labels[i::5]) for i in range(5)
    }
    files = {'batches.meta': dump(dict(label_names=classes))}
    for name, (pixels, numbers) in {
        **batches, 'test_batch': data['test'],
    }.items():  # fmt: skip
        content = dict(data=as_rows(pixels), labels=numbers.tolist())
        files[name] = dump(content)
    data['train'] = [np.concatenate(parts) for parts in zip(*batches.values())]
    return {f'cifar-10-batches-py/{n}': c for n, c in files.items()}, data


def make_cifar100():
    data = random_images((32, 32, 3))
    classes = ['ant', 'bee', 'cow', 'dog']
    files = {'cifar-100-python/meta': dict(fine_label_names=classes)}
    for split, (images, labels) in data.items():
        files[f'cifar-100-python/{split}'] = dict(
            data=as_rows(images), fine_labels=labels.tolist()
        )
    return {name: dump(c) for name, c in files.items()}, data


def make_binary():
    """Of CIFAR-10, whose classes the format does not limit to those used."""
    data = random_images((32, 32, 3))
    names = '\n'.join(f'class{i}' for i in range(10)) + '\n\n'
    files = {'batches.meta.txt': names.encode()}
    for split, name in (('train', 'data_batch_1'), ('test', 'test_batch')):
        images, labels = data[split]
        rows = np.hstack([labels[:, None].astype(np.uint8), as_rows(images)])
        files[f'{name}.bin'] = rows.tobytes()
    return {f'cifar-10-batches-bin/{n}': c for n, c in files.items()}, data


def idx(array):
    head = bytes([0, 0, 8, array.ndim])
    return head + np.array(array.shape, '>u4').tobytes() + array.tobytes()


def make_idx():
    data, files = random_images((28, 28)), {}
    for split, prefix in (('train', 'train'), ('test', 't10k')):
        images, labels = data[split]
        labels = labels.astype(np.uint8)
        files[f'{prefix}-images-idx3-ubyte'] = idx(images)
        files[f'{prefix}-labels-idx1-ubyte.gz'] = gzip.compress(idx(labels))
    return files, data


def make_folders():
    data = random_images((20, 30, 3))
    files = {
        f'pets/{split}/class{label}/{number:02d}.png': encode(image)
        for split, (images, labels) in data.items()
        for number, (image, label) in enumerate(zip(images, labels))
    }
    files['pets/train/class0/.hidden.png'] = b''
    return files, data


FORMATS = [
    (make_cifar10, 'cifar-10-python.tar.gz'),
    (make_cifar100, 'cifar-100-python'),
    (make_binary, 'cifar-10-binary.tar.gz'),
    (make_idx, 'fashion-mnist'),
    (make_folders, 'pets.tar.xz'),
    (make_folders, 'pets.zip'),
]


def pairs_of(images, labels):
    """Images and labels, in an order that does not depend on files."""
    return sorted(
        (np.asarray(image).tobytes(), int(label))
        for image, label in zip(images, labels)
    )


def read_folders(root, split):
    """Images and labels as mmpretrain reads them."""
    datasets = pytest.importorskip('mmpretrain.datasets')
    dataset = datasets.CustomDataset(
        data_root=str(root), data_prefix=split, pipeline=[]
    )
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    images = []
    for info in infos:
        with Image.open(info['img_path']) as image:
            images.append(np.array(image))
    return pairs_of(images, [info['gt_label'] for info in infos])


@pytest.mark.parametrize('make, name', FORMATS)
def test_classification_set_is_read_as_it_was(make, name, tmp_path):
    files, data = make()
    source, out = pack(tmp_path / name, files), tmp_path / 'out'
    prepare_classification.main([str(source), '--out', str(out)])
    for split, (images, labels) in data.items():
        assert read_folders(out, split) == pairs_of(images, labels)


def test_subset_is_seeded_and_leaves_the_test_images_alone(tmp_path, capsys):
    files, data = make_idx()
    source = pack(tmp_path / 'source', files)

    def draw(name, *options):
        out = tmp_path / name
        command = [str(source), '--out', str(out), *options]
        prepare_classification.main(command)
        assert read_folders(out, 'test') == pairs_of(*data['test'])
        # Also of a class that has no image left.
        assert len(list((out / 'train').iterdir())) == 4
        return {file.name for file in out.glob('train/*/*')}

    two, five = draw('2', '--subset', '2'), draw('5', '--subset', '5')
    other = draw('o', '--subset', '5', '--seed', '1')
    assert [len(names) for names in (two, five, other)] == [2, 5, 5]
    assert two < five != other
    assert draw('again', '--subset', '5') == five
    assert f'{tmp_path / "2"} has 4 test, 2 train' in capsys.readouterr().out


# Detection


def make_coco(count, folder=''):
    images, annotations, files = [], [], {}
    for i in range(count):
        name = f'{folder}{i:03d}.jpg'
        images.append(dict(id=10 + i, file_name=name, width=30, height=20))
        annotations.append(
            dict(
                id=i, image_id=10 + i, category_id=7, iscrowd=0, area=25,
                bbox=[i, 1, 5, 5],
            )
        )  # fmt: skip
        files[name] = encode(rng.integers(0, 256, (20, 30, 3), np.uint8))
    categories = [dict(id=7, name='cell')]
    return files, json.dumps(
        dict(images=images, annotations=annotations, categories=categories)
    )


def test_detection_set_is_read_as_it_was(tmp_path):
    datasets = pytest.importorskip('mmdet.datasets')
    command = ['--out', str(tmp_path / 'out'), '--subset', '5']
    for split, count in (('train', TRAIN), ('val', TEST)):
        files, content = make_coco(count, 'deep/' if split == 'val' else '')
        (tmp_path / f'{split}.json').write_text(content)
        source = pack(
            tmp_path / f'{split}.zip',
            {f'{split}2017/{name}': data for name, data in files.items()},
        )
        command += [f'--{split}', str(tmp_path / f'{split}.json'), str(source)]
    prepare_detection.main(command)
    for split, size in (('train', 5), ('val', TEST)):
        dataset = datasets.CocoDataset(
            data_root=str(tmp_path / 'out'),
            ann_file=f'{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=('cell',)),
            pipeline=[],
        )
        assert len(dataset) == size
        for i in range(size):
            info = dataset.get_data_info(i)
            left = info['instances'][0]['bbox'][0]
            assert left == info['img_id'] - 10
            with Image.open(info['img_path']) as image:
                assert image.size == (30, 20)


# Segmentation


def test_segmentation_set_is_read_as_it_was(tmp_path):
    datasets = pytest.importorskip('mmseg.datasets')
    maps = rng.integers(0, 4, (TRAIN, 8, 9), np.uint8)
    palette = Image.new('P', (9, 8))
    palette.putpalette([0, 0, 0, 9, 9, 9, 50, 50, 50, 70, 70, 70])
    files = {}
    for number, labels in enumerate(maps):
        files[f'img/{number}.jpg'] = encode(np.dstack(3 * [labels]), 'JPEG')
        if number % 2:  # in a palette
            palette.putdata(labels.ravel().tolist())
            stream = io.BytesIO()
            palette.save(stream, 'PNG')
            files[f'ann/{number}.png'] = stream.getvalue()
        else:
            files[f'ann/{number}.png'] = encode(labels)
    source = pack(tmp_path / 'train.zip', files)
    out = tmp_path / 'out'
    prepare_segmentation.main(
        ['--train', f'{source}/img', f'{source}/ann', '--out', str(out)]
        + ['--ignore', '3', '--subset', '7']
    )
    importlib.import_module('mmseg.datasets.transforms')
    dataset = datasets.BaseSegDataset(
        data_root=str(out),
        data_prefix=dict(
            img_path='img_dir/train', seg_map_path='ann_dir/train'
        ),
        metainfo=dict(classes=('a', 'b', 'c'), palette=3 * [[0, 0, 0]]),
        pipeline=[dict(type='mmseg.LoadAnnotations')],
    )
    assert len(dataset) == 7
    for i in range(7):
        results = dataset[i]
        number = int(results['img_path'].split('/')[-1][:-4])
        wanted = np.where(maps[number] == 3, 255, maps[number])
        np.testing.assert_array_equal(results['gt_seg_map'], wanted)


def test_error_is_one_line(tmp_path):
    with pytest.raises(SystemExit, match='prepare_classification.py: error:'):
        prepare_classification.main([str(tmp_path), '--out', str(tmp_path)])
