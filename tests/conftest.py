"""Settings that must stand before any test module is imported."""

import os

import torch
from hypothesis import settings

# the test processes share the cores: torch's own threads would only wait for one another
torch.set_num_threads(1)

# Triton reads this once, when it is first imported: without a GPU its kernels run interpreted.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# "ci" draws the same examples on every machine; the others look for new ones
settings.register_profile("ci", derandomize=True, max_examples=50, deadline=None)
settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("LEMMATA_HYPOTHESIS_PROFILE", "ci"))
