"""torchdeq's Anderson acceleration of the same map, with the window that is fastest here."""

import runpy
from functools import partial
from pathlib import Path

parts = runpy.run_path(str(Path(__file__).with_name("monotone_dbm_torchdeq.py")))
prepare = partial(parts["prepare"], solver="anderson", m=3)
