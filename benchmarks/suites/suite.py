"""What a suite is, and the names of what can be asked in one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from metricopt.problem.objectives import FPOR, FROP, OAP, OFBS, Objective

OBJECTIVES: dict[str, Objective] = {
    "FPOR .3": FPOR(0.3),
    "FPOR .5": FPOR(0.5),
    "FPOR .8": FPOR(0.8),
    "FROP .8": FROP(0.8),
    "F1": OFBS(1.0),
    "AP": OAP(),
    "FPOR .9": FPOR(0.9),
    "FROP .9": FROP(0.9),
    "F2": OFBS(2.0),
}


@dataclass(frozen=True)
class Plan:
    """Every method for every objective that it can serve.

    Attributes
    ----------
    objectives : tuple of str
        Names in :data:`OBJECTIVES`.
    methods : tuple of str
        Names in :data:`benchmarks.running.roster.METHODS`.
    models : tuple of str
        Names in :data:`metricopt.training.table_models.TABLE_MODELS`.
    """

    objectives: tuple[str, ...]
    methods: tuple[str, ...]
    models: tuple[str, ...] = ("linear", "mlp")


@dataclass(frozen=True)
class Suite:
    """Data, plans and budget of a comparison.

    Attributes
    ----------
    name, title : str
    datasets : tuple of str
        Names in :data:`benchmarks.data.DATASETS`.
    plans : tuple of Plan
    num_splits : int
        Stratified splits into 60, 20 and 20 %; the number of a split is its seed.
    num_steps : int
        Batches a training, warm start included, rounded up to whole epochs: the same for every method.
    batch_size : int
    """

    name: str
    title: str
    datasets: tuple[str, ...]
    plans: tuple[Plan, ...]
    num_splits: int
    num_steps: int
    batch_size: int

    def quick(self) -> Suite:
        """Return a small version, which shows that everything runs and not who wins."""
        return replace(
            self,
            name=f"{self.name}-quick",
            title=f"{self.title} (quick: too little to conclude from)",
            datasets=self.datasets[:3],
            plans=self.plans[:2],
            num_splits=2,
            num_steps=self.num_steps // 5,
        )
