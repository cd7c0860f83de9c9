"""Set up before torch is imported: every test worker computes on one core, so that workers do not slow each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
