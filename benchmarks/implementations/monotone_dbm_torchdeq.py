"""torchdeq's fixed-point iteration on the averaged map, with the loosest tolerance that meets the certificate."""

import runpy
from pathlib import Path

import torch
from torchdeq import get_deq

parts = runpy.run_path(str(Path(__file__).with_name("monotone_dbm_problem.py")))
torch.set_num_threads(1)


def prepare(case, solver="fixed_point_iter", low_rank=False, **options):
    A, lipschitz, b = parts["problem"](case)
    dense = parts["interactions"](A.astype(float))
    phi, A, b0, b = torch.tensor(dense).float(), torch.tensor(A), b, torch.tensor(b)
    columns = A.unflatten(1, (-1, 2)).permute(1, 2, 0)
    block = columns @ columns.mT
    weight = min(1.0, 4 / (2 + parts["M"] + lipschitz))

    def product(q):
        if not low_rank:
            return q @ phi
        y = q.unflatten(1, (-1, 2))
        return (y[..., :1] * block[:, 0] + y[..., 1:] * block[:, 1]).flatten(1) - (q @ A.T) @ A

    def softmax(field):
        first = torch.sigmoid(field[:, ::2] - field[:, 1::2])
        return torch.stack([first, 1 - first], -1).flatten(1)

    def step(q):
        return torch.lerp(q, softmax(product(q) + b), weight)

    start = torch.full_like(b, 0.5)
    for quarter in range(8, 29):
        deq = get_deq(f_solver=solver, f_max_iter=1000, f_tol=10 ** (-quarter / 4), f_stop_mode="rel").eval()
        with torch.no_grad():
            q = deq(step, start, solver_kwargs=options)[0][-1]
        if parts["certificate"](dense, b0, q.double().numpy()) <= parts["CERTIFICATE"]:
            break
    else:
        raise RuntimeError(f"{solver} does not reach a certificate of {parts['CERTIFICATE']:g}")

    def run():
        with torch.no_grad():
            return softmax(product(deq(step, start, solver_kwargs=options)[0][-1]) + b).numpy()

    return run
