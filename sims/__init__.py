"""Numba simulators, one module a family."""
