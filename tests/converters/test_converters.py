"""What the dataset converters refuse, and that they leave nothing behind."""

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from bls_mm.converters import (
    convert_classification,
    convert_detection,
    convert_segmentation,
)


def write(folder, files):
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def png(shape=(4, 4)):
    stream = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(stream, 'PNG')
    return stream.getvalue()


FOLDERS = {f'train/{name}/0.png': png() for name in 'ab'}
LABELS = b'\0\0\x08\1\0\0\0\1\0'
META = pickle.dumps(dict(fine_label_names=['a']))


@pytest.mark.parametrize(
    'files, changes, error, told',
    [
        ({'a.png': b''}, {}, ValueError, 'no images in a known format'),
        (FOLDERS, dict(subset=3), ValueError, r'`subset` .* \[1, 2\]'),
        (FOLDERS, dict(subset=1.0), TypeError, '`subset` should be an int'),
        (
            {'test/a/0.png': png()},
            dict(subset=1),
            ValueError,
            'no split `train`',
        ),
        (
            {f'test/{name}/0.png': png() for name in 'ab'},
            dict(wrong_labels=0.1),
            ValueError,
            'no split `train`',
        ),
        (
            {'train/a/0.png': png()},
            dict(wrong_labels=0.1),
            ValueError,
            'at least two classes',
        ),
        (FOLDERS, dict(wrong_labels=1.1), ValueError, r'in \[0, 1\]'),
        (
            {'train-labels-idx1-ubyte': LABELS},
            {},
            ValueError,
            'train-labels-idx1-ubyte but not',
        ),
        (
            {
                'train-labels-idx1-ubyte': LABELS,
                'train-images-idx3-ubyte': b'\0\0\x0d\1\0\0\0\0',
            },
            {},
            ValueError,
            'images-idx3-ubyte should hold unsigned bytes',
        ),
        (
            {
                'train-labels-idx1-ubyte': LABELS,
                'train-images-idx3-ubyte.gz': gzip.compress(LABELS)[:-6],
            },
            {},
            ValueError,
            'images-idx3-ubyte.gz is damaged',
        ),
        (
            {f'{top}/train/a/0.png': png() for top in 'xy'},
            {},
            ValueError,
            '2 images would become train/a/0.png',
        ),
        (
            {**FOLDERS, 'train/a/b/0.png': png()},
            {},
            ValueError,
            'cannot both be SPLIT/CLASS/NAME',
        ),
        ({**FOLDERS, 'train/a/1.webp': b''}, {}, ValueError, 'does not read'),
        (
            {
                'train-labels-idx1-ubyte': LABELS,
                'train-images-idx3-ubyte': b'\0\0\x08\3' + 12 * b'\0',
            },
            {},
            ValueError,
            '0 images but 1 labels',
        ),
        # A pickle that would run something.
        (
            {'train': pickle.dumps(print), 'test': META, 'meta': META},
            {},
            ValueError,
            'train cannot be read: builtins.print is no array',
        ),
    ],
)
def test_classification_set_is_refused(tmp_path, files, changes, error, told):
    source = write(tmp_path / 'source', files)
    with pytest.raises(error, match=told):
        convert_classification(source, tmp_path / 'out', **changes)
    assert [path.name for path in tmp_path.iterdir()] == ['source']


def test_missing_source_is_refused(tmp_path):
    for name in ('none.zip', 'source/train/a/0.png'):
        write(tmp_path / 'source', FOLDERS)
        with pytest.raises(FileNotFoundError, match='neither a folder nor'):
            convert_classification(tmp_path / name, tmp_path / 'out')


def test_share_of_the_training_images_moves_to_other_classes(tmp_path):
    files = {
        f'{split}/{label}/{number}.png': f'{split}{label}{number}'.encode()
        for split in ('train', 'test')
        for label in 'abc'
        for number in range(40)
    }
    convert_classification(
        write(tmp_path / 'in', files), tmp_path / 'out', wrong_labels=0.1
    )
    found = {
        str(path.relative_to(tmp_path / 'out')): path.read_bytes()
        for path in (tmp_path / 'out').rglob('*.png')
    }
    moved = found.keys() - files.keys()
    assert len(found) == len(files)
    assert len(moved) == 12  # of 120
    for name in moved:
        split, label, file = name.split('/')
        true, number = file.split('-')
        assert split == 'train'
        assert label != true
        assert found[name] == files[f'train/{true}/{number}']
    assert {name.split('/')[1] for name in moved} == set('abc')


def test_links_are_files(tmp_path):
    elsewhere = write(tmp_path / 'elsewhere', {'0.png': png()})
    source = write(tmp_path / 'source', FOLDERS)
    (source / 'train/c').symlink_to(elsewhere)
    (source / 'train/a/1.png').symlink_to(tmp_path / 'nowhere')
    (source / 'train/a/loop').symlink_to(source)
    assert convert_classification(source, tmp_path / 'out')['train'] == 3
    os.link(source / 'train/a/0.png', source / 'train/a/2.png')
    with tarfile.open(tmp_path / 'a.tar.gz', 'w:gz') as tar:
        tar.add(source / 'train/a', 'train/a')
    found = convert_classification(tmp_path / 'a.tar.gz', tmp_path / 'b')
    assert found['train'] == 2


def test_splits_of_idx_files_number_classes_alike(tmp_path):
    def idx(*values, dims=1):
        shape = [len(values), *[1] * (dims - 1)]
        sizes = np.array(shape, '>u4').tobytes()
        return bytes([0, 0, 8, dims]) + sizes + bytes(values)

    files = {}
    for split, labels in (('train', (0, 11)), ('t10k', (0, 2))):
        files[f'{split}-labels-idx1-ubyte'] = idx(*labels)
        files[f'{split}-images-idx3-ubyte'] = idx(7, 7, dims=3)
    convert_classification(write(tmp_path / 'in', files), tmp_path / 'out')
    assert (tmp_path / 'out/test/02/00001.png').exists()
    classes = [p.name for p in sorted((tmp_path / 'out/test').iterdir())]
    assert classes == ['00', '02', '11']


@pytest.mark.parametrize('kind', ['', 'gz', 'xz', 'bz2', 'zip'])
def test_archive_with_a_damaged_byte_is_refused(tmp_path, kind):
    """Wherever it is, but in what no reader looks at."""
    rng = np.random.default_rng(0)
    images = {f'train/a/{i}.png': rng.bytes(5000) for i in range(4)}
    file = tmp_path / (
        'a.zip' if kind == 'zip' else f'a.tar.{kind}'.strip('.')
    )
    if kind == 'zip':
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
            for name, content in images.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(file, f'w:{kind}') as tar:
            for name, content in images.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    good = file.read_bytes()
    # Of a plain tar only the headers have a checksum.
    places = [len(good) // 3, len(good) // 2]
    if not kind:
        places = [good.index(b'train/a/2.png')]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1
        file.write_bytes(bad)
        with pytest.raises(ValueError, match=f'{file.name} cannot be read: '):
            convert_classification(file, tmp_path / 'out')
        assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['a.zip', 'a.tar.gz'])
def test_damaged_archive_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b'something else')
    with pytest.raises(ValueError, match=f'{name} cannot be read: '):
        convert_classification(tmp_path / name, tmp_path / 'out')


def test_folder_that_is_there_is_kept_or_refused(tmp_path):
    source, out = write(tmp_path / 'source', FOLDERS), tmp_path / 'out'
    assert convert_classification(source, out) == dict(train=2)
    file = out / 'train/a/0.png'
    file.touch()
    before = file.stat().st_mtime_ns
    assert convert_classification(source, out) == dict(train=2)
    assert file.stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match='with other settings'):
        convert_classification(source, out, subset=1)
    same_name = write(tmp_path / 'x/source', {**FOLDERS, 'more.txt': b''})
    for other in (write(tmp_path / 'other', FOLDERS), same_name):
        with pytest.raises(FileExistsError, match='with other settings'):
            convert_classification(other, out)
    with pytest.raises(FileExistsError, match='with other settings'):
        convert_classification(source, source)


def test_another_archive_of_the_same_name_is_no_source_of_it(tmp_path):
    out = tmp_path / 'out'
    for folder, count in (('one', 1), ('two', 2)):
        (tmp_path / folder).mkdir()
        with zipfile.ZipFile(tmp_path / folder / 'a.zip', 'w') as archive:
            for number in range(count):
                archive.writestr(f'x/train/a/{number}.png', b'')
    assert convert_classification(tmp_path / 'one/a.zip', out)['train'] == 1
    with pytest.raises(FileExistsError, match='from another source'):
        convert_classification(tmp_path / 'two/a.zip', out)


def test_detection_set_is_refused(tmp_path):
    file = tmp_path / 'train.json'
    names = ('0.jpg', 'x10.jpg', 'img/1.jpg', 'masks/1.jpg', 'a/b/2.jpg')
    source = write(tmp_path / 'source', dict.fromkeys(names, b''))
    image = dict(id=0, file_name='10.jpg')

    def named(*names):
        images = [dict(id=i, file_name=name) for i, name in enumerate(names)]
        return dict(images=images, annotations=[], categories=[])

    for content, told in (
        ([], 'annotations, categories, images, as COCO'),
        (dict(images=[image]), 'as COCO has'),
        (
            dict(images=[image], annotations=[], categories=[]),
            'lacks 1 of 1 images, among them 10.jpg',
        ),
        (named('1.jpg'), 'img/1.jpg and masks/1.jpg, and either may be 1'),
        (named('2.jpg', 'b/2.jpg'), 'a/b/2.jpg, which may be 2.jpg or b/2'),
        (
            dict(images=[dict(id=0)], annotations=[], categories=[]),
            'without `file_name`',
        ),
    ):
        file.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=told):
            convert_detection(dict(train=(file, source)), tmp_path / 'out')
    file.write_text('{')
    with pytest.raises(ValueError, match='train.json` is no JSON'):
        convert_detection(dict(train=(file, source)), tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_image_of_that_very_path_is_meant(tmp_path):
    source = write(tmp_path / 'in', {'1.jpg': b'right', 'masks/1.jpg': b''})
    file = tmp_path / 'train.json'
    content = dict(images=[dict(id=0, file_name='1.jpg')])
    file.write_text(
        json.dumps({**content, 'annotations': [], 'categories': []})
    )
    convert_detection(dict(train=(file, source)), tmp_path / 'out')
    assert (tmp_path / 'out/train/1.jpg').read_bytes() == b'right'


@pytest.mark.parametrize(
    'files, told',
    [
        ({'img/0.jpg': b'', 'ann/1.png': png()}, 'lacks a map for 0'),
        (
            {'img/a/0.jpg': b'', 'img/b/0.jpg': b'', 'ann/0.png': png()},
            'would both become 0',
        ),
        (
            {
                f'{folder}{name}': png()
                for folder, names in (
                    ('img/', ('0.jpg', '1.JPG')),
                    ('ann/', ('0.png', '1.png')),
                )
                for name in names
            },
            'end with .JPG, .jpg, but',
        ),
        ({'img/0.txt': b'', 'ann/0.png': png()}, 'lacks any images'),
        ({'img/0.jpg': b'', 'ann/0.png': png((4, 4, 3))}, 'one channel'),
    ],
)
def test_segmentation_set_is_refused(tmp_path, files, told):
    source = write(tmp_path / 'source', files)
    splits = dict(train=(source / 'img', source / 'ann'))
    with pytest.raises(ValueError, match=told):
        convert_segmentation(splits, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
