"""Finding and loading configs of files and of installed packages."""

import re

import pytest

from bls_mm.zoo import load_config, zoo_path


def test_load_config_of_a_missing_file():
    with pytest.raises(FileNotFoundError, match=r'no config file `no/x.py`'):
        load_config('no/x.py')


@pytest.mark.parametrize('spec', ['mmnothing::a/b.py', '::a.py', 'a.b::c.py'])
def test_zoo_path_of_a_missing_package(spec):
    package = re.escape(spec.partition('::')[0])
    message = f'The package `{package}` is not installed'
    with pytest.raises(FileNotFoundError, match=message):
        zoo_path(spec)


def test_zoo_path_of_a_package_without_configs():
    with pytest.raises(FileNotFoundError, match=r'installed without configs'):
        zoo_path('torch::a.py')


def test_load_config_of_an_own_base_leaves_types_to_their_packages(tmp_path):
    pytest.importorskip('mmdet')
    file = tmp_path / 'mine.py'
    file.write_text("_base_ = 'bls_mm::demo/resnet_mnist-bls-infobatch.py'\n")
    cfg = load_config(file)
    assert cfg.train_dataloader.sampler.type == 'BLSSampler'
    # Its `ImageClassifier` is mmpretrain's.
    assert '_scope_' not in cfg.pretty_text
    file.write_text("_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'")
    assert load_config(file).model._scope_ == 'mmdet'


def test_zoo_path_names_similar_files():
    pytest.importorskip('mmpretrain')
    message = r'Similar: .*resnet/resnet18_8xb16_cifar10\.py'
    with pytest.raises(FileNotFoundError, match=message):
        zoo_path('mmpretrain::resnet/resnet18_8xb16_cifar.py')
