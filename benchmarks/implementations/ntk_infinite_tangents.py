"""neural-tangents, compiled, in float64."""

import runpy
import sys
import types
from pathlib import Path

# it would import tensorflow, for a converter that nothing here uses
sys.modules["neural_tangents.experimental"] = types.ModuleType("neural_tangents.experimental")

import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from neural_tangents import stax  # noqa: E402

points = runpy.run_path(str(Path(__file__).with_name("ntk_infinite_problem.py")))["points"]


def prepare(case):
    X = jnp.asarray(points(case))
    layers = [layer for _ in range(case["depth"]) for layer in (stax.Dense(1, W_std=2**0.5), stax.Relu())]
    kernel_fn = stax.serial(*layers, stax.Dense(1, W_std=2**0.5))[2]
    compiled = jax.jit(lambda x: kernel_fn(x, None, "ntk"))
    return lambda: np.asarray(compiled(X).block_until_ready())
