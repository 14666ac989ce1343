"""What takes time and is not about the models."""

import importlib

import pytest


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
