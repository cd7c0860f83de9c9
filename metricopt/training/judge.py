"""What the weights of the model are worth as they are, and the candidates that they make.

This file decides how a candidate is made: from the scores of the rows that choose, with or without a copy of the
weights, or as the average of several. It leaves what candidates are judged by to :mod:`metricopt.training.selection`,
when one is made to :mod:`metricopt.training.loop`, and thresholds to :mod:`metricopt.evidence.thresholds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from metricopt.scoring.forward import score_loader
from metricopt.training.averaging import average_weights, is_as_good
from metricopt.training.driver import DivergedError
from metricopt.training.parts import Part
from metricopt.training.preparation import Training
from metricopt.training.selection import OutOfFold
from metricopt.training.state import Candidate, State


class Judge:
    """Scores rows with the weights of a training's model, and makes candidates of these weights.

    Parameters
    ----------
    training : Training
    """

    def __init__(self, training: Training) -> None:
        self._model, self._objective = training.model, training.objective
        self._selection, self._parts = training.selection, training.parts
        self._processes = training.processes

    def scores(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and labels of all samples of a part, of which each process scores a part."""
        self._processes.take_buffers_of_main(self._model)
        with self._processes.in_step():
            scores, labels = score_loader(self._model, part.batches, self._processes.device, must_be_finite=False)
        return self._processes.concatenated(scores), self._processes.concatenated(labels)

    def scores_of(self, candidate: Candidate, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and labels of a part with the weights of a candidate, which the model keeps."""
        self._model.load_state_dict(candidate.weights)
        return self.scores(part)

    def candidate(
        self,
        stage: str,
        epoch: int,
        slack: np.ndarray | None = None,
        scored: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Candidate:
        """Return what the weights as they are are worth on the rows that choose, without a copy of them.

        Parameters
        ----------
        stage, epoch
            Where the weights were found.
        slack : ndarray, optional
            The slacks that belong to the weights.
        scored : pair of ndarray, optional
            Scores and labels of the rows that choose, where these are known already.

        Raises
        ------
        DivergedError
            If the scores are not finite.
        """
        scores, labels = self.scores(self._selection.part) if scored is None else scored
        judgement = self._selection.judge(scores, labels)
        if judgement is None:
            raise DivergedError
        choice, key, evidence = judgement.choice, judgement.key, judgement.evidence
        known = None if evidence is not None else scores, None if evidence is not None else labels
        return Candidate(choice, key, {}, stage, epoch, evidence, slack, (), *known)

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights on the host."""
        return {name: value.detach().to("cpu", copy=True) for name, value in self._model.state_dict().items()}

    def with_weights(self, candidate: Candidate) -> Candidate:
        """Return a candidate with a copy of the weights as they are."""
        return replace(candidate, weights=self.weights())

    def average_or_best(self, state: State) -> Candidate:
        """Return the average of as many finalists as keep up with the best, or the best itself."""
        finalists = [] if state.diverged else state.finalists
        for number in range(len(finalists), 1, -1):
            try:
                average = self._average(finalists[:number], state.epoch)
            except DivergedError:  # finite weights whose average is not
                continue
            if is_as_good(average, state.best, state.baseline, self._objective, self._parts.selection.labels):
                return average
        return state.best

    def candidates(self, state: State) -> list[Candidate]:
        """Return the candidates of replicas: on several paths, the average of the paths' ends and candidate zero."""
        assert isinstance(self._selection, OutOfFold)
        averaged = self._selection.to_average(state.finalists)
        if not averaged:
            return state.finalists or [state.baseline]
        try:
            return [self._average(averaged, state.epoch), state.baseline]
        except DivergedError:  # finite weights whose average is not
            return [state.baseline]

    def _average(self, finalists: Sequence[Candidate], epoch: int) -> Candidate:
        self._model.load_state_dict(average_weights(finalists))
        average = self.with_weights(self.candidate(f"average of {len(finalists)} paths", epoch))
        return replace(average, averaged=tuple(each.epoch for each in finalists))
