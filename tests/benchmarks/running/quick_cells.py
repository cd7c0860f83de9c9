"""Cells that train nothing, so that a process that runs them starts at once."""

import random
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class QuickCell:
    """Two numbers drawn from its seed; one whose seed is negative fails."""

    seed: int

    @property
    def key(self):
        return f"quick {self.seed}"

    @property
    def title(self):
        return self.key

    def run(self):
        time.sleep(0.02)
        if self.seed < 0:
            raise ValueError("no such seed")
        draw = random.Random(self.seed)
        return [{"seed": self.seed, "value": draw.random(), "seconds": 0.01} for _ in range(2)]


CELLS = [QuickCell(seed) for seed in range(30)]
