"""Data of several tests, and what takes time and is not about the models."""

import importlib

import pytest

from tools.dataset_converters import prepare_scenes


@pytest.fixture(scope='session')
def scenes(tmp_path_factory):
    """Twelve scenes of digits to train on, and two to validate."""
    out = tmp_path_factory.mktemp('data') / 'scenes'
    prepare_scenes.ensure(out, train=12, test=2)
    return out


@pytest.fixture(autouse=True)
def no_formatting(monkeypatch):
    """Keep MMEngine from formatting configs for its log, which is slow."""
    for module in ('yapf.yapflib.yapf_api', 'mmengine.config.config'):
        monkeypatch.setattr(
            importlib.import_module(module),
            'FormatCode',
            lambda text, **_: (text, True),
            raising=False,  # each family imports it in another place
        )
