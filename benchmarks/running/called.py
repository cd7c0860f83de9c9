"""Methods called as their users call them, with their own selection and threshold: peers, and our own classifier.

This file decides what they are given: training and validation rows together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

import metricopt
from benchmarks.peers.scores import PeerScores
from benchmarks.running.method import Method, Setting, Trained
from benchmarks.running.task import Task
from metricopt.problem.objectives import Objective

SMALLEST_DECISION = float(np.nextafter(0.0, 1.0))
"""``decision_function`` is above 0 where a classifier of scikit-learn raises an alarm."""


class Peer(Method):
    """A peer that trains, selects and tunes its threshold by itself, on training and validation rows together.

    Parameters
    ----------
    call : callable
        As :func:`benchmarks.peers.tuned_threshold.logistic_regression`; chooses among settings of its own.
    model : str
        Beside which model it stands in the tables.
    missing : callable
        Returns the packages that it wants and that are not installed.
    serves : tuple of type
        The objectives that it knows.
    """

    family = "peer"
    settings: tuple[Setting, ...] = ({},)
    knows_objective = True

    def __init__(
        self,
        call: Callable[..., PeerScores],
        model: str,
        missing: Callable[[], list[str]],
        serves: tuple[type[Objective], ...] = (Objective,),
    ) -> None:
        self._call, self._model, self._missing, self._serves = call, model, missing, serves

    def supports(self, objective: Objective, model: str) -> bool:
        return model == self._model and isinstance(objective, self._serves)

    def missing(self) -> list[str]:
        return self._missing()

    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        known = [tensor.numpy() for part in (task.train, task.validation) for tensor in part.tensors]
        trained = {}
        for name, objective in objectives.items():
            own = self._call(objective, *known, task.test_features.numpy(), task.seed)
            scores = {"train": own.train, "validation": own.validation, "test": own.test}
            trained[name] = Trained(scores, own.threshold, epochs=0, steps=0, setting=own.setting)
        return trained


class Classifier(Method):
    """:class:`metricopt.DirectMetricClassifier` as its users call it, with its own budget, folds and threshold.

    Parameters
    ----------
    name : str
        Its ``model``.
    beside : str
        Beside which model it stands in the tables.
    """

    family = "direct"
    settings: tuple[Setting, ...] = ({},)
    knows_objective = True

    def __init__(self, name: str, beside: str) -> None:
        self._name, self._beside = name, beside

    def supports(self, objective: Objective, model: str) -> bool:
        return model == self._beside

    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        known = [tensor.numpy() for tensor in task.known.tensors]
        trained = {}
        for name, objective in objectives.items():
            classifier = metricopt.DirectMetricClassifier(objective, model=self._name, random_state=task.seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that a bound is not supported: the status says so
                classifier.fit(*known)
            trained[name] = Trained(
                {part: classifier.decision_function(own.numpy()) for part, own in task.features.items()},
                SMALLEST_DECISION,
                epochs=0,
                steps=0,
                status=str(classifier.result_.status),
                setting=next((tried.name for tried in classifier.result_.candidates if tried.is_chosen), ""),
            )
        return trained
