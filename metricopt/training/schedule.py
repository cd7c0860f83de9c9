"""How far a training is: the batches of the warm-up, of the path, and the moments at which a threshold is taken.

This file decides when the warm-up ends, and how often thresholds are refreshed. What happens then is in
:mod:`metricopt.training.driver`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from metricopt.training.plan import WARMUP_FRACTION

MIN_REFRESH_STEPS = 10
REFRESHES_AN_EPOCH = 2
MAX_WARMUP_FRACTION = 0.5
"""The part of the batches to which the default warm-up is extended while it has not begun to learn."""
_MOVING = ("batches", "on_paths", "is_on_path", "scales", "warmup_batches")


@dataclass
class Schedule:
    """How far a training is.

    Attributes
    ----------
    num_batches, steps_per_epoch : int
        The number of batches of the whole training, and of an epoch.
    can_extend : bool
        Whether the warm-up may take longer than planned.
    warmup_batches : int
        The number of batches of the warm-up, with those by which it was extended.
    batches, on_paths : int
        The number of batches that moved the loss, in all and on paths.
    is_on_path : bool
    scales : list of float
        The factor of each replica's loss on a path.
    """

    num_batches: int
    steps_per_epoch: int
    can_extend: bool
    warmup_batches: int
    batches: int = 0
    on_paths: int = 0
    is_on_path: bool = False
    scales: list[float] = field(default_factory=lambda: [1.0])
    _planned_warmup_batches: int = field(init=False)

    def __post_init__(self) -> None:
        self._planned_warmup_batches = self.warmup_batches

    @classmethod
    def of(cls, epochs: int, steps_per_epoch: int, warmup_epochs: int, *, is_default: bool, warms_up: bool) -> Schedule:
        """Return the schedule of a training from its beginning.

        Parameters
        ----------
        epochs, steps_per_epoch, warmup_epochs : int
        is_default : bool
            Whether nobody asked for this number of epochs of warm-up. It may then be extended, and a training of one or
            two epochs warms up for a quarter of its batches.
        warms_up : bool
            Whether the solver begins with a warm-up at all.
        """
        num_batches, warmup_batches = epochs * steps_per_epoch, warmup_epochs * steps_per_epoch
        if is_default and warms_up and not warmup_epochs:
            warmup_batches = max(1, round(WARMUP_FRACTION * num_batches))
        return cls(num_batches, steps_per_epoch, is_default and warmup_epochs > 0, warmup_batches)

    @property
    def warmup_epochs(self) -> int:
        """The number of whole epochs of the warm-up."""
        return self.warmup_batches // self.steps_per_epoch

    @property
    def is_warm(self) -> bool:
        """Whether the warm-up is over."""
        return self.batches >= self.warmup_batches

    @property
    def may_skip_warmup(self) -> bool:
        """Whether training begins with a warm-up of less than an epoch, which a trained model does not need."""
        return self.batches == 0 == self.warmup_epochs and self.warmup_batches > 0

    @property
    def is_warmup_alone(self) -> bool:
        """Whether the warm-up would leave no batch for the objective."""
        return self.warmup_batches >= self.num_batches

    def advance(self) -> bool:
        """Go one batch on; say whether the threshold is to be taken anew."""
        self.batches += 1
        self.on_paths += self.is_on_path
        every = max(MIN_REFRESH_STEPS, self.steps_per_epoch // REFRESHES_AN_EPOCH)
        return self.is_on_path and self.on_paths % every == 0

    @property
    def is_at_end_of_warmup(self) -> bool:
        """Whether the warm-up ends with the latest batch."""
        return self.batches == self.warmup_batches and not self.is_on_path

    @property
    def has_room_to_extend(self) -> bool:
        """Whether there is time for another epoch of warm-up."""
        return MAX_WARMUP_FRACTION * self.num_batches - self.warmup_batches >= self.steps_per_epoch

    @property
    def is_warmup_extended(self) -> bool:
        """Whether the warm-up takes longer than planned."""
        return self.warmup_batches > self._planned_warmup_batches

    def extend_warmup(self) -> None:
        """Let the warm-up take one epoch more."""
        self.warmup_batches += self.steps_per_epoch

    def state_dict(self) -> dict[str, Any]:
        """Return what moves."""
        return {name: getattr(self, name) for name in _MOVING}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        for name in _MOVING:
            setattr(self, name, state[name])
