"""Numba simulators of the tangent-kernel family."""
