"""neural-tangents, compiled, on the same weights."""

import runpy
import sys
import types
from pathlib import Path

# it would import tensorflow, for a converter that nothing here uses
sys.modules["neural_tangents.experimental"] = types.ModuleType("neural_tangents.experimental")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import neural_tangents as nt  # noqa: E402
import numpy as np  # noqa: E402

start = runpy.run_path(str(Path(__file__).with_name("ntk_empirical_problem.py")))["start"]
METHODS = {
    "structured": nt.NtkImplementation.STRUCTURED_DERIVATIVES,
    "jacobian": nt.NtkImplementation.JACOBIAN_CONTRACTION,
    "vector_product": nt.NtkImplementation.NTK_VECTOR_PRODUCTS,
}


def prepare(case):
    layers, points = start(case)
    parameters = [(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in layers]
    X = jnp.asarray(points)

    def apply(parameters, x):
        for i, (weight, bias) in enumerate(parameters):
            x = x @ weight + bias
            if i + 1 < len(parameters):
                x = jax.nn.relu(x)
        return x

    # the trace over outputs is divided by their number
    kernel = nt.empirical_ntk_fn(apply, trace_axes=(-1,), vmap_axes=0, implementation=METHODS[case["method"]])
    # weights are an argument: as constants of the compiled function they make it three hundred times slower
    compiled = jax.jit(lambda x, parameters: kernel(x, None, parameters))
    return lambda: np.asarray(compiled(X, parameters).block_until_ready())
