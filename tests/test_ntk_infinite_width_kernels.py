"""Kernels of infinite width in torch and Triton: equal to the simulator's, at every angle, in both precisions."""

import os
import subprocess
import sys
import weakref
from textwrap import dedent

import numba
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lemmata.errors import DomainError, NonFiniteError, ShapeError
from lemmata.kernels.ntk import fc_kernels, nngp, ntk
from lemmata.kernels.ntk import infinite_width as module
from lemmata.problems.ntk import leaky_relu
from lemmata.sims import ntk as simulators

CUDA = torch.cuda.is_available()
TRITON_DEVICE = "cuda" if CUDA else "cpu"
NTK = {"parametrization": "ntk"}
EPS, EPS32 = np.finfo(np.float64).eps, np.finfo(np.float32).eps
#: Each family, with a variance at which layers stay of order one.
ACTIVATIONS = {
    "relu": ("relu", 2.0),
    "leaky": (leaky_relu(1 / 3), 1.8),
    "abs": ("abs", 1.0),
    "linear": ("linear", 1.0),
    "step": ("step", 2.0),
    "erf": ("erf", 1.5),
    "sin": ("sin", 1.5),
    "quadratic": ("quadratic", 0.4),
    "tanh": ("tanh", 1.5),
    "gelu": ("gelu", 2.0),
}
#: Those that the interpreter, which is slow, is asked for; `abs` is beside them in float32.
INTERPRETED = ("relu", "leaky", "step", "erf")


def points(n, d, seed=0):
    return 0.7 * np.random.default_rng(seed).standard_normal((n, d))


def pairs(n, m, d, near=True):
    """x and y with rows that coincide, are opposite or collinear and, on demand, nearly so, within x and with y."""
    x, y = points(n, d), points(m, d, seed=1)
    x[2], x[4], x[6], y[0], y[1], y[2] = x[1], -x[3], 2 * x[5], x[0], -x[1], 2 * x[2]
    if near:
        x[8], x[10], x[12] = x[7] + 1e-6, -x[9] + 1e-3 * x[0], x[11] + 0.02 * x[0]
        y[3], y[4], y[5] = x[3] + 1e-9, -x[4] * (1 + 1e-6) + 1e-7, x[5] + 0.03 * x[0]
    return x, y


def off(found, exact, units):
    """The largest error, in units of the largest entry."""
    exact = np.asarray(exact)
    return float(np.abs(found.double().cpu().numpy() - exact).max() / (units * np.abs(exact).max()))


def at_every_angle(d, n=20):
    """x and y whose rows i form the angles 0, 0, 1e-9, ..., 1, and pi less these."""
    rng = np.random.default_rng(2)
    x, other = rng.standard_normal((2, n, d))
    angle = np.concatenate((np.zeros(2), np.geomspace(1e-9, 1, n - 2)))[:, None]
    y = x * np.cos(angle) + other * np.sin(angle)
    return x, np.concatenate((y, -y, 3 * x[:5]))


def relative(found, x, y, **network):
    """Largest errors of both kernels, of ``sqrt(k(x, x) k(y, y))``."""
    exact = simulators.fc_kernels(x, y, **network)
    sizes = [[np.diag(k) for k in simulators.fc_kernels(z, **network)] for z in (x, y)]
    return [
        float((np.abs(f.double().cpu().numpy() - e) / np.sqrt(np.outer(a, b))).max())
        for f, e, a, b in zip(found, exact, *sizes, strict=True)
    ]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.fixture(params=["torch", pytest.param("triton", marks=pytest.mark.triton)])
def fill(request, monkeypatch):
    """Both ways to fill a kernel, each as the one that is taken, in many small tiles."""
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "DEVICE", 16)
    if request.param == "triton":
        pytest.importorskip("triton")
        from lemmata.kernels.ntk import _infinite_width_triton as fused

        monkeypatch.setattr(module, "_fill", fused.fill)
        monkeypatch.setattr(fused, "TILES", {False: (32, 16, 16), True: (32, 32, 16)})
    return request.param


def device_of(fill):
    return TRITON_DEVICE if fill == "triton" else "cpu"


# ------------------------------------------------------------------------------------------- both engines


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equal_to_the_simulator(name, fill):
    if fill == "triton" and name not in INTERPRETED:
        pytest.skip("done by torch, or as another is")
    activation, sw2 = ACTIVATIONS[name]
    # three steps turn an angle into its eighth root: nearly equal points are there what their last digit makes of them
    x, y = pairs(33, 17, 5, near=name != "step")
    for depth, sb2, rates in ((1, 0.0, None), (3, 0.0, (0.5, 0, 2, 1)), (3, 0.3, None)):
        for parametrization in ("ntk", "standard") if depth == 3 else ("ntk",):
            network = {"depth": depth, "activation": activation, "sw2": sw2, "sb2": sb2}
            trained = network | {"rates": rates, "parametrization": parametrization}
            for other in (None, y):
                exact = simulators.fc_kernels(x, other, **trained)
                found = fc_kernels(x, other, device=device_of(fill), **trained)
                for f, e in zip(found, exact, strict=True):
                    # two products, summed in different orders, and a few roundings a layer
                    assert off(f, e, EPS) < 4 + 4 * depth
                    assert other is not None or torch.equal(f, f.mT)
        assert torch.equal(nngp(x, y, device=device_of(fill), **network).cpu(), found.nngp.cpu())
        assert torch.equal(ntk(x, y, device=device_of(fill), **trained).cpu(), found.ntk.cpu())


REFERENCE = [
    (
        {"depth": 1, "activation": "relu", "sw2": 2.0},
        [5, 0.7957747154595, 2.773336438587, 1.25, 0.001069619538862, 10],
        [10, 0.7957747154595, 3.318503673888, 2.5, -0.1570157040142, 20],
    ),
    (
        {"depth": 2, "activation": "relu", "sw2": 2.0, "sb2": 0.2},
        [5.6, 1.813115112178, 4.374263552808, 1.85, 1.652303642427, 10.6],
        [16.2, 2.618797108267, 6.807229555486, 4.95, 1.49401465, 31.2],
    ),
    (
        {"depth": 1, "activation": "erf"},
        [0.6271410026453, 0, 0.07856172352184, 0.3749887621765, -0.4967846939463, 0.7264446963483],
        [1.586881420402, 0, 0.1575246880217, 0.800348239649, -1.127006115256, 2.115662932434],
    ),
]


@pytest.mark.parametrize(("network", "K", "theta"), REFERENCE)
def test_thirteen_digits(network, K, theta, fill):
    X = np.array([(1, 2), (-1, 0.5), (3, -1)])
    upper = np.triu_indices(3)
    for dtype, rtol, units in ((torch.float64, 6e-13, 4 * EPS), (torch.float32, 0, 2 * EPS32)):
        found = fc_kernels(X, device=device_of(fill), dtype=dtype, **network, **NTK)
        # printed to 13 digits; what cancels, as rows 1 and 2 do, is as good as the largest entry
        np.testing.assert_allclose(found.nngp.cpu()[upper], K, rtol=rtol, atol=units * max(K))
        np.testing.assert_allclose(found.ntk.cpu()[upper], theta, rtol=rtol, atol=units * max(theta))


@pytest.mark.parametrize(("activation", "sw2", "sb2"), [("relu", 2.0, 0.0), ("relu", 1.5, 0.3), ("abs", 1.0, 0.0)])
def test_float32_at_every_angle(activation, sw2, sb2, fill):
    """The bounds of the docstring. A plain float32 recursion is off by 1e-4 at equal points."""
    for d, depth in ((5, 10), (100, 3)):
        x, y = at_every_angle(d)
        network = {"depth": depth, "activation": activation, "sw2": sw2, "sb2": sb2, **NTK}
        found = fc_kernels(x, y, device=device_of(fill), dtype=torch.float32, **network)
        assert found.nngp.dtype == found.ntk.dtype == torch.float32
        K, theta = relative(found, x, y, **network)
        # the interpreted kernel takes the product of the points in float32: three times the error in the angle
        assert K < 3e-7
        assert theta < (1e-6 if fill == "torch" else 2e-6)
        whole = fc_kernels(x, device=device_of(fill), dtype=torch.float32, **network)
        for f, e in zip(whole, simulators.fc_kernels(x, **network), strict=True):
            assert torch.equal(f, f.mT)
            np.testing.assert_allclose(f.diagonal().cpu(), np.diag(e), rtol=EPS32 / 2 + 20 * EPS)


@pytest.mark.parametrize("name", ["step", "erf", "tanh"])
def test_float32_rounds_once_what_it_computes_in_float64(name, fill):
    if fill == "triton" and name not in INTERPRETED:
        pytest.skip("done by torch, or as another is")
    activation, sw2 = ACTIVATIONS[name]
    x, y = (z / 3 for z in at_every_angle(5))
    network = {"depth": 3, "activation": activation, "sw2": sw2, "sb2": 0.1, "device": device_of(fill), **NTK}
    for f, e in zip(fc_kernels(x, y, dtype=torch.float32, **network), fc_kernels(x, y, **network), strict=True):
        assert torch.equal(f, e.float())


def test_zero_rows_and_extreme_sizes(fill):
    x = np.array([[0.0, 0, 0], [1e-60, 0, 0], [1, 2, 3], [1e60, 0, -1e60]])
    found = fc_kernels(x, depth=2, activation="relu", sw2=2.0, device=device_of(fill), **NTK)
    exact = simulators.fc_kernels(x, depth=2, activation="relu", sw2=2.0, **NTK)
    for f, e in zip(found, exact, strict=True):
        # entry by entry: the sizes of rows are exact factors
        np.testing.assert_allclose(f.cpu(), e, rtol=20 * EPS)
        assert (f[0] == 0).all()
    small = fc_kernels(x[[0, 2]], depth=2, activation="abs", device=device_of(fill), dtype=torch.float32, **NTK)
    assert small.ntk[0].tolist() == [0, 0]


@pytest.mark.parametrize("name", ["erf", "sin", "tanh"])
def test_small_and_large_inputs(name):
    """Where the activation is linear, and where it is nearly a step or noise."""
    x, y = pairs(15, 12, 4)
    network = {"depth": 2, "activation": name, "sw2": 1.5, **NTK}
    for f, e in zip(
        fc_kernels(1e-6 * x, 1e-6 * y, **network), simulators.fc_kernels(1e-6 * x, 1e-6 * y, **network), strict=True
    ):
        assert off(f, e, EPS) < 16
    if name != "tanh":  # which has no closed form
        for f in fc_kernels(1e12 * x, 1e12 * x, **network):  # cosines above 1 among them
            assert torch.isfinite(f).all()


def test_products_that_are_not_symmetric(monkeypatch):
    """A kernel is, whatever a library does to the last digits of a product."""
    cosines, generator = module._cosines, torch.Generator().manual_seed(0)

    def shaken(*args):
        found = cosines(*args)
        return found * (1 + 1e-15 * torch.rand(found.shape, generator=generator, dtype=torch.float64))

    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "_cosines", shaken)
    x, _ = pairs(40, 8, 4)
    for name in ("relu", "erf"):
        for dtype in (torch.float64, torch.float32):
            for found in fc_kernels(x, depth=2, activation=name, dtype=dtype, **NTK):
                assert torch.equal(found, found.mT)


# ------------------------------------------------------------------------------------------- what must be seen


def test_coarse_products_are_seen(monkeypatch):
    """TF32 in the product of the points, or float32: right where points are far apart, and only there."""
    x, y = at_every_angle(5)
    network = {"depth": 3, "activation": "relu", "sw2": 2.0, **NTK}

    def coarse(bits):
        def cosines(x, y, rows, columns):
            u, v = (z.float().view(torch.int32) + (1 << (22 - bits)) & -(1 << (23 - bits)) for z in (x.unit, y.unit))
            return (u.view(torch.float32)[rows] @ v.view(torch.float32)[columns].mT).double()

        return cosines

    for bits, least in ((10, 1e-3), (22, 1e-5)):
        monkeypatch.setattr(module, "_cosines", coarse(bits))
        assert relative(fc_kernels(x, y, dtype=torch.float32, **network), x, y, **network)[1] > least


def test_products_without_differences_are_seen(monkeypatch):
    x, y = at_every_angle(5)
    network = {"depth": 3, "activation": "relu", "sw2": 2.0, **NTK}
    assert max(relative(fc_kernels(x, y, **network), x, y, **network)) < 20 * EPS
    monkeypatch.setattr(module, "_mend", lambda *_: None)
    assert relative(fc_kernels(x, y, **network), x, y, **network)[1] > 1e-9


def test_a_wrong_diagonal_is_seen(monkeypatch):
    """That of the product, of a layer too few, and of a rate forgotten."""
    x = points(30, 784)
    network = {"depth": 3, "activation": "relu", "sw2": 2.0, "rates": (1, 2, 1, 1), **NTK}
    exact = torch.from_numpy(np.diag(simulators.ntk(x, **network)).copy())

    def wrong():
        return float((ntk(x, dtype=torch.float32, **network).diagonal().double() / exact - 1).abs().max())

    assert wrong() < EPS32 / 2 + 20 * EPS
    true = module._tangents
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "copy_", lambda self, *_, **__: self)
        assert wrong() > EPS32
    for change in (lambda found: found[:-1], lambda found: found * (1 + 1e-6)):
        monkeypatch.setattr(module, "_tangents", lambda *a, change=change: change(true(*a)))
        assert wrong() > 5e-7


@pytest.mark.triton
def test_half_of_the_points_is_seen(monkeypatch):
    """The products of the rests left out: float16, as coarse as TF32."""
    pytest.importorskip("triton")
    from lemmata.kernels.ntk import _infinite_width_triton as fused

    class Halved(fused._Side):
        def __init__(self, *args):
            super().__init__(*args)
            self.rest = torch.zeros_like(self.rest)

    monkeypatch.setattr(module, "_fill", fused.fill)
    monkeypatch.setattr(fused, "_Side", Halved)
    x, y = at_every_angle(5)
    network = {"depth": 3, "activation": "relu", "sw2": 2.0, **NTK}
    found = fc_kernels(x, y, dtype=torch.float32, device=TRITON_DEVICE, **network)
    assert relative(found, x, y, **network)[1] > 3e-5


# --------------------------------------------------------------------------------------------- tiles, memory


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_tiles_of_any_size(name, monkeypatch):
    activation, sw2 = ACTIVATIONS[name]
    x, y = pairs(40, 23, 7)
    network = {"depth": 2, "activation": activation, "sw2": sw2, "sb2": 0.1, **NTK}
    for other in (None, y):
        found = []
        for block in (5, 16, 64):
            monkeypatch.setattr(module, "BLOCK", block)
            found.append(fc_kernels(x, other, **network))
        for kernels in found[1:]:
            for f, e in zip(kernels, found[0], strict=True):
                assert off(f, e, EPS) < 8  # products of another shape are summed in another order


class _Watch(TorchDispatchMode):
    """Operations in order, bytes of tensors alive at once, and of the largest."""

    def __init__(self):
        super().__init__()
        self.names = []
        self.now = self.peak = 0
        self.sizes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.names.append(function.overloadpacket.__name__)
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self.forget, storage._cdata)
        return out

    def forget(self, key):
        self.now -= self.sizes.pop(key)


@pytest.mark.parametrize("name", ["relu", "erf", "gelu"])
def test_memory_beside_the_kernel(name, monkeypatch):
    n, d, block = 400, 20, 64
    monkeypatch.setattr(module, "BLOCK", block)
    activation, sw2 = ACTIVATIONS[name]
    x = torch.from_numpy(points(n, d))
    x[1] = x[0]  # one tile is mended
    with _Watch() as watch:
        fc_kernels(x, depth=3, activation=activation, sw2=sw2, sb2=0.1, **NTK)
    tables = module.tables(module.InfiniteNetwork(3, activation, sw2, 0.1, **NTK), x.square().sum(1).numpy(), d)
    held = sum(table.nbytes for table in tables) + 3 * x.nbytes
    assert watch.peak < 2 * 8 * n * n + held + 14 * 8 * block * block


def test_the_host_waits_for_nothing_between_tiles(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 16)
    for name in ("relu", "step", "erf", "sin", "quadratic", "tanh"):
        with _Watch() as watch:
            fc_kernels(torch.from_numpy(points(60, 5)), depth=2, activation=name, sb2=0.1, **NTK)
        products = [k for k, op in enumerate(watch.names) if op == "mm"]
        assert len(products) == 10
        between = set(watch.names[products[0] : products[-1]])
        assert not between & {"_local_scalar_dense", "item", "nonzero", "masked_select", "equal", "_to_copy"}


# ---------------------------------------------------------------------------------------------- inputs


def test_inputs_of_any_kind():
    x, y = pairs(15, 9, 4)
    network = {"depth": 2, "activation": "relu", "sw2": 2.0, **NTK}
    exact = ntk(x, y, **network)
    assert exact.dtype == torch.float64
    assert exact.shape == (15, 9)
    fixed = x.copy()
    fixed.setflags(write=False)
    for given in (torch.from_numpy(x), x.tolist(), fixed, x[::-1][::-1], np.asfortranarray(x)):
        assert torch.equal(ntk(given, y, device="cpu", **network), exact)
    rounded = x.astype(np.float32)
    found = ntk(torch.from_numpy(rounded), y, **network)
    assert torch.equal(found, ntk(rounded.astype(np.float64), y, **network))
    assert torch.equal(ntk(torch.from_numpy(x.T.copy()).mT, **network), ntk(x, **network))
    before = torch.from_numpy(x.copy())
    ntk(before, **network)
    np.testing.assert_array_equal(before, x)
    assert not torch.is_grad_enabled() or not exact.requires_grad


X = points(4, 3)
BAD = [
    ({"x": X[0]}, ShapeError),
    ({"x": X[:0]}, ShapeError),
    ({"x": X[:, :0]}, ShapeError),
    ({"y": X[:, :2]}, ShapeError),
    ({"y": X[None]}, ShapeError),
    ({"x": np.where(X[2, 1] == X, np.nan, X)}, NonFiniteError),
    ({"y": np.where(X[1, 1] == X, np.inf, X)}, NonFiniteError),
    ({"x": 1e80 * X}, DomainError),
    ({"x": 1e-80 * X}, DomainError),
    ({"x": X + 1j}, TypeError),
    ({"y": X > 0}, TypeError),
    ({"depth": 0}, DomainError),
    ({"depth": 1.5}, TypeError),
    ({"sw2": -1.0}, DomainError),
    ({"sb2": np.inf}, DomainError),
    ({"rates": (1, 1)}, DomainError),
    ({"rates": (1, -1, 1)}, DomainError),
    ({"activation": "rleu"}, DomainError),
    ({"activation": np.tanh}, TypeError),
    ({"activation": "tanh", "sw2": 1e6}, DomainError),
    ({"parametrization": "mean_field"}, DomainError),
]


@pytest.mark.parametrize(("change", "error"), BAD)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_errors_of_the_simulator(change, error, kind):
    given = {"x": X, "y": None, "depth": 2, "activation": "relu", **NTK} | change
    with pytest.raises(error) as expected:
        simulators.fc_kernels(**given)
    for name in ("x", "y"):
        given[name] = None if given[name] is None else kind(given[name])
    with pytest.raises(error) as found:
        fc_kernels(**given)
    assert type(found.value) is type(expected.value)


def test_errors_of_its_own():
    network = {"depth": 2, "activation": "relu", **NTK}
    with pytest.raises(TypeError, match=r"float16"):
        fc_kernels(X, dtype=torch.float16, **network)
    with pytest.raises(TypeError, match=r"y requires a gradient.*detach"):
        fc_kernels(X, torch.tensor(X, requires_grad=True), **network)
    with pytest.raises(DomainError, match=r"variance of row \d leaves .* layer 1 of 3: .*float64"):
        fc_kernels(1e9 * X, dtype=torch.float32, **network)
    with pytest.raises(DomainError, match=r"tangent kernel of row 0 leaves .* layer 2 of 3"):
        fc_kernels(X, dtype=torch.float32, **network | {"rates": (1, 1e-15, 1), "parametrization": "standard"})
    with pytest.raises(DomainError, match="rates up to 1e"):
        fc_kernels(0 * X, dtype=torch.float32, **network | {"rates": (1, 1e40, 1)})
    # and float64 takes them all
    assert torch.isfinite(ntk(1e9 * X, **network | {"rates": (1, 1e40, 1)})).all()


def test_torch_functions_do_not_need_triton():
    code = """
        import sys
        sys.modules["triton"] = None
        from lemmata.kernels.ntk import ntk
        assert abs(ntk([[1.0, 2.0]], depth=1, activation="relu", sw2=2.0, parametrization="ntk").item() - 10) < 1e-14
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# --------------------------------------------------------------------------------------------------- a GPU


@pytest.mark.triton
def test_the_kernel_compiles_for_a_hopper_gpu(tmp_path):
    """Needs no GPU. Products are on the matrix unit, added up outside of it in float32, and constants are whole."""
    pytest.importorskip("triton")
    code = """
        import struct
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from lemmata.kernels.ntk import _infinite_width_triton as module

        def compiled(kind, double, **changes):
            kernel, (BI, BJ, KB) = module._fill, module.TILES[double]
            constants = dict(DP=832, KIND=kind, DOUBLE=double, SYMMETRIC=True, NNGP=True, NTK=True,
                             CLOSE=module.NEAR[double], BI=BI, BJ=BJ, KB=KB) | changes
            kinds = dict.fromkeys(kernel.arg_names, "*fp64" if double else "*fp32")
            kinds |= dict.fromkeys(("x", "x_rest", "y", "y_rest"), "*fp64" if double else "*fp16")
            kinds |= {"nngp": "*fp32", "ntk": "*fp32", "tile_rows": "*i32", "tile_columns": "*i32"}
            kinds |= dict.fromkeys(module.LOOSE, "i32") | dict.fromkeys(constants, "constexpr")
            aligned = {(k,): [["tt.divisibility", 16]] for k, p in enumerate(kernel.arg_names) if kinds[p][0] == "*"}
            source = ASTSource(fn=kernel, signature=kinds, constexprs=constants, attrs=aligned)
            options = {"num_warps": 8, "num_stages": 3, "enable_fp_fusion": True}
            made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
            assert len(made.asm["cubin"]) > 1000
            assert made.metadata.shared <= 227 * 1024
            return made.asm["ptx"]

        single = compiled(0, False)
        assert "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16" in single
        start = single.index("wgmma.mma_async")
        loop = single[start:single.index("bra", single.rindex("wgmma.mma_async"))]
        assert loop.count("fma.rn.f32") >= 32, "the sums of a chunk are not added in float32"
        double = compiled(2, True, NNGP=False)
        if tuple(map(int, triton.__version__.split(".")[:2])) >= (3, 9):  # 3.6 adds the products up without it
            assert "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64" in double
        assert struct.pack(">d", 0.8387674099544927).hex().upper() in double.upper()
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.gpu
@pytest.mark.triton
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("d", [5, 784])
def test_on_a_gpu(name, d):
    activation, sw2 = ACTIVATIONS[name]
    x, y = (z / 3 for z in at_every_angle(d, 1500))
    network = {"depth": 3, "activation": activation, "sw2": sw2, "sb2": 0.1, **NTK}
    # float64: 1e-15 in the cosine is most where differences are just not taken, 2e-14 in the angle
    for dtype, close in ((torch.float64, 100 * EPS), (torch.float32, 3e-6)):
        if name == "step" and dtype == torch.float64:
            continue  # nearly equal points are what their last digit makes of them
        found = fc_kernels(x, y, device="cuda", dtype=dtype, **network)
        assert max(relative(found, x, y, **network)) < close
        whole = fc_kernels(x, device="cuda", dtype=dtype, **network)
        assert max(relative(whole, x, x, **network)) < close
        assert torch.equal(whole.ntk, whole.ntk.mT)
