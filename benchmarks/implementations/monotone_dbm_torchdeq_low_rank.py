"""torchdeq's fixed-point iteration on the same map, its product written for the low rank."""

import runpy
from functools import partial
from pathlib import Path

parts = runpy.run_path(str(Path(__file__).with_name("monotone_dbm_torchdeq.py")))
prepare = partial(parts["prepare"], low_rank=True)
