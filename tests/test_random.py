"""The random stream: the same words in NumPy, Numba, torch and Triton, and the draws made from them."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from lemmata import random
from lemmata.errors import DomainError, ShapeError
from lemmata.kernels import _philox as kernels
from lemmata.sims import _philox as sims

CUDA = torch.cuda.is_available()
TRITON_DEVICE = "cuda" if CUDA else "cpu"
DEVICES = ["cpu", *([pytest.param("cuda", marks=pytest.mark.gpu)] if CUDA else [])]

# Known-answer vectors of Random123 for philox4x32-10, as (block, stream, replicate, seed) -> four words.
KNOWN_ANSWERS = [
    (0, 0, 0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (2**32 - 1, 2**32 - 1, 2**64 - 1, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        0x243F6A88,
        0x85A308D3,
        0x0370734413198A2E,
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
SEEDS = [0, 1, 16, 2**32 + 5, 0x299F31D0A4093822, 2**63, 2**64 - 1]

DRAWS = ["bernoulli", "uniform32", "uniform64", "normal0", "normal1", "exponential", "integer"]
TRANSCENDENTAL = {"normal0", "normal1", "exponential"}

# Statistical tests run on fixed words, so they repeat exactly; a fair stream fails one with this probability.
LEVEL = 1e-6
SIGMAS = stats.norm.isf(LEVEL / 2)


@njit
def numba_words(block, stream, replicate, seed):
    out = np.empty((block.size, 4), np.uint32)
    for i in range(block.size):
        out[i] = sims.words(block[i], stream[i], replicate[i], seed)
    return out


@njit
def numba_draws(w, p, n):
    bernoulli = np.empty(w.shape[0], np.bool_)
    uniform32 = np.empty(w.shape[0], np.float32)
    uniform64, normal0, normal1, exponential = np.empty((4, w.shape[0]), np.float64)
    integer = np.empty(w.shape[0], np.int64)
    for i in range(w.shape[0]):
        w0, w1, w2, w3 = w[i]
        bernoulli[i] = sims.bernoulli(w0, p)
        uniform32[i] = sims.uniform32(w0)
        uniform64[i] = sims.uniform64(w0, w1)
        normal0[i], normal1[i] = sims.normal(w0, w1, w2, w3)
        exponential[i] = sims.exponential(w0, w1)
        integer[i] = sims.integer(w0, w1, n)
    return bernoulli, uniform32, uniform64, normal0, normal1, exponential, integer


def library_draws(library, w, p, n):
    w0, w1, w2, w3 = (w[..., j] for j in range(4))
    return (
        library.bernoulli(w0, p),
        library.uniform32(w0),
        library.uniform64(w0, w1),
        *library.normal(w0, w1, w2, w3),
        library.exponential(w0, w1),
        library.integer(w0, w1, n),
    )


def torch_draws(w, p, n, device):
    w = torch.from_numpy(w.astype(np.int64)).to(device)
    return tuple(draw.cpu().numpy() for draw in library_draws(kernels, w, p, n))


def as_torch(counter: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(counter.view(np.int64)).to(device)


@pytest.fixture
def philox_triton() -> ModuleType:
    # No importorskip: on Linux a missing Triton is a failure, or a whole backend goes untested unseen.
    if sys.platform != "linux":
        pytest.skip("Triton is published for Linux only")
    return importlib.import_module("lemmata.kernels._philox_triton")


@pytest.fixture
def counters() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """2,048 counters (block, stream, replicate) in uint64, the corners among them."""
    rng = np.random.default_rng(20110)
    block = rng.integers(0, 2**32, 2048, dtype=np.uint64)
    stream = rng.integers(0, 2**32, 2048, dtype=np.uint64)
    replicate = rng.integers(0, 2**64, 2048, dtype=np.uint64)
    block[:4], stream[4:8], replicate[8:12] = 0, 2**32 - 1, [0, 2**32 - 1, 2**32, 2**64 - 1]
    return block, stream, replicate


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("block", "stream", "replicate", "seed", "expected"), KNOWN_ANSWERS)
def test_known_answers_numpy(block, stream, replicate, seed, expected):
    w = random.words(block, stream, replicate, seed=seed)
    assert w.dtype == np.uint32
    assert tuple(w) == expected


@pytest.mark.parametrize(("block", "stream", "replicate", "seed", "expected"), KNOWN_ANSWERS)
def test_known_answers_numba(block, stream, replicate, seed, expected):
    assert sims.words(np.uint32(block), np.uint32(stream), np.uint64(replicate), np.uint64(seed)) == expected
    assert sims.words(block, stream, np.uint64(replicate), np.uint64(seed)) == expected  # int64 counters


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("block", "stream", "replicate", "seed", "expected"), KNOWN_ANSWERS)
def test_known_answers_torch(block, stream, replicate, seed, expected, device):
    w = kernels.words(torch.tensor(block, device=device), stream, replicate, seed=seed)
    assert w.dtype == torch.int64
    assert tuple(w.tolist()) == expected


@pytest.mark.triton
@pytest.mark.parametrize(("block", "stream", "replicate", "seed", "expected"), KNOWN_ANSWERS)
def test_known_answers_triton(block, stream, replicate, seed, expected, philox_triton):
    out = torch.empty(1, 1, 4, dtype=torch.int64, device=TRITON_DEVICE)
    philox_triton.fill_words(out, first_block=block, stream=stream, first_replicate=replicate, seed=seed)
    assert tuple(out[0, 0].tolist()) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_numba_words_equal_the_reference(seed, counters):
    assert_array_equal(numba_words(*counters, np.uint64(seed)), random.words(*counters, seed=seed))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", SEEDS)
def test_torch_words_equal_the_reference(seed, device, counters):
    w = kernels.words(*(as_torch(c, device) for c in counters), seed=seed)
    assert w.device.type == device
    assert_array_equal(w.cpu().numpy(), random.words(*counters, seed=seed))


@pytest.mark.triton
@pytest.mark.parametrize("seed", SEEDS)
def test_triton_words_equal_the_reference(seed, philox_triton, counters):
    # 64 random corners of a 4 x 5 grid: 1,280 counters. The last one's replicates cross 2**32.
    block, stream, replicate = (c[12:76].tolist() for c in counters)
    replicate[-1] = 2**32 - 2
    for b, s, r in zip(block, stream, replicate, strict=True):
        b, r = min(b, 2**32 - 5), min(r, 2**64 - 4)
        out = torch.empty(4, 5, 4, dtype=torch.int64, device=TRITON_DEVICE)
        philox_triton.fill_words(out, first_block=b, stream=s, first_replicate=r, seed=seed)
        rows = np.uint64(r) + np.arange(4, dtype=np.uint64)
        assert_array_equal(out.cpu().numpy(), random.words(b + np.arange(5), s, rows[:, None], seed=seed))


@pytest.mark.triton
def test_triton_fills_many_programs_and_nothing_beyond(philox_triton):
    room = torch.full((3, 701, 4), -1.0, dtype=torch.float32, device=TRITON_DEVICE)
    out = room[:2]  # 1,402 cells: three programs, the last one partly masked
    philox_triton.fill_uniform32(out, first_block=7, stream=2, first_replicate=2**40, seed=11)
    expected = random.uniform32(random.words(7 + np.arange(701), 2, 2**40 + np.arange(2)[:, None], seed=11))
    assert_array_equal(out.cpu().numpy(), expected)
    assert (room[2] == -1).all()
    assert philox_triton.fill_words(torch.empty(0, 5, 4, dtype=torch.int64), seed=0).shape == (0, 5, 4)


def test_broadcasting_and_batch_equals_loop():
    block, replicate = np.arange(5), np.arange(3)[:, None] + 2**40
    batch = random.words(block, 2, replicate, seed=9)
    assert batch.shape == (3, 5, 4)
    assert random.words(np.arange(0), 0, 0, seed=0).shape == (0, 4)
    for r in range(3):
        for b in range(5):
            assert_array_equal(random.words(b, 2, 2**40 + r, seed=9), batch[r, b])


@pytest.mark.parametrize("device", DEVICES)
def test_torch_batch_equals_loop(device):
    block, replicate = torch.arange(5, device=device), torch.arange(3, device=device)[:, None] + 2**40
    batch = kernels.words(block, 2, replicate, seed=9)
    assert batch.shape == (3, 5, 4)
    for r in range(3):
        alone = kernels.words(block.to(torch.int32), 2, 2**40 + r, seed=9)
        assert torch.equal(alone, batch[r])


def test_no_two_counters_share_their_words():
    grid = random.words(np.arange(16)[:, None, None], np.arange(16)[:, None], np.r_[0:8, 2**32 : 2**32 + 8], seed=3)
    seeds = np.stack([random.words(0, 0, 0, seed=seed) for seed in (0, 1, 2, 4, 2**32, 2**32 + 1, 2**63)])
    rows = np.concatenate([grid.reshape(-1, 4), seeds])
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_neighbouring_counters_and_words_are_uncorrelated():
    n = 2**16
    base = random.words(np.arange(n), 0, 0, seed=5)
    others = [
        random.words(np.arange(n) + 1, 0, 0, seed=5),
        random.words(np.arange(n), 1, 0, seed=5),
        random.words(np.arange(n), 0, 1, seed=5),
        random.words(np.arange(n), 0, 2**32, seed=5),
        random.words(np.arange(n), 0, 0, seed=6),
    ]
    correlation = np.corrcoef(np.concatenate([base, *others], axis=1), rowvar=False)
    off_diagonal = np.abs(correlation[np.triu_indices_from(correlation, k=1)])
    # 276 pairs, each of standard error 1/sqrt(n)
    assert off_diagonal.max() < stats.norm.isf(LEVEL / (2 * off_diagonal.size)) / np.sqrt(n)


# --- draws: the same everywhere -------------------------------------------------------------------


@pytest.mark.parametrize("where", ["numba", *DEVICES])
@pytest.mark.parametrize(("p", "n"), [(0.3, 10), (1 / 3, 1_000_003), (1.0, 1), (0.0, 2**31), (2.0**-9, 2**31 - 1)])
def test_draws_equal_the_reference(where, p, n, counters):
    w = random.words(*counters, seed=2**63 + 1)
    expected = library_draws(random, w, p, n)
    got = numba_draws(w, p, n) if where == "numba" else torch_draws(w, p, n, where)
    for name, a, b in zip(DRAWS, got, expected, strict=True):
        assert a.dtype == b.dtype, name
        if name in TRANSCENDENTAL:
            # log1p, sqrt, cos of equal arguments and a product: a few units of 1.1e-16 each
            assert_allclose(a, b, rtol=1e-14, atol=0, err_msg=name)
        else:
            assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("device", DEVICES)
def test_torch_draws_take_arrays_of_parameters(device, counters):
    w = random.words(*counters, seed=8)
    rng = np.random.default_rng(4)
    p = rng.random(len(w))
    p[:2] = 0, 1
    n = rng.integers(1, 2**31, len(w))
    on_device = torch.from_numpy(w.astype(np.int64)).to(device)
    p_there, n_there = torch.from_numpy(p).to(device), torch.from_numpy(n).to(device)
    assert_array_equal(kernels.bernoulli(on_device[:, 0], p_there).cpu().numpy(), random.bernoulli(w[:, 0], p))
    drawn = kernels.integer(on_device[:, 0], on_device[:, 1], n_there).cpu().numpy()
    assert_array_equal(drawn, random.integer(w[:, 0], w[:, 1], n))


@pytest.mark.parametrize("device", DEVICES)
def test_torch_float32_draws_round_the_float64_ones(device, counters):
    w = random.words(*counters, seed=8)
    there = torch.from_numpy(w.astype(np.int64)).to(device)
    normals = kernels.normal(*there.unbind(-1), dtype=torch.float32)
    expected = random.normal(*np.moveaxis(w, -1, 0))
    for got, want in [
        *zip(normals, expected, strict=True),
        (kernels.exponential(there[:, 0], there[:, 1], torch.float32), random.exponential(w[:, 0], w[:, 1])),
    ]:
        assert got.dtype == torch.float32
        # half a unit of float32, and a hair for the float64 draw it rounds
        assert_allclose(got.cpu().numpy().astype(np.float64), want, rtol=2.0**-24 * (1 + 1e-6), atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_torch_never_waits_for_the_device():
    block = torch.arange(64, device="cuda")
    p, n = torch.full((64,), 0.3, device="cuda"), torch.full((64,), 7, device="cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        library_draws(kernels, kernels.words(block, 1, 2, seed=3), p, n)
        library_draws(kernels, kernels.words(0, block, 2**63, seed=3), 0.3, 7)
        with pytest.raises(RuntimeError, match="synchroniz"):  # what a wait looks like
            block.sum().item()
    finally:
        torch.cuda.set_sync_debug_mode("default")


# --- draws: ends of their ranges, by hand ---------------------------------------------------------

TOP = 2**32 - 1


def edge_draws(where, w, p, n):
    w = np.array([w], dtype=np.uint32)
    if where == "numpy":
        draws = library_draws(random, w, p, n)
    elif where == "numba":
        draws = numba_draws(w, p, n)
    else:
        draws = torch_draws(w, p, n, where)
    return {name: draw[0] for name, draw in zip(DRAWS, draws, strict=True)}


@pytest.mark.parametrize("where", ["numpy", "numba", *DEVICES])
@pytest.mark.parametrize("n", [1, 2, 3, 1_000, 2**31 - 1, 2**31])
def test_ends_of_the_ranges(where, n):
    low = edge_draws(where, [0, 0, 0, 0], 0.5, n)
    assert low["uniform32"] == low["uniform64"] == low["exponential"] == low["integer"] == 0
    assert low["normal0"] == low["normal1"] == 0
    top = edge_draws(where, [TOP, TOP, 0, 0], 0.5, n)
    assert top["uniform32"] == 1 - 2.0**-24
    assert top["uniform64"] == 1 - 2.0**-53
    assert top["integer"] == n - 1
    # one or two roundings of float64
    assert_allclose(top["exponential"], 53 * np.log(2), rtol=1e-15)
    assert_allclose(top["normal0"], np.sqrt(2 * 53 * np.log(2)), rtol=1e-15)
    assert top["normal1"] == 0
    assert top["normal0"] < 8.58


@pytest.mark.parametrize("where", ["numpy", "numba", *DEVICES])
def test_uniform_bits(where):
    # 32 bits of the first word lead, the upper 21 of the second follow, its lower 11 are not used
    assert edge_draws(where, [1, 0, 0, 0], 0.5, 2)["uniform64"] == 2.0**-32
    assert edge_draws(where, [2**31, 2**11, 0, 0], 0.5, 2)["uniform64"] == 0.5 + 2.0**-53
    assert edge_draws(where, [0, 2**11 - 1, 0, 0], 0.5, 2)["uniform64"] == 0
    assert edge_draws(where, [2**8, TOP, 0, 0], 0.5, 2)["uniform32"] == np.float32(2.0**-24)
    assert edge_draws(where, [2**8 - 1, TOP, 0, 0], 0.5, 2)["uniform32"] == 0


@pytest.mark.parametrize("where", ["numpy", "numba", *DEVICES])
@pytest.mark.parametrize("n", [3, 10, 2**31 - 1])
def test_integer_is_the_exact_floor(where, n):
    # around the first word pair that gives the value n // 2: x >= ceil(2**64 (n // 2) / n)
    x = -(-(n // 2) * 2**64 // n)
    for shift, value in ((-1, n // 2 - 1), (0, n // 2)):
        pair = divmod(x + shift, 2**32)
        assert edge_draws(where, [*pair, 0, 0], 0.5, n)["integer"] == value


@pytest.mark.parametrize("where", ["numpy", "numba", *DEVICES])
@pytest.mark.parametrize(
    ("word", "p", "decision"),
    [
        (0, 0.0, False),
        (TOP, 0.0, False),
        (0, 1.0, True),
        (TOP, 1.0, True),
        (2**31 - 1, 0.5, True),
        (2**31, 0.5, False),
        (0, 2.0**-32, True),
        (1, 2.0**-32, False),
        (0, np.nextafter(2.0**-32, 0), False),
        (TOP, np.nextafter(1.0, 0), False),
        (TOP - 1, np.nextafter(1.0, 0), True),
        (0, 5e-324, False),
    ],
)
def test_bernoulli_at_the_threshold(where, word, p, decision):
    assert edge_draws(where, [word, 0, 0, 0], p, 2)["bernoulli"] == decision


def test_bernoulli_thresholds():
    p = np.array([0.0, 2.0**-33, 2.0**-32, 0.3, 0.5, 1.0])
    expected = np.array([0, 0, 1, 1288490188, 2**31, 2**32], dtype=np.uint64)
    threshold = random.bernoulli_threshold(p)
    assert threshold.dtype == np.uint64
    assert_array_equal(threshold, expected)
    assert [sims.bernoulli_threshold(x) for x in p] == expected.tolist()
    assert [kernels.bernoulli_threshold(float(x)) for x in p] == expected.tolist()
    assert kernels.bernoulli_threshold(torch.from_numpy(p)).tolist() == expected.tolist()


# --- draws: their law -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample() -> dict[str, np.ndarray]:
    w = random.words(np.arange(2**14), 0, np.arange(8)[:, None], seed=2024).reshape(-1, 4)
    return dict(zip(DRAWS, library_draws(random, w, 0.3, 10), strict=True))


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("uniform32", stats.uniform),
        ("uniform64", stats.uniform),
        ("normal0", stats.norm),
        ("normal1", stats.norm),
        ("exponential", stats.expon),
    ],
)
def test_laws(name, law, sample):
    x = sample[name].astype(np.float64)
    assert stats.kstest(x, law.cdf).pvalue > LEVEL
    mean, variance, kurtosis = (float(m) for m in law.stats(moments="mvk"))
    assert abs(x.mean() - mean) < SIGMAS * np.sqrt(variance / x.size)
    # Var (x - mean)^2 = (kurtosis + 2) variance^2
    assert abs(((x - mean) ** 2).mean() - variance) < SIGMAS * variance * np.sqrt((kurtosis + 2) / x.size)


def test_normals_of_a_pair_are_independent(sample):
    x, y = sample["normal0"], sample["normal1"]
    assert abs((x * y).mean()) < SIGMAS / np.sqrt(x.size)
    # the radius couples the pair: x^2 y^2 has mean 1 and variance 8 if they are independent
    assert abs((x**2 * y**2).mean() - 1) < SIGMAS * np.sqrt(8 / x.size)
    assert stats.kstest(np.arctan2(y, x) / (2 * np.pi) + 0.5, "uniform").pvalue > LEVEL


def test_bernoulli_and_integer_frequencies(sample):
    n = sample["bernoulli"].size
    assert stats.binomtest(int(sample["bernoulli"].sum()), n, 0.3).pvalue > LEVEL
    assert stats.chisquare(np.bincount(sample["integer"], minlength=10)).pvalue > LEVEL


def test_every_bit_is_fair():
    n = 2**15
    w = random.words(np.arange(n), 3, 1, seed=77)
    ones = ((w[:, :, None] >> np.arange(32, dtype=np.uint32)) & 1).sum(axis=0)
    assert np.abs(ones - n / 2).max() < stats.norm.isf(LEVEL / (2 * 128)) * np.sqrt(n / 4)


# --- manners --------------------------------------------------------------------------------------


def test_no_global_random_state_is_touched():
    numpy_before = np.random.get_state(legacy=False)  # noqa: NPY002 (the state under guard)
    torch_before = torch.get_rng_state()
    w = random.words(np.arange(64), 0, 0, seed=1)
    library_draws(random, w, 0.3, 7)
    numba_draws(w, 0.3, 7)
    torch_draws(kernels.words(torch.arange(64), 0, 0, seed=1).numpy(), 0.3, 7, "cpu")
    np.testing.assert_equal(np.random.get_state(legacy=False), numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_torch_functions_do_not_need_triton():
    code = "import sys; sys.modules['triton'] = None; import lemmata.kernels._philox"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("seed", "error"),
    [
        (-1, DomainError),
        (2**64, DomainError),
        (np.int64(-1), DomainError),
        (1.0, TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        ("1", TypeError),
        (None, TypeError),
        ([1], TypeError),
        (np.array([1, 2]), TypeError),
    ],
)
def test_bad_seeds(seed, error):
    for call in (
        lambda: random.check_seed(seed),
        lambda: random.words(0, 0, 0, seed=seed),
        lambda: kernels.words(torch.arange(2), 0, 0, seed=seed),
    ):
        with pytest.raises(error, match="seed"):
            call()


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int32(7), np.uint64(2**64 - 1)])
def test_good_seeds(seed):
    assert random.check_seed(seed) == int(seed)
    assert type(random.check_seed(seed)) is int


@pytest.mark.parametrize("name", ["block", "stream", "replicate"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, DomainError),
        (2**64, DomainError),
        (0.5, TypeError),
        (True, TypeError),
        (np.arange(2) - 1, DomainError),
    ],
)
def test_bad_counters(name, value, error):
    counter = {"block": 0, "stream": 0, "replicate": 0, name: value}
    with pytest.raises(error, match=name):
        random.words(**counter, seed=0)
    if not isinstance(value, np.ndarray):
        with pytest.raises(error, match=name):
            kernels.words(**counter, seed=0)


def test_block_and_stream_have_32_bits():
    for library in (random, kernels):
        for counter in [(2**32, 0, 0), (0, 2**32, 0)]:
            with pytest.raises(DomainError, match="4294967296"):
                library.words(*counter, seed=0)


def test_torch_words_need_integer_tensors():
    with pytest.raises(TypeError, match="block"):
        kernels.words(torch.zeros(2), 0, 0, seed=0)
    with pytest.raises(TypeError, match="must be a tensor"):
        kernels.words(0, 0, 0, seed=0)


@pytest.mark.parametrize(
    ("p", "error"),
    [
        (-1e-300, DomainError),
        (1.0 + 2.0**-52, DomainError),
        (float("nan"), DomainError),
        (float("inf"), DomainError),
        ("0.5", TypeError),
        (0.5j, TypeError),
        (None, TypeError),
    ],
)
def test_bad_probabilities(p, error):
    for call in (
        lambda: random.bernoulli(np.uint32(0), p),
        lambda: random.bernoulli_threshold([0.5, p]),
        lambda: kernels.bernoulli(torch.zeros(1, dtype=torch.int64), p),
    ):
        with pytest.raises(error, match="p "):
            call()


@pytest.mark.parametrize(
    ("n", "error"), [(0, DomainError), (-3, DomainError), (2**31 + 1, DomainError), (2.0, TypeError)]
)
def test_bad_sizes(n, error):
    for call in (
        lambda: random.integer(np.uint32(0), np.uint32(0), n),
        lambda: kernels.integer(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), n),
    ):
        with pytest.raises(error, match="n "):
            call()


def test_words_must_be_uint32():
    for call in (
        lambda: random.bernoulli(0, 0.5),
        lambda: random.uniform32(np.array([0.5])),
        lambda: random.exponential(np.uint32(0), np.int64(0)),
    ):
        with pytest.raises(TypeError, match="uint32"):
            call()


@pytest.mark.triton
def test_triton_refuses_what_it_cannot_fill(philox_triton):
    good = torch.empty(2, 3, 4, dtype=torch.int64)
    with pytest.raises(TypeError, match="int64"):
        philox_triton.fill_words(good.to(torch.float32), seed=0)
    with pytest.raises(TypeError, match="float32"):
        philox_triton.fill_uniform32(good, seed=0)
    for bad in (good[0], torch.empty(2, 4, 3, dtype=torch.int64), torch.empty(4, 3, 2, dtype=torch.int64).mT):
        with pytest.raises(ShapeError, match=r"n_replicates, n_blocks, 4"):
            philox_triton.fill_words(bad, seed=0)
    for name, value in {
        "first_block": 2**32 - 2,
        "stream": 2**32,
        "first_replicate": 2**64 - 1,
        "seed": -1,
    }.items():
        with pytest.raises(DomainError, match=name):
            philox_triton.fill_words(good, **{"seed": 0, name: value})
