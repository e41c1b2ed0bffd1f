"""Koopman sections in torch: what the numpy ones are, on every device, from features of both precisions."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lemmata.errors import AssumptionError, DomainError, NonFiniteError, ShapeError
from lemmata.kernels import koopman as kernels
from lemmata.kernels.koopman import streaming
from lemmata.problems import koopman as problems
from lemmata.sims import koopman as sims

CUDA = torch.cuda.is_available()
DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] if CUDA else [])]
ONE = {
    "cosine": problems.Cosine(7),
    "legendre": problems.Legendre(7, -1, 2),
    "chebyshev": problems.Chebyshev(7, -1, 2),
    "hermite": problems.Hermite(7, 0.5),
    "hermite weighted": problems.Hermite(7, 0.5, weighted=True),
    "one": problems.Legendre(1),
}
RNG = np.random.default_rng(1)
DICTIONARIES = {
    **{name: (psi, 1) for name, psi in ONE.items()},
    "fourier": (problems.Fourier(4, period=2.0), 1),
    "cross": (problems.Fourier(3, dim=2, cross=3), 2),
    "product": (problems.Product((problems.Fourier(2), problems.Hermite(4))), 2),
    **{
        shape: (problems.Radial(RNG.standard_normal((6, 3)), shape, 0.7), 3)
        for shape in ("exponential", "gaussian", "inverse", "thin-plate")
    },
}


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def snapshots(functions, seed=0, size=200):
    """Values of a dictionary that K nearly maps into itself."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((size, functions)) + 1j * rng.standard_normal((size, functions))
    K = np.linalg.qr(rng.standard_normal((functions, functions)))[0]
    return x, x @ K + 0.05 * rng.standard_normal((size, functions))


def pair(functions, device, seed=0):
    """The section of both rooms."""
    x, y = snapshots(functions, seed)
    w = np.random.default_rng(seed + 1).random(len(x))
    there = kernels.section(*(torch.as_tensor(v, device=device) for v in (x, y, w)))
    return sims.section(x, y, w), there


def numbers(values):
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


@pytest.mark.parametrize("name", DICTIONARIES)
def test_dictionaries(name, device):
    psi, dim = DICTIONARIES[name]
    x = np.random.default_rng(0).uniform(-1, 2, (9, dim))
    exact = psi(x)
    double = numbers(kernels.features(psi, torch.as_tensor(x, device=device)))
    np.testing.assert_allclose(double, exact, rtol=1e-13, atol=1e-12)  # a root of 2 in single precision costs 2e-8
    single = kernels.features(psi, torch.as_tensor(x, device=device, dtype=torch.float32))
    assert single.dtype in (torch.float32, torch.complex64)
    np.testing.assert_allclose(numbers(single), exact, atol=3e-5 * np.abs(exact).max(), rtol=0)


def test_any_callable_is_a_dictionary(device):
    x = torch.ones(4, 2, device=device)
    assert kernels.features(torch.sin, x).equal(torch.sin(x))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.complex64])
@pytest.mark.parametrize("name", ["cosine", "legendre", "fourier", "gaussian", "product"])
def test_states_of_neither_precision_are_refused(name, dtype):
    psi, dim = DICTIONARIES[name]
    with pytest.raises(TypeError, match=f"float32 or float64, got {dtype}"):
        kernels.features(psi, torch.ones(3, dim).to(dtype))


@pytest.mark.parametrize(("degree", "points"), [(8, 90), (10, 158), (16, 70)])
def test_a_constant_beside_a_nilpotent_part(degree, points, device):
    """Balancing scales rounding errors up, and the constant came with a residual of 1e-9 to 1e-8."""
    psi, nodes = problems.Fourier(degree), problems.rule("periodic", points)
    values = (psi(nodes.x), psi(sims.images(problems.doubling(), nodes.x)), nodes.w)
    found = kernels.edmd(kernels.section(*(torch.as_tensor(v, device=device) for v in values)))
    assert found.residuals[(found.values - 1).abs().argmin()] < 1e-13


@pytest.mark.parametrize("functions", [8, 50])
def test_a_section_is_that_of_sims(functions, device):
    here, there = pair(functions, device)
    assert there.rank == here.rank
    assert there.condition == pytest.approx(here.condition)
    assert there.floor == pytest.approx(here.floor)
    # the bases differ by a rotation, the operators do not
    for name in ("A", "growth"):
        K, L = (s.basis @ getattr(s, name) @ np.linalg.pinv(s.basis) for s in (here, _on_cpu(there)))
        np.testing.assert_allclose(L, K, atol=1e-12, rtol=0)
    rng = np.random.default_rng(2)
    z = rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))
    tau = kernels.pseudospectrum(there, torch.as_tensor(z, device=device))
    np.testing.assert_allclose(numbers(tau), sims.pseudospectrum(here, z), rtol=1e-8)
    for learn in ("edmd", "mpedmd"):
        exact, found = getattr(sims, learn)(here), getattr(kernels, learn)(there)
        a, b = (np.argsort(np.angle(v)) for v in (exact.values, numbers(found.values)))
        np.testing.assert_allclose(numbers(found.values)[b], exact.values[a], atol=1e-10, rtol=0)
        np.testing.assert_allclose(numbers(found.residuals)[b], exact.residuals[a], rtol=1e-8)


def _on_cpu(section):
    parts = (numbers(v) for v in (section.A, section.S, section.basis))
    return sims.Section(*parts, section.rank, section.condition, section.discarded, section.floor)


def test_mpedmd_is_unitary_where_eigenvalues_are_close(device):
    """Forty eigenvalues within 1e-7 of one another, and one far away."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((41, 41)))[0]
    angle = np.append(2 + 1e-7 * rng.random(40), -1.0)
    U = Q * np.exp(1j * angle) @ Q.T
    x = np.linalg.qr(rng.standard_normal((90, 41)))[0] + 0j
    found = kernels.mpedmd(kernels.section(*(torch.as_tensor(v, device=device) for v in (x, x @ U))))
    np.testing.assert_allclose(np.sort(np.angle(numbers(found.values))), np.sort(angle), atol=1e-12, rtol=0)
    V = numbers(found.vectors)
    np.testing.assert_allclose(V.conj().T @ V, np.eye(41), atol=1e-12, rtol=0)
    assert found.residuals.max() < 1e-12


def test_the_rotation_has_the_pseudospectrum_of_its_eigenvalues(device):
    rule, psi = problems.rule("periodic", 200, 0, 1), problems.Fourier(25)
    x = torch.as_tensor(rule.x, device=device)
    section = kernels.section(kernels.features(psi, x), kernels.features(psi, x + problems.GOLDEN))
    exact = np.exp(2j * np.pi * problems.GOLDEN * np.arange(-25, 26))
    # through zero: at an eigenvalue, next to it, and far from all
    z = np.outer(np.append(np.linspace(0.2, 1.5, 6), [1, 1 + 1e-9]), exact[[3, 30]] * [1, np.exp(0.01j)])
    distance = np.abs(exact - z[..., None]).min(axis=-1)
    for method in ("angles", "general"):
        tau = numbers(kernels.pseudospectrum(section, torch.as_tensor(z, device=device), method=method))
        np.testing.assert_allclose(tau, distance, rtol=1e-6, atol=1e-12)


def test_single_precision_states_its_floor(device):
    psi = problems.Legendre(6, 0, 1)
    x = torch.rand(300, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(device)

    def of(dtype):
        return kernels.section(*(kernels.features(psi, v.to(dtype)) for v in (x, x / 2)))

    found = kernels.edmd(of(torch.float32))
    assert of(torch.float64).floor < 1e-11 < 1e-8 < float(found.residuals.max()) < of(torch.float32).floor
    assert float(kernels.edmd(of(torch.float64)).residuals.max()) < 1e-12
    with pytest.raises(problems.PrecisionError):
        kernels.residuals(of(torch.float32), found.values, found.vectors, tolerance=1e-8)


def blocks(size, device, dtype=torch.float64, total=2000):
    def block(i):
        at = torch.arange(i * size, min((i + 1) * size, total), dtype=torch.float64)
        x = (0.1 + at * problems.GOLDEN).remainder(1)[:, None]
        y = (2 * x).remainder(1)
        return tuple(v.to(device, dtype) for v in (x, y, torch.full((len(x),), 1 / total, dtype=torch.float64)))

    return block, -(-total // size)


@pytest.mark.parametrize("form", ["gram", "triangle"])
def test_streams_do_not_depend_on_the_block_and_equal_sims(form, device):
    psi = problems.Fourier(6)
    z = np.array([0.5, 0.9j, -1.1])
    block, number = blocks(2000, device)

    def data(i):
        x, y, w = (numbers(v) for v in block(i))
        return problems.Snapshots(x, y, w)

    exact = sims.pseudospectrum(sims.stream(data, number, psi, form=form), z)
    for size in (7, 300, 2000):
        section = kernels.stream(*blocks(size, device), psi, form=form)
        tau = kernels.pseudospectrum(section, torch.as_tensor(z, device=device))
        np.testing.assert_allclose(numbers(tau), exact, rtol=1e-10)
    one, other = (torch.stack(kernels.stream_gram(*blocks(s, device), psi)) for s in (300, 2000))
    np.testing.assert_allclose(numbers(one), numbers(other), atol=1e-12, rtol=0)
    assert one.equal(torch.stack(kernels.stream_gram(*blocks(300, device), psi)))


class Waits(TorchDispatchMode):
    """Counts what makes the host wait for a device: reading a number, and shapes that depend on values."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += str(func.overloadpacket) in ("aten._local_scalar_dense", "aten.nonzero", "aten.equal")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("form", [kernels.stream_gram, kernels.stream_triangle])
@pytest.mark.parametrize("name", ["fourier", "hermite", "exponential", "product"])
def test_the_host_waits_as_often_for_many_blocks_as_for_few(form, name):
    psi, dim = DICTIONARIES[name]
    x, w = torch.rand(300, dim, dtype=torch.float64), torch.full((300,), 1 / 300, dtype=torch.float64)

    def waits(number):
        with Waits() as mode:
            form(lambda i: (x[i::number], x[i::number] / 2, w[i::number]), number, psi)
        return mode.count

    assert waits(30) == waits(2) > 0


def test_float32_features_are_added_up_in_float64(device):
    psi, (block, number) = problems.Fourier(6), blocks(100, device, torch.float32)
    single = kernels.stream_gram(block, number, psi)
    x, y, w = (torch.cat(part) for part in zip(*map(block, range(number)), strict=True))
    b_x, b_y = (kernels.features(psi, v).to(torch.complex128) for v in (x, y))
    root = w.double()[:, None]
    for found, left, right in zip(single, (b_x, b_x, b_y), (b_x, b_y, b_y), strict=True):
        assert found.dtype == torch.complex128
        # 2,000 terms in single precision would err by 1e-8 and more
        np.testing.assert_allclose(numbers(found), numbers(left.mH @ (root * right)), atol=1e-13, rtol=0)
    assert kernels.stream(block, number, psi).floor > 1e-4


def test_dmd_and_kernel_features(device):
    rng = np.random.default_rng(0)
    V, c = rng.standard_normal((30, 4)), rng.standard_normal((4, 50))
    K = np.diag([0.9, 0.5, 0.3, 0.1]) + np.diag([0.2, 0, 0.2], 1)
    x, y = V @ c, V @ K @ c
    found = kernels.dmd(torch.as_tensor(x, device=device), torch.as_tensor(y, device=device), 4)
    exact = sims.dmd(x, y, 4)
    a, b = np.argsort(exact.values.real), np.argsort(numbers(found.values).real)
    np.testing.assert_allclose(numbers(found.values)[b], exact.values[a], atol=1e-12, rtol=0)
    assert float(found.residuals.max()) < 1e-12
    modes = numbers(found.modes)[:, b]
    np.testing.assert_allclose(np.abs(np.sum(modes.conj() * exact.modes[:, a], axis=0)), 1, atol=1e-12, rtol=0)

    def kernel(p, q):
        return (1 + p @ q.T) ** 2

    points = rng.standard_normal((40, 2))
    there = [torch.as_tensor(v, device=device) for v in (points, points / 2)]
    values = sims.edmd(sims.section(*sims.kernel_features(points, points / 2, kernel, 6))).values
    section = kernels.section(*kernels.kernel_features(*there, kernel, 6))
    np.testing.assert_allclose(
        np.sort(numbers(kernels.edmd(section).values).real), np.sort(values.real), atol=1e-10, rtol=0
    )
    with pytest.raises(DomainError, match="rank 6"):
        kernels.kernel_features(*there, kernel, 7)


@pytest.mark.parametrize("operator", ["normal", "isometry", "unitary"])
def test_certified_sets_are_those_of_sims(operator, device):
    here, there = pair(8, device)
    grid = np.linspace(-1.2, 1.2, 21)
    z = (grid + 1j * grid[:, None]).ravel()
    points, bound = sims.certified_set(here, z, operator=operator)
    found, error = kernels.certified_set(there, torch.as_tensor(z, device=device), operator=operator)
    assert 0 < len(points) < len(z) / 4
    np.testing.assert_array_equal(numbers(found), points)
    assert error == pytest.approx(bound)
    far, infinite = kernels.certified_set(there, torch.tensor([9.0 + 0j], device=device), operator=operator)
    assert (len(far), infinite) == (0, np.inf)
    with pytest.raises(problems.CertificateError, match="None"):
        kernels.certified_set(there, torch.as_tensor(z, device=device))


@pytest.mark.filterwarnings("ignore::lemmata.problems.koopman.ResolutionWarning")
@pytest.mark.parametrize("order", [1, 4])
def test_spectral_measures_are_those_of_sims(order, device):
    here, there = pair(12, device)
    rng = np.random.default_rng(3)
    c, theta = rng.standard_normal(12) + 1j * rng.standard_normal(12), rng.uniform(-3, 3, (2, 5))
    on = {"c": torch.as_tensor(c, device=device), "theta": torch.as_tensor(theta, device=device)}
    g, h = sims.coordinates(here, c), kernels.coordinates(there, on["c"])
    one, other = sims.mpedmd(here), kernels.mpedmd(there)
    atoms, found = sims.spectral_measure(one, g), kernels.spectral_measure(other, h)
    for exact, values in zip(atoms, found, strict=True):
        np.testing.assert_allclose(numbers(values), exact, atol=1e-10 * np.abs(exact).max(), rtol=0)
    smooth = sims.atom_density(theta, 0.3, *atoms, order=order)
    np.testing.assert_allclose(numbers(kernels.atom_density(on["theta"], 0.3, *found, order=order)), smooth, rtol=1e-9)
    np.testing.assert_allclose(
        numbers(kernels.resolvent_density(on["theta"], 0.3, there.A, h, order=order)),
        sims.resolvent_density(theta, 0.3, here.A, g, order=order),
        atol=1e-9 * np.vdot(g, g).real,
        rtol=0,
    )
    packets = numbers(kernels.wave_packet(on["theta"], 0.3, other, h, order=order))
    for at in np.ndindex(2, 5):
        packet = here.basis @ sims.wave_packet(theta[at], 0.3, one, g, order=order)
        np.testing.assert_allclose(numbers(there.basis) @ packets[at], packet, atol=1e-9 * np.abs(packet).max(), rtol=0)
    moments = 0.9 ** np.arange(30) * np.exp(1j * np.arange(30))
    m = torch.as_tensor(moments, device=device)
    for count in (1, 2, 17, 30):  # blocks that are full, and one that is not
        np.testing.assert_allclose(
            numbers(kernels.moment_density(on["theta"], 0.3, m[:count], order=order)),
            sims.moment_density(theta, 0.3, moments[:count], order=order),
            rtol=1e-9,
        )
    for name in sims.FILTERS:
        np.testing.assert_allclose(
            numbers(kernels.filtered_density(on["theta"], m, name)),
            sims.filtered_density(theta, moments, name),
            atol=1e-12,
            rtol=0,
        )


def test_two_images_are_those_of_sims(device):
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((60, 5)), rng.random(60)
    y, y2 = (0.6 * x + 0.1 * rng.standard_normal((60, 5)) for _ in "ab")
    exact = sims.two_images(x, y, y2, w)
    there = [torch.as_tensor(v, device=device) for v in (x, y, y2, w)]
    found = kernels.two_images(*there)
    values = numbers(found.values)
    a, b = (np.lexsort((v.imag.round(8), v.real.round(8))) for v in (exact.values, values))
    np.testing.assert_allclose(values[b], exact.values[a], atol=1e-10, rtol=0)
    np.testing.assert_allclose(numbers(found.residuals)[b], exact.residuals[a], atol=1e-10, rtol=0)
    np.testing.assert_allclose(numbers(found.variances)[b], exact.variances[a], atol=1e-10, rtol=0)
    with pytest.raises(AssumptionError, match="two independent"):
        kernels.two_images(there[0], there[1], there[1].clone())
    with pytest.raises(DomainError, match="dependent"):
        kernels.two_images(there[0][:, [0, 0]], there[1][:, :2], there[2][:, :2])


def test_bad_input():
    x, y = (torch.as_tensor(v) for v in snapshots(6, size=40))
    with pytest.raises(ShapeError):
        kernels.section(x, y[:-1])
    with pytest.raises(NonFiniteError, match="psi_y"):
        kernels.section(x, y * torch.nan)
    with pytest.raises(DomainError, match="-1"):
        kernels.section(x, y, -torch.ones(40))
    with pytest.raises(ShapeError):
        kernels.section(x, y, torch.ones(39))
    with pytest.raises(problems.ResidualVacuousError):
        kernels.section(x[:5], y[:5])
    with pytest.warns(problems.ResidualVacuousWarning):
        kernels.section(x[:7], y[:7])
    with pytest.warns(problems.RankDeficientWarning, match="6 of 7"):
        kernels.section(torch.cat([x, x[:, :1]], dim=1), torch.cat([y, y[:, :1]], dim=1))
    with pytest.warns(problems.PolarNonUniqueWarning):
        kernels.mpedmd(kernels.section(x, torch.cat([y[:, :5], 0 * y[:, :1]], dim=1)))
    with pytest.raises(problems.CertificateError):
        kernels.pseudospectrum(kernels.section(x, y), torch.tensor([0.5 + 0j]), method="angles")
    with pytest.raises(NonFiniteError):
        kernels.pseudospectrum(kernels.section(x, y), torch.tensor([torch.nan + 0j]))
    with pytest.raises(ShapeError):
        kernels.features(problems.Fourier(2), torch.ones(3, 2))
    with pytest.raises(ShapeError):
        kernels.section_from_gram(torch.eye(3), torch.eye(3), torch.eye(4))
    with pytest.raises(DomainError, match="blocks"):
        kernels.stream(blocks(10, "cpu")[0], 0, problems.Fourier(2))
    with pytest.raises(ShapeError, match="block"):
        kernels.stream(lambda i: (x.real, y.real[:-1], torch.ones(40)), 1, torch.sin)
    with pytest.raises(NonFiniteError, match="block"):
        kernels.stream(lambda i: (x.real, torch.nan * y.real, torch.ones(40)), 1, torch.sin)
    with pytest.warns(problems.MeasureMismatchWarning):
        kernels.section(x, 9 * y, measure_preserving=True)
    with pytest.raises(DomainError, match="mpedmd"):
        kernels.spectral_measure(kernels.edmd(kernels.section(x, y)), torch.ones(6))
    with pytest.raises(ShapeError, match="6 values"):
        kernels.spectral_measure(kernels.mpedmd(kernels.section(x, y)), torch.ones(5))
    for bad in ({"order": 11}, {"order": 0}, {"epsilon": -1.0}):
        with pytest.raises(DomainError):
            kernels.moment_density(**{"theta": torch.zeros(2), "epsilon": 0.1, "moments": torch.ones(3), **bad})
    with pytest.raises(DomainError, match="fejer"):
        kernels.filtered_density(torch.zeros(2), torch.ones(3), "hann")
    with pytest.warns(problems.ResolutionWarning):
        kernels.atom_density(torch.zeros(2), 0.1, torch.zeros(4), torch.ones(4))


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="no GPU")
def test_a_million_snapshots_on_a_gpu_give_the_section_of_the_cpu():
    psi = problems.Radial(np.random.default_rng(0).uniform(-1, 1, (200, 2)), "gaussian", 0.3)

    def block(device):
        def of(i):
            x = torch.rand(2**16, 2, generator=torch.Generator().manual_seed(i), dtype=torch.float64) * 2 - 1
            return tuple(v.to(device) for v in (x, 0.9 * x, torch.full((2**16,), 2.0**-20, dtype=torch.float64)))

        return of

    kernels.stream_gram(block("cuda"), 1, psi)  # libraries are loaded, centres are on the device
    resident = [block("cuda")(i) for i in range(16)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        total = None
        for part in resident:
            x, y = streaming._weighted(psi, *part)
            total = x.mT @ y if total is None else total.addmm_(x.mT, y)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    here, there = (torch.stack(kernels.stream_gram(block(d), 16, psi)).cpu() for d in ("cpu", "cuda"))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-12)
    assert there.equal(torch.stack(kernels.stream_gram(block("cuda"), 16, psi)).cpu())


# ------------------------------------------------------------------------------------------ both rooms

ROOMS = [pytest.param(sims, np.asarray, id="sims"), pytest.param(kernels, torch.as_tensor, id="kernels")]
ANGLES = np.linspace(-3, 3, 5)


def cycle(library):
    """Blocks of 24 points of the unit interval."""
    x, w = np.linspace(0, 1, 24)[:, None], np.full(24, 1 / 48)
    if library is sims:
        return lambda i: problems.Snapshots(x, x**2, w)
    return lambda i: tuple(map(torch.as_tensor, (x, x**2, w)))


@pytest.mark.parametrize("library", [sims, kernels])
@pytest.mark.parametrize("form", ["gram", "triangle"])
def test_features_may_be_integers(library, form):
    signs = library.stream(cycle(library), 2, lambda x: (x > 0.3) * 2 - 1, form=form)
    assert signs.rank == 1
    assert signs.floor < 1e-6


def learned(library, there, learn="mpedmd"):
    x, y = snapshots(6)
    return getattr(library, learn)(library.section(there(x), there(y)))


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_snapshots_of_weight_zero_are_not_there(library, there):
    x, y = snapshots(6, size=40)
    w = np.zeros(40)
    w[:20] = 1 / 20
    few, masked = library.section(there(x[:20]), there(y[:20])), library.section(there(x), there(y), there(w))
    np.testing.assert_allclose(numbers(masked.growth), numbers(few.growth), rtol=0, atol=1e-12)
    w[4:] = 0
    with pytest.raises(problems.ResidualVacuousError, match="4 snapshots and 6 functions"):
        library.section(there(x), there(y), there(w))
    with pytest.raises(problems.ResidualVacuousError, match="4 snapshots"):
        library.two_images(there(x), there(y), there(y + 1), there(w))


@pytest.mark.parametrize("form", ["gram", "triangle"])
def test_streamed_weights_are_counted_and_checked(form):
    def block(w, library=torch):
        x = np.linspace(0, 1, 12)[:, None]
        made = x, (2 * x) % 1, np.array([w] * 3 + [0.0] * 9)
        return problems.Snapshots(*made) if library is np else tuple(map(torch.as_tensor, made))

    for library, of in ((sims, lambda i: block(1.0, np)), (kernels, lambda i: block(1.0))):
        with pytest.raises(problems.ResidualVacuousError, match="3 snapshots and 5 functions"):
            library.stream(of, 1, problems.Fourier(2), form=form)
    with pytest.raises(DomainError, match="weights must be >= 0; 3 are negative"):
        kernels.stream(lambda i: block(-1.0), 1, problems.Fourier(2), form=form)


@pytest.mark.parametrize("rows", [6, 10, 11])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.filterwarnings("ignore:.*say little:UserWarning")
def test_a_stream_of_fewer_rows_than_a_triangle_has(rows, parts):
    """Five functions: up to ten rows need no factorisation to be kept, and are no triangle."""
    psi, rng = problems.Legendre(5, 0, 1), np.random.default_rng(0)
    x, y, w = rng.random((rows, 1)), rng.random((rows, 1)), rng.random(rows)
    whole = sims.section(psi(x), psi(y), w)
    pieces = [slice(i, None, parts) for i in range(parts)]
    found = (
        sims.stream(lambda i: problems.Snapshots(*(v[pieces[i]] for v in (x, y, w))), parts, psi, form="triangle"),
        kernels.stream(lambda i: tuple(torch.as_tensor(v[pieces[i]]) for v in (x, y, w)), parts, psi, form="triangle"),
        sims.section_from_triangle(np.sqrt(w)[:, None] * np.concatenate([psi(x), psi(y)], axis=1)),
    )
    for made in found:
        # bases differ by signs
        growth, expected = (np.linalg.eigvalsh(numbers(m.growth)) for m in (made, whole))
        np.testing.assert_allclose(growth, expected, rtol=1e-9, atol=1e-9)
        image, known = (numbers(m.basis) @ numbers(m.A) @ np.linalg.pinv(numbers(m.basis)) for m in (made, whole))
        np.testing.assert_allclose(image, known, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_gram_matrices_of_single_precision_say_so(library, there):
    x, y = (v.real for v in snapshots(6))
    products = [(a.T @ b / len(x)) for a, b in ((x, x), (x, y), (y, y))]
    exact, single = (library.section_from_gram(*(there(m.astype(d)) for m in products)) for d in ("f8", "f4"))
    assert numbers(single.A).dtype == np.float64
    assert single.floor == pytest.approx(exact.floor * 2**14.5, rel=1e-3)
    assert np.abs(numbers(single.A) - numbers(exact.A)).max() < single.floor
    with pytest.raises(DomainError, match=r"G is not Hermitian, by .* of the 6 functions"):
        library.section_from_gram(there(products[1]), there(products[1]), there(products[2]))


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_the_size_of_features_cancels(library, there):
    """Squares of 1e-200 vanish and those of 1e200 overflow."""
    x, y = (v.real for v in snapshots(6))
    for scale in (1e-200, 1e200):
        assert library.section(there(scale * x), there(scale * y)).discarded == 0
        found, known = (library.dmd(there(s * x.T), there(s * y.T), 4) for s in (scale, 1.0))
        np.testing.assert_allclose(numbers(found.values), numbers(known.values), rtol=1e-10)
        np.testing.assert_allclose(numbers(found.residuals), numbers(known.residuals), rtol=1e-10)


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_a_kernel_of_single_precision_has_the_rank_that_it_resolves(library, there):
    x = np.random.default_rng(0).uniform(-1, 1, (60, 1))

    def single(a, b):
        made = np.exp(-(np.subtract.outer(numbers(a)[:, 0], numbers(b)[:, 0]) ** 2))
        return there(made.astype(np.float32))

    with pytest.raises(DomainError, match=r"the kernel has rank [3-8] on these points, not 12"):
        library.kernel_features(there(x), there(x), single, 12)
    assert numbers(library.kernel_features(there(x), there(x / 2), single, 3)[1]).dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int8"])
@pytest.mark.parametrize("tall", [True, False])
@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_dmd_works_in_double_precision_whatever_it_is_given(library, there, tall, dtype):
    rng = np.random.default_rng(5)
    x, y = (rng.integers(-90, 90, (60, 20)[:: 1 if tall else -1]).astype(dtype) for _ in "xy")
    wide = complex if dtype == "complex64" else float
    found, exact = library.dmd(there(x), there(y), 5), sims.dmd(x.astype(wide), y.astype(wide), 5)
    order, known = (np.lexsort((v.imag, v.real.round(9))) for v in (numbers(found.values), exact.values))
    np.testing.assert_allclose(numbers(found.values)[order], exact.values[known], rtol=0, atol=1e-11)
    np.testing.assert_allclose(numbers(found.residuals)[order], exact.residuals[known], rtol=1e-8)


@pytest.mark.parametrize(("library", "there"), ROOMS)
@pytest.mark.parametrize("which", [0, 1])
def test_one_of_the_two_may_be_complex_and_of_another_precision(library, there, which):
    rng = np.random.default_rng(2)
    pair = rng.integers(-9, 9, (2, 40, 4)).astype(np.float32)
    given = [pair[k] + 1j * pair[k][::-1] if k == which else pair[k].astype(np.float64) for k in (0, 1)]
    assert given[which].dtype == np.complex64
    full = [v.astype(complex) for v in given]
    products = [[np.asarray(a.conj().T @ b) for a, b in ((x, x), (x, y), (y, y))] for x, y in (given, full)]
    for call, mixed, exact in (
        (lambda k, v: k.dmd(*(w.T for w in v), 3), given, full),
        (lambda k, v: k.edmd(k.section(*v)), given, full),
        (lambda k, v: k.edmd(k.section_from_gram(*v)), *products),
    ):
        found, known = call(library, [there(v) for v in mixed]), call(sims, exact)
        # the products of integers are exact in single precision too
        one, other = (np.sort_complex(numbers(v.values).round(9)) for v in (found, known))
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("library", "there"), ROOMS)
@pytest.mark.parametrize("value", [0.0, 0.5])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_dmd_of_a_jordan_block(library, there, size, value):
    """It has one eigenvector: the matrix of them was solved with, and is singular."""
    x, J = np.eye(size), value * np.eye(size) + np.eye(size, k=1)
    found = library.dmd(there(x), there(J), size)
    spread = 2e-16 ** (1 / size)  # of eigenvalues, by rounding
    assert np.abs(numbers(found.values) - value).max() < 3 * spread
    assert numbers(found.residuals).max() < 1e-14
    modes = numbers(found.modes)
    np.testing.assert_allclose(np.abs(J @ modes - value * modes), 0, rtol=0, atol=6 * spread)


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_a_triangle_and_an_observable_of_single_precision(library, there):
    rng = np.random.default_rng(3)
    triangle = np.triu(rng.standard_normal((8, 8)))
    single, double = (library.section_from_triangle(there(triangle.astype(d))) for d in ("f4", "f8"))
    assert single.floor == pytest.approx(2**29 * double.floor, rel=1e-4)
    # rounding of its norm was taken for vectors that are not orthonormal
    g = rng.standard_normal(6).astype(np.float32)
    eigen = learned(library, there)
    rough, exact = (library.wave_packet(there(ANGLES), 0.5, eigen, there(v)) for v in (g, g.astype(np.float64)))
    np.testing.assert_array_equal(numbers(rough), numbers(exact))


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_the_rank_of_single_precision_is_what_it_resolves(library, there):
    rng = np.random.default_rng(6)
    x = (rng.standard_normal((60, 3)) @ rng.standard_normal((3, 20))).astype(np.float32)
    with pytest.raises(DomainError, match="x has rank 3, less than the 5"):
        library.dmd(there(x), there(x), 5)


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_two_images_know_what_single_precision_resolves(library, there):
    rng = np.random.default_rng(9)
    x, y, y2 = rng.standard_normal((3, 60, 3))
    mixed = [np.c_[v, v[:, 0] / 3 + 0.7 * v[:, 1]] for v in (x, y, y2)]
    with pytest.raises(DomainError, match="linearly dependent"):
        library.two_images(*(there(v.astype(np.float32)) for v in mixed))
    single, double = (library.two_images(*(there(v.astype(d)) for v in (x, y, y2))) for d in ("f4", "f8"))
    assert numbers(single.residuals).dtype == np.float64
    np.testing.assert_allclose(numbers(single.variances), numbers(double.variances), rtol=1e-5)


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_wave_packets_of_many_angles_are_those_of_each(library, there):
    eigen, g = learned(library, there), there(np.arange(6) + 1j)
    theta = np.linspace(-3, 3, 6)  # as many as functions: a wrong axis would go unnoticed in the shape
    together = numbers(library.wave_packet(there(theta), 0.5, eigen, g, order=3))
    assert together.shape == (6, 6)
    for angle, packet in zip(theta, together, strict=True):
        alone = numbers(library.wave_packet(there(np.array(angle)), 0.5, eigen, g, order=3))
        np.testing.assert_allclose(packet, alone, rtol=0, atol=1e-13)
    density = library.atom_density(there(theta), 4.0, *library.spectral_measure(eigen, g), order=3)
    packets = numbers(library.wave_packet(there(theta), 4.0, eigen, g, order=3))
    np.testing.assert_allclose(packets @ numbers(g).conj(), numbers(density), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda k, t: k.wave_packet(t(ANGLES), 0.5, learned(k, t, "edmd"), t(np.ones(6))), DomainError, "off by"),
        (lambda k, t: k.wave_packet(t(ANGLES), 1e3, learned(k, t), t(np.ones(6))), DomainError, "1e-12..100, got 1000"),
        (lambda k, t: k.wave_packet(t(ANGLES), 1e-20, learned(k, t), t(np.ones(6))), DomainError, "got 1e-20"),
        (lambda k, t: k.wave_packet(t(ANGLES), 0.5, learned(k, t), t(np.ones(5))), ShapeError, "g of that size"),
        (
            lambda k, t: k.spectral_measure(
                k.Eigen(t(np.ones(2) + 0j), t(np.array([[1, 1], [0, 1.0 + 0j]])), t(np.zeros(2))), t(np.ones(2))
            ),
            DomainError,
            "not orthonormal",
        ),
        (
            lambda k, t: k.spectral_measure(
                k.Eigen(t(np.array([1, np.nan]) + 0j), t(np.eye(2) + 0j), t(np.zeros(2))), t(np.ones(2))
            ),
            NonFiniteError,
            "values holds",
        ),
        (
            lambda k, t: k.resolvent_density(t(ANGLES), 0.1, t(1.2 * np.eye(3)), t(np.ones(3))),
            DomainError,
            r"modulus 1\.2, and resolvents are read at e\^epsilon = 1\.10517",
        ),
        (lambda k, t: k.atom_density(t(ANGLES), 9.0, t(np.zeros(3)), t(-np.ones(3))), DomainError, "least is -1"),
        *(
            (call, TypeError, "theta must hold real numbers, got .*complex128")
            for call in (
                lambda k, t: k.atom_density(t(ANGLES + 0j), 9.0, t(np.zeros(3)), t(np.ones(3))),
                lambda k, t: k.moment_density(t(ANGLES + 0j), 0.5, t(np.ones(3))),
                lambda k, t: k.filtered_density(t(ANGLES + 0j), t(np.ones(3))),
                lambda k, t: k.resolvent_density(t(ANGLES + 0j), 0.5, t(np.eye(3) / 2), t(np.ones(3))),
                lambda k, t: k.wave_packet(t(ANGLES + 0j), 0.5, learned(k, t), t(np.ones(6))),
            )
        ),
        (lambda k, t: k.rational_kernel(2.5), TypeError, "order must be an int, got float"),
        (
            lambda k, t: k.section(*map(t, snapshots(6)), t(np.ones(200) + 0j)),
            TypeError,
            "w must hold real numbers, got .*complex128",
        ),
        (
            lambda k, t: k.two_images(t(np.zeros((9, 2))), t(np.ones((9, 2))), t(np.zeros((9, 2)))),
            DomainError,
            "linearly dependent",
        ),
        (lambda k, t: k.section(*map(t, snapshots(6)), rtol=-1.0), DomainError, r"rtol must lie in \[0, 1\), got -1"),
        (lambda k, t: k.section_from_triangle(t(np.ones((3, 3)))), ShapeError, "2N columns"),
        (lambda k, t: k.section_from_triangle(t(np.eye(4)), unit=0.0), DomainError, r"unit lies in \(0, 1\), got 0"),
        (
            lambda k, t: k.section_from_gram(t(np.diag([2.0, -1])), t(np.eye(2)), t(np.eye(2))),
            DomainError,
            "G has the eigenvalue -1 < 0",
        ),
        (
            lambda k, t: k.section_from_gram(t(np.eye(2)), t(np.diag([0.5, 0.8])), t(0 * np.eye(2))),
            DomainError,
            r"L - A\* G\^-1 A has the eigenvalue -0\.64 < 0",
        ),
        (lambda k, t: k.dmd(t(np.eye(4)), t(np.eye(4)), 2.5), TypeError, "rank must be an int, got float"),
        (
            lambda k, t: k.kernel_features(t(np.eye(9)), t(np.eye(9)), lambda a, b: t(-np.ones((9, 9))), 1),
            DomainError,
            "rank 0 on these points, not 1",
        ),
        (lambda k, t: k.kernel_features(t(np.eye(4)), t(np.eye(4)), None, 0), DomainError, "rank must be >= 1, got 0"),
        (lambda k, t: k.stream(None, 2, None, form="grams"), DomainError, "'gram' or 'triangle', got 'grams'"),
        (lambda k, t: k.stream(None, 2.5, None), TypeError, "blocks must be an int, got float"),
        *(
            (lambda k, t, f=form, p=psi: k.stream(cycle(k), 2, p, form=f), ShapeError, words)
            for form in ("gram", "triangle")
            for psi, words in (
                (lambda x: x[:, 0], r"must be .(24|48), N.*, got \((24|48),\)"),
                (lambda x: x[:5], r"must be .(24|48), N.*, got \(5, 1\)"),
            )
        ),
        (lambda k, t: k.section_from_triangle(t(np.full((2, 2), np.nan))), NonFiniteError, "triangle holds"),
        (
            lambda k, t: k.residuals(k.section(*map(t, snapshots(6))), t(np.ones(1)), t(np.zeros((6, 1)))),
            DomainError,
            "0 and ha",
        ),
        (
            lambda k, t: k.residuals(k.section(*map(t, snapshots(6))), t(np.ones(2)), t(np.ones((6, 1)))),
            ShapeError,
            r"\(6, 2\), got \(6, 1\)",
        ),
        (
            lambda k, t: k.pseudospectrum(k.section(*map(t, snapshots(6))), t(np.ones(2)), method="radii"),
            DomainError,
            "'angles' or 'general', got 'radii'",
        ),
        (
            lambda k, t: k.certified_set(k.section(*map(t, snapshots(6))), t(np.ones(0)), operator="normal"),
            DomainError,
            "a grid of 0 points",
        ),
        (
            lambda k, t: k.kernel_features(t(np.ones((9, 1))), t(np.ones((9, 1))), lambda a, b: a, 2),
            ShapeError,
            r"kernel of 9 and 9 points has the shape \(9, 1\)",
        ),
        (
            lambda k, t: k.kernel_features(t(ANGLES[:, None]), t(ANGLES[:, None]), lambda a, b: a - 2 * b.T, 2),
            DomainError,
            "kernel is not Hermitian",
        ),
    ],
)
@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_what_both_refuse(call, error, words, library, there):
    with pytest.raises(error, match=words):
        call(library, there)


@pytest.mark.parametrize(("library", "there"), ROOMS)
def test_no_points_have_no_pseudospectrum(library, there):
    made = library.section(*map(there, snapshots(6)))
    assert library.pseudospectrum(made, there(np.zeros((0, 2)))).shape == (0, 2)
