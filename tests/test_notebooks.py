"""Every notebook runs from top to bottom in a fresh kernel, in its quick form, and says what it should."""

from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))

#: What a reader must be told: pieces of the printed output, by notebook.
SAYS = {
    "bandits": (
        "R_6 = 1351/2048 = 0.65966796875",
        "largest difference of the two roads: 0.0",
        "what the simulator reports: pseudo",
        "alternating  UCB1         R_T =  4096.0",
        "with ln t for ln(t-1)                 violated",
        "pulls that differ from UCB1's: 0",
        "bandits/ucb1-exact: holds",
        "bandits/ucb1-bound: holds",
        "the bound:        holds",
        "the exact values: bandits/ucb1-exact: violated",
        "refused: bandits/ucb1-bound: inconclusive",
    ),
    "bandits_that_remember": (
        "regret, simulated: 18.80   exact: 18.80",
        "log-levels  costs 0.385 of uniform exploration; charged to the arm stored 0.312",
        "M = 103: simulated 592, exact 592.0",
        "relaxation 0.5   best schedule 0.5",
        "a =  4: 0.984 of the relaxation",
        "greedy 0.02   best 0.2",
        "best action: [1.  0.5 0. ]  best at once: [0.  1.  0.5]",
        "holds to 1e-09",
        "gamma =    10: [0.167 0.528 0.222 0.083]",
    ),
    "halpern": (
        "x_N = 1/11   residual = 2/11",
        "measured / theorem at k = N: [1. 1. 1. 1. 1.]",
        "halpern/residual-tight: holds",
        "T is expansive: Lipschitz constant 1.03 > 1",
        "halpern/residual: holds",
        "refused: halpern/residual: violated",
        "FEG meets its bound at k = [ 2  6 10 14]",
        "optimal method: measured / theorem = 1.0",
        "an epoch multiplies the residual by 0.1388 <= 1/e",
        "checked in exact arithmetic: True",
        "proved: halpern  N = 9:  residual^2 <= 1/25 (L D)^2",
        "certified / guess: [1. 1. 1.]",
        "by computer algebra: left - right = 0",
        "Halpern, 2/L_F                   slope 1.00",
    ),
    "koopman": (
        "EDMD and the closed form agree to 1e-12: True",
        "residual of the constant below 1e-12: True",
        "residuals of the other twenty: 1.000000 and more",
        "stacked, all within 1 %: True",
        "Gram form, below 1e-9: not one within 10 %: True",
        "a tolerance of 1e-10 was asked for",
        "the integrals keep norms to 1e-12: True",
        "tau >= |1 - |z|| to 1e-6 at all 861 points: True",
        "mpEDMD on the circle to 1e-12: True",
        "below pi: True; at N = 80 within 2 % of pi/2: True",
        "moments: simulated and by hand agree to 1e-12: True",
        "order 6: slope 5.9",
        "n = 100, L = 100: 1.00    n = 1, L = 10000: 0.50",
        "refused: 20 snapshots and 21 functions: the data fit any matrix",
        "on the 379 others: the median is above 0.5: True",
        "refused: a distance to the spectrum needs operator",
        "every point as near to the circle as certified: True; bounds fall: True",
        "the two agree on the data to 1e-11: True",
        "your answers to the two are within 1e-9: True",
        "koopman/adversarial-disc: demonstrated",
        "hard kicked: 1 of 49 eigenvalues have a residual below 0.3",
        "sunspots: the interval holds 11 years: True",
        "sunspots: below the best of 100 shuffles: True; below a tenth: False",
        "CO2: a year to 1 %: True; below a quarter of noise: True",
        "what leaves the span forgotten: violated",
        "no twist: the data tell the truth: violated",
    ),
    "learning_dynamics": (
        "steps, plain and normalized: [308] [2, 2, 16, 157]",
        "perpGrad: 1.00 of the pairs for training right, most of the others",
        "M = 23: energies [5.75]",
    ),
    "monotone_dbm": (
        "q solves its equation: True",
        "KL(q|p) = 0.000644 = G(q) + log Z: True",
        "parallel, last move: 8.9443   two moves: 0.0000",
        "the library says: oscillating",
        "N =  4: swing 0.786174   theory 0.786174",
        "scaled on one side only, 751 of 1000 are not monotone",
        "by hand and by the library agree: True",
        "measured = theory at every step: True",
        "at 1.02 of the limit, the last of 3000 moves: 7.0e+00",
        "refused: forward-backward needs alpha < 2/(L - 1) = 0.0569801 (L = 36.1), got 0.125",
        "the damped softmax has settled: True\nand is wrong by 0.13",
        "alpha =   0.125: 0.907903 0.092038 0.000059",
        "error <= certificate <= tol in every sample: True",
        "clamping is conditioning: True",
        "better by 3 points: True",
        "six times chance: True",
        "gap / law at s = .001: 1.000",
        "c = 1.1: refused: the largest eigenvalue of Pi phi Pi is 2.2, not below 2",
        "two starts, two mean fields: [ 0.502941 -0.502941]",
        "agrees to 1e-8: True",
        "positive semidefinite: True",
    ),
    "ntk": (
        "by hand and by the library agree: True",
        "(hidden layer) = 1.275992859392",
        "fc_kernels   Theta = 1.275992859392,",
        "largest learning rate 0.259",
        "posterior of the prior K: 0.22",
        "gradient descent diverges: eta times the loss factor is 0.3172, not below 2/lambda_max = 0.3141",
        "all networks together read every input: True",
        "ntk/kernel-mean: holds",
        "the network is in 'standard' scaling",
    ),
    "sinkhorn_newton": (
        "every step within Birkhoff's bound: True",
        "refused: the masses differ",
        "the optimum lies in every interval: True",
        "agrees to 1e-6: True",
    ),
}
FIGURES = {
    "bandits": 8,
    "halpern": 15,
    "koopman": 12,
    "learning_dynamics": 4,
    "monotone_dbm": 4,
    "ntk": 7,
    "sinkhorn_newton": 5,
}


@pytest.fixture
def execute(tmp_path, monkeypatch):
    monkeypatch.setenv("LEMMATA_NOTEBOOK_QUICK", "1")
    # neither the reader's own IPython profile nor files of other kernels
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))

    def run(source: str):
        notebook = jupytext.reads(source, fmt="py:percent")
        resources = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
        return notebook

    return run


def outputs(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, execute):
    notebook = execute(path.read_text(encoding="utf-8"))
    shown = outputs(notebook)
    printed = "".join(output.text for output in shown if output.output_type == "stream")
    # warnings go there
    assert [output.text for output in shown if output.output_type == "stream" and output.name == "stderr"] == []
    for words in SAYS.get(path.stem, ()):
        assert words in printed
    assert sum("image/png" in output.get("data", {}) for output in shown) >= FIGURES.get(path.stem, 1)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_opens_with_a_title(path):
    notebook = jupytext.read(path)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    assert notebook.metadata.kernelspec.name == "python3"


def test_a_failing_cell_is_seen(execute):
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute("# %%\n1 / 0\n")
