"""A monotone model of binary nodes and its certificate, by numpy alone."""

import numpy as np

#: distance to the mean field, which every implementation certifies for every sample
CERTIFICATE = 1e-3
M = 0.1


def problem(case):
    """A [r, 2 N], its columns shrunk to norm sqrt(1 - m) a node, L, and biases b [B, 2 N]; float32."""
    rng = np.random.default_rng(0)
    nodes, rank = case["nodes"], case["rank"]
    A = rng.standard_normal((rank, 2 * nodes))
    norms = np.linalg.norm(A.reshape(rank, nodes, 2).transpose(1, 0, 2), 2, axis=(1, 2))
    A *= np.repeat(np.minimum(1, np.sqrt(1 - M) / norms), 2)
    lipschitz = 1 - np.linalg.eigvalsh(interactions(A))[0]
    return A.astype(np.float32), float(lipschitz), rng.standard_normal((case["batch"], 2 * nodes)).astype(np.float32)


def interactions(A):
    """Phi [2 N, 2 N], without blocks on its diagonal."""
    phi = -A.T @ A
    for i in range(0, len(phi), 2):
        phi[i : i + 2, i : i + 2] = 0
    return phi


def softmax(field):
    """The softmax of each pair of entries."""
    pairs = field.reshape(*field.shape[:-1], -1, 2)
    p = np.exp(pairs - pairs.max(axis=-1, keepdims=True))
    return (p / p.sum(axis=-1, keepdims=True)).reshape(field.shape)


def certificate(phi, b, q):
    """Bound on the distance of ``softmax(Phi q + b)`` to the mean field, the largest of all samples; float64."""
    change = (q - softmax(q @ phi + b)) @ phi
    pairs = change.reshape(len(change), -1, 2)
    return np.linalg.norm((pairs - pairs.mean(axis=-1, keepdims=True)).reshape(len(change), -1), axis=1).max() / (1 + M)
