"""Batched PyTorch (and Triton) implementations, one module a family, with the names of `lemmata.sims`."""
