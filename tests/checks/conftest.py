"""A reason that crashes costs a report its reason and no more; in a test it is a failure."""

import pytest

from scratchvae.checks.vjp import check


@pytest.fixture(autouse=True)
def _no_crash_is_forgiven(monkeypatch):
    monkeypatch.setattr(check, "FORGIVEN", ())
