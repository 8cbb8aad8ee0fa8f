"""One BLAS thread, floating-point errors that raise, and a generator: what every test stands on."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # why: before numpy is imported; two threads on busy cores spin

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _floating_point_errors_raise():
    with np.errstate(over="raise", invalid="raise", divide="raise"):  # underflow is normal: Adam's moments
        yield


@pytest.fixture(autouse=True)
def _no_crash_of_a_reason_is_forgiven(request, monkeypatch):
    """A reason that crashes costs a report its reason and no more; in a test of the checks it is a failure."""
    if "checks" in request.path.parts:
        monkeypatch.setattr("scratchvae.checks.vjp.check.FORGIVEN", ())


def pytest_collection_modifyitems(items):
    """The longest test first, so that no core waits for it at the end."""
    items.sort(key=lambda item: item.name != "test_the_counts_are_those_of_a_run")


@pytest.fixture
def rng():
    return np.random.default_rng(12345)
