"""How the methods that are compared train on a task: by :func:`metricopt.fit`, or as the peer that they are.

Those trained by ``fit`` share model, initial weights, batches, steps, selection and exact threshold: what differs is
the loss, or the rows that are drawn. Which methods there are, with which settings, is in
:mod:`benchmarks.running.roster`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.peers import mapie_controller, soap
from benchmarks.peers.scores import PeerScores
from benchmarks.running.resampling import missing as missing_for_resampling
from benchmarks.running.resampling import resample
from benchmarks.running.task import Task
from metricopt.evidence.cross_fit import cross_fit
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.objectives import FPOR, FROP, OAP, Objective
from metricopt.scoring.classifiers import score_by

WARMUP_FRACTION = 0.25
LEARNING_RATE = {"linear": 0.02, "mlp": 0.003}
SCORING_BATCH = 65_536
SMALLEST_DECISION = float(np.nextafter(0.0, 1.0))
"""``decision_function`` is above 0 where a classifier of scikit-learn raises an alarm."""

Setting = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """What a training led to.

    Attributes
    ----------
    scores : dict of str to ndarray, shape (n,)
        Of every part.
    threshold : float or None
        A peer's own; None for the exact one on validation data.
    epochs, steps : int
    stage, status : str
    setting : str
        What a peer chose among settings of its own.
    scores_are_own : bool
        False for those of another method, to which this one adds a threshold.
    out_of_fold : ndarray, shape (n,), or None
        Where folds were trained: the score of every row of :attr:`Task.known`, by models that have not seen it, NaN
        where these diverged. It chooses setting and threshold in place of the validation part.
    """

    scores: Mapping[str, np.ndarray]
    threshold: float | None
    epochs: int
    steps: int
    stage: str = ""
    status: str = ""
    setting: str = ""
    scores_are_own: bool = True
    out_of_fold: np.ndarray | None = None


class Method(ABC):
    """One of the methods.

    Attributes
    ----------
    family : "direct", "loss", "resampling" or "peer"
    settings : tuple of dict
    knows_objective : bool
        Whether it is trained anew for every objective; else once, and thresholded for each.
    has_folds : bool
        Whether it gives out-of-fold scores, on which each of :data:`benchmarks.running.rules.RULES` chooses.
    """

    has_folds = False
    family: str
    settings: tuple[Setting, ...]
    knows_objective: bool

    def supports(self, objective: Objective, model: str) -> bool:
        """Say whether the method is meant for that."""
        return True

    def missing(self) -> list[str]:
        """Return the packages that it wants and that are not installed."""
        return []

    @abstractmethod
    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        """Train with one setting; return what came of it for each of the objectives."""


class Fitted(Method):
    """Trained by :func:`metricopt.fit`.

    Parameters
    ----------
    family : str
    make : callable ``(objective, **setting) -> solver or loss``
        For every training anew.
    settings : tuple of dict
        ``learning_rate`` is a factor on the model's :data:`LEARNING_RATE`; the rest goes to ``make``.
    serves : tuple of type
        The objectives that ``make`` knows; empty for one that knows none and is trained once for all.
    warms_up : bool
        Whether a quarter of the epochs is cross-entropy.
    missing : callable
        Returns the packages that it wants and that are not installed.
    """

    def __init__(
        self,
        family: str,
        make: Callable[..., Any],
        settings: tuple[Setting, ...],
        serves: tuple[type[Objective], ...] = (),
        *,
        warms_up: bool = False,
        missing: Callable[[], list[str]] = list,
    ) -> None:
        self.family, self.settings, self.knows_objective = family, settings, bool(serves)
        self._make, self._serves, self._warms_up, self._missing = make, serves, warms_up, missing

    def supports(self, objective: Objective, model: str) -> bool:
        return not self._serves or isinstance(objective, self._serves)

    def missing(self) -> list[str]:
        return self._missing()

    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        loader = self.make_loader(task, setting)
        epochs = task.epochs_of(len(loader))
        model = task.make_model()
        name, objective = next(iter(objectives.items()))
        others = BestEpochs(model, task, {other: objectives[other] for other in objectives if other != name})
        rate = LEARNING_RATE[task.model] * setting.get("learning_rate", 1.0)
        result = metricopt.fit(
            model,
            loader,
            objective,
            val_loader=DataLoader(task.validation, batch_size=SCORING_BATCH),
            confidence=None,
            solver=self.make_solver(objective, setting),
            epochs=epochs,
            warmup_epochs=round(WARMUP_FRACTION * epochs) if self._warms_up else 0,
            optimizer=self.make_optimizer(rate),
            seed=task.seed,
            progress=False,
            callbacks=[others],
        )
        run = len(result.history), len(result.history) * len(loader)
        own = Trained(_scores(model, task), None, *run, stage=result.selected_stage, status=str(result.status))
        return {name: own, **{other: Trained(scores, None, *run) for other, scores in others.scores().items()}}

    def make_solver(self, objective: Objective, setting: Setting) -> Any:
        """Return the solver or loss of a training."""
        return self._make(objective, **{name: value for name, value in setting.items() if name != "learning_rate"})

    def make_loader(self, task: Task, setting: Setting) -> DataLoader[Any]:
        """Return the loader of the training part."""
        return DataLoader(task.train, batch_size=task.batch_size, shuffle=True)

    def make_optimizer(self, learning_rate: float) -> Callable[[Any], torch.optim.Optimizer]:
        """Return what makes the optimizer for given parameters."""
        return lambda parameters: torch.optim.Adam(parameters, lr=learning_rate, fused=True)


class Resampled(Fitted):
    """Cross-entropy on rows that were resampled beforehand, for as many steps as every other method.

    An epoch, after which selection looks, is one of the resampled rows.

    Parameters
    ----------
    kind : str
        One of :data:`benchmarks.running.resampling.METHODS`.
    settings : tuple of dict
        ``learning_rate`` as for the others; the rest goes to :func:`benchmarks.running.resampling.resample`.
    """

    def __init__(self, kind: str, settings: tuple[Setting, ...]) -> None:
        super().__init__("resampling", lambda objective: "cross_entropy", settings, missing=missing_for_resampling)
        self._kind = kind

    def make_solver(self, objective: Objective, setting: Setting) -> Any:
        return self._make(objective)

    def make_loader(self, task: Task, setting: Setting) -> DataLoader[Any]:
        features, labels = (tensor.numpy() for tensor in task.train.tensors)
        how = {name: value for name, value in setting.items() if name != "learning_rate"}
        rows = resample(self._kind, features, labels, task.seed, **how)
        resampled = TensorDataset(*(torch.from_numpy(np.asarray(column, dtype=np.float32)) for column in rows))
        return DataLoader(resampled, batch_size=task.batch_size, shuffle=True)


class Soap(Fitted):
    """LibAUC's SOAP, with its own sampler and optimizer: the positives' share of a batch is twice the prevalence."""

    def __init__(self, settings: tuple[Setting, ...]) -> None:
        super().__init__("peer", soap.Soap, settings, serves=(OAP,), warms_up=True, missing=soap.missing)

    def make_solver(self, objective: Objective, setting: Setting) -> Any:
        return soap.Soap(gamma=setting["gamma"], margin=setting["margin"], has_sigmoid=setting["has_sigmoid"])

    def make_loader(self, task: Task, setting: Setting) -> DataLoader[Any]:
        share = 2 * float(task.train.tensors[1].mean())
        sampler = soap.make_sampler(task.train, task.train.tensors[1].numpy(), task.batch_size, share, task.seed)
        return DataLoader(task.train, batch_size=task.batch_size, sampler=sampler)

    def make_optimizer(self, learning_rate: float) -> Callable[[Any], torch.optim.Optimizer]:
        return soap.make_optimizer(learning_rate)


class Certified(Fitted):
    """Cross-entropy, then MAPIE's controller instead of the exact threshold.

    Its confidence is nominal here, because the rows that certify have chosen epoch and learning rate as well.
    """

    def __init__(self, settings: tuple[Setting, ...]) -> None:
        super().__init__("peer", lambda objective: "cross_entropy", settings, missing=mapie_controller.missing)

    def supports(self, objective: Objective, model: str) -> bool:
        return isinstance(objective, (FPOR, FROP))

    def train(self, task: Task, objectives: Mapping[str, Objective], setting: Setting) -> dict[str, Trained]:
        return {
            name: replace(trained, threshold=self._threshold(trained, task, objectives[name]), scores_are_own=False)
            for name, trained in super().train(task, objectives, setting).items()
        }

    def _threshold(self, trained: Trained, task: Task, objective: Objective) -> float:
        scores, labels = trained.scores, task.validation.tensors[1].numpy()
        return mapie_controller.certified_threshold(objective, scores["train"], scores["validation"], labels)


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
                _scores(result.model, task),
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


class BestEpochs:
    """Remembers after every epoch what is best so far for each of some objectives, as ``fit`` does for its own."""

    def __init__(self, model: nn.Module, task: Task, objectives: Mapping[str, Objective]) -> None:
        self._model, self._task, self._objectives = model, task, objectives
        self._best: dict[str, tuple[tuple[float, float], dict[str, Tensor]]] = {}

    def __call__(self, records: list[dict[str, Any]]) -> None:
        """Judge the weights as they are."""
        if not self._objectives:
            return
        features, labels = self._task.validation.tensors
        with torch.no_grad():
            scores = self._model(features)[:, 0].numpy()
        weights = None
        for name, objective in self._objectives.items():
            own = selection_criterion(choose_threshold(scores, labels.numpy(), objective), objective)
            if name not in self._best or own > self._best[name][0]:
                weights = weights or deepcopy(self._model.state_dict())
                self._best[name] = (own, weights)

    def scores(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the best epoch's scores of every part, by objective; leaves the model with other weights."""
        found = {}
        for name, (_, weights) in self._best.items():
            self._model.load_state_dict(weights)
            found[name] = _scores(self._model, self._task)
        return found


def _scores(model: nn.Module, task: Task) -> dict[str, np.ndarray]:
    model.eval()
    with torch.no_grad():
        return {part: model(features)[:, 0].numpy() for part, features in task.features.items()}
