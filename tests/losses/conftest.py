"""What tests of losses share."""

import pytest


@pytest.fixture
def logged(monkeypatch):
    """What is said about losses."""
    said = []
    monkeypatch.setattr(
        'bls_mm.losses.module_calls.print_log',
        lambda message, logger, level: said.append(message),
    )
    return said
