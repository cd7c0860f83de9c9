"""Methods that train on training and validation rows together, one model a fold, and are judged by out-of-fold scores.

This file decides how they are trained. The rules that choose by these scores are in :mod:`benchmarks.running.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

import metricopt
from benchmarks.running.fitted import LEARNING_RATE, WARMUP_FRACTION, Fitted, scores_of
from benchmarks.running.method import Method, Setting, Trained
from benchmarks.running.task import Task
from metricopt.evidence.cross_fit import cross_fit
from metricopt.problem.objectives import Objective
from metricopt.scoring.classifiers import score_by


class FittedOnFolds(Fitted):
    """Trained by :func:`metricopt.fit` on training and validation rows together, one model a fold, side by side.

    It is trained for every objective anew, because the objective chooses among the epochs.
    """

    has_folds = True

    def __init__(self, family: str, make: Callable[..., Any], settings: tuple[Setting, ...], **rest: Any) -> None:
        super().__init__(family, make, settings, (Objective,), **rest)

    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        loader = DataLoader(task.known, batch_size=task.batch_size, shuffle=True)
        epochs = task.epochs_of(len(loader))
        trained = {}
        for name, objective in objectives.items():
            result = metricopt.fit(
                task.make_fresh_model,
                loader,
                objective,
                folds=task.folds,
                confidence=None,
                solver=self.make_solver(objective, setting),
                epochs=epochs,
                warmup_epochs=round(WARMUP_FRACTION * epochs) if self._warms_up else None,
                optimizer=self.make_optimizer(LEARNING_RATE[task.model] * setting.get("learning_rate", 1.0)),
                seed=task.seed,
                progress=False,
            )
            run = len(result.history), len(result.history) * len(loader)
            held_out = result.data_scores["validation"]
            trained[name] = Trained(
                scores_of(result.model, task),
                None,
                *run,
                stage=result.selected_stage,
                status=str(result.status),
                out_of_fold=np.where(np.isnan(held_out.labels), np.nan, held_out.scores)[:, 0],
            )
        return trained


class CrossFitted(Method):
    """A classifier of scikit-learn, one a fold of training and validation rows together.

    Parameters
    ----------
    make : callable ``(seed, **setting) -> classifier``
        One with ``decision_function`` or ``predict_proba``.
    settings : tuple of dict
    model : str
        Beside which model it stands in the tables.
    missing : callable
        Returns the packages that it wants and that are not installed.
    """

    family = "peer"
    knows_objective = False
    has_folds = True

    def __init__(
        self, make: Callable[..., Any], settings: tuple[Setting, ...], model: str, missing: Callable[[], list[str]]
    ) -> None:
        self.settings, self._make, self._model, self._missing = settings, make, model, missing

    def supports(self, objective: Objective, model: str) -> bool:
        return model == self._model

    def missing(self) -> list[str]:
        return self._missing()

    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        features, labels = (tensor.numpy() for tensor in task.known.tensors)

        def train(rows: np.ndarray) -> Callable[[Any], Any]:
            return partial(score_by, self._make(task.seed, **setting).fit(features[rows], labels[rows]))

        fitted = cross_fit(train, features, labels, task.folds)
        scores = {part: fitted.scores(own.numpy()) for part, own in task.features.items()}
        trained = Trained(scores, None, epochs=0, steps=0, out_of_fold=fitted.out_of_fold)
        return dict.fromkeys(objectives, trained)
