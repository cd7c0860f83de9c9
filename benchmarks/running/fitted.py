"""Methods that :func:`metricopt.fit` trains on the training part, selected by the validation part.

They share model, initial weights, batches, steps, selection and exact threshold: what differs is the loss, or the rows
that are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import metricopt
from benchmarks.peers import mapie_controller, soap
from benchmarks.running.method import Method, Setting, Trained
from benchmarks.running.resampling import missing as missing_for_resampling
from benchmarks.running.resampling import resample
from benchmarks.running.task import Task
from metricopt.evidence.thresholds import choose_threshold, selection_criterion
from metricopt.problem.objectives import FPOR, FROP, OAP, Objective

WARMUP_FRACTION = 0.25
LEARNING_RATE = {"linear": 0.02, "mlp": 0.003}
SCORING_BATCH = 65_536


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
        own = Trained(scores_of(model, task), None, *run, stage=result.selected_stage, status=str(result.status))
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
            found[name] = scores_of(self._model, self._task)
        return found


def scores_of(model: nn.Module, task: Task) -> dict[str, np.ndarray]:
    """Return the scores of every part by a model of one output; leaves the model in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return {part: model(features)[:, 0].numpy() for part, features in task.features.items()}
