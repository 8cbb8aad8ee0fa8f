"""The tests of the core once more, each on the stand-in for CuPy: see border.py.

Left out are the tests that never touch a device: order and bits (they are the host's), damaged files, the command line.
"""

import sys

import numpy as np
import pytest
from border import on_device

from scratchvae import layers
from scratchvae.standin import Cupy

MODULES = {
    "test_layers": "",
    "test_gaussian": "",
    "test_likelihoods": "",
    "test_vae": "",
    "test_optim": "",
    "test_iwae": "",
    "test_evaluation": "",
    "test_resume": "stopped_and_resumed_is_the_same_run",
}

HOST_ONLY = (  # these ask which object it is, or build what the border does not know
    "chain_composes_anything",
    "empty_chain",
    "params_are_built_once",
    "params_are_the_layers_own",
    "a_copy_keeps_the_sharing",
    "siblings_with_their_array_library",
    "masked_array",
    "layers_that_do_not_make_rows",
)

for _module, _only in MODULES.items():
    for _name, _test in vars(on_device(_module)).items():
        if _name.startswith("test_") and _only in _name and not any(name in _name for name in HOST_ONLY):
            globals()[f"{_module}__{_name.removeprefix('test_')}"] = _test


@pytest.fixture(autouse=True)
def _cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", Cupy())


def test_a_call_to_numpy_in_the_core_is_caught(monkeypatch):
    globals()["test_layers__relu_is_flat_at_its_kink"]()
    monkeypatch.setattr(layers, "get_xp", lambda array: np)
    with pytest.raises(TypeError, match=r"np\.maximum met a device array"):
        globals()["test_layers__relu_is_flat_at_its_kink"]()
