"""Tools for a user's own test suite: check an algorithm of one's own against a claim.

>>> from lemmata.testing import assert_claim
>>> def mine(T, x0, steps):
...     x, out = x0, [x0]
...     for k in range(steps):
...         x = x0 / (k + 2) + (k + 1) / (k + 2) * T(x)
...         out.append(x)
...     return np.array(out)
>>> assert_claim(mine, "halpern/residual").status
'holds'
"""

from lemmata.testing.assertions import assert_claim

__all__ = ["assert_claim"]
