"""A result in files: saved, exported with its threshold inside, and as a page for people.

This file decides what each file is given. It leaves how they look to :mod:`metricopt.results.storage`,
:mod:`metricopt.results.export` and :mod:`metricopt.results.page`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from metricopt._arrays import Array
from metricopt._validation import reject
from metricopt.evidence.reports import Report
from metricopt.results import storage, words
from metricopt.results.applied import AppliedOutcome
from metricopt.results.export import export
from metricopt.results.given import reject_without_model
from metricopt.results.page import write_page
from metricopt.solvers import WARMUP


@dataclass(frozen=True, kw_only=True, repr=False)
class WrittenOutcome(AppliedOutcome):
    """An outcome that can be written; :class:`metricopt.FitResult` says what it holds."""

    def save(self, path: str | Path) -> Path:
        """Write the result to a folder: weights and scores as safetensors, all else as JSON, nothing pickled.

        Classifiers of scikit-learn, LightGBM, XGBoost and CatBoost are written by skops, and read only if they hold no
        other types than those that :data:`metricopt.results.classifier_files.TRUSTED` lists.

        An existing result there is replaced at once, when all is written; a failed save leaves it as it was. In a
        launch of several processes, the main one writes.

        Parameters
        ----------
        path : str or Path
            The folder.

        Raises
        ------
        InvalidInputError
            If the path exists and holds anything but a result, or a classifier holds a type that is not trusted.
        """
        return storage.save(Path(path), vars(self))

    def export(self, path: str | Path, example: Any = None) -> Path:
        """Write model and thresholds to one ONNX file with the outputs ``scores`` and ``decisions`` (1 is an alarm).

        The outputs have the shapes of :meth:`scores` and :meth:`predict`, for any number of rows. A label without a
        threshold never raises an alarm. Inputs are named as the model's keywords, or ``x`` (``x0``, ``x1``, ...). The
        metadata hold objective, label names, thresholds and versions. Scores are compared with torch's before the file
        takes its place: they agree to 1e-5. This needs ``pip install 'metricopt[onnx]'``.

        Parameters
        ----------
        path : str or Path
            The file; one that exists is replaced.
        example : optional
            Inputs as for :meth:`scores`, of which the first batch is enough. A model that begins with a linear layer
            needs none.

        Raises
        ------
        InvalidInputError
            If no example is given though the model needs one, it does not fit the model, or the model cannot be
            exported; if there is no model.
        ImportError
            If the packages are missing.
        """
        if self.threshold_per is not None:
            got, remedy = f"one a {self.threshold_per}", "ask for one threshold for all rows"
            reject("the result", "one with a single threshold to be exported", got, remedy)
        if not isinstance(self.model, nn.Module):
            reject_without_model("export", self.model)
        return export(
            Path(path),
            self.model,
            self.thresholds,
            example,
            objective=self.objective,
            label_names=self.label_names,
            statuses=self.statuses,
            alarm_rule=self.alarm_rule,
            versions=self.versions,
        )

    def report(
        self,
        path: str | Path,
        test: Report | None = None,
        *,
        compare: Mapping[str, Sequence[Report]] | None = None,
        probabilities: Mapping[str, Array] | None = None,
        usage: str | None = None,
        columns: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> Path:
        """Write one HTML page with everything that a reader of the result asks; it can be read offline and printed.

        Parameters
        ----------
        path : str or Path
            The file; one that exists is replaced.
        test : Report, optional
            What :meth:`evaluate` returned on new data, with its subgroups where it has some. The pictures are then of
            these data.
        compare : dict of str to sequence of Report, optional
            The reports of other methods by name. Each stands beside that of this result on the data of the same name.
        probabilities : dict of str to array of shape (n,), optional
            Probabilities of other models on the rows of ``test``, e.g. ``{"cross-entropy": other.probabilities(x)}``.
            The decision curve, of a result of one label, has a line for each.
        usage : str, optional
            The lines that the page gives for applying the model. By default they load what :meth:`save` wrote.
        columns : dict of str to str, optional
            Which columns of a table were used and how, for example ``{"numeric (2)": "age, pressure"}``.
        notes : sequence of str
            Sentences on the data.

        Raises
        ------
        InvalidInputError
            If ``test`` is a report on other labels, or the path is a folder; if there are ``probabilities``, and no
            decision curve of as many rows to draw them into.
        """
        others = self._checked_probabilities(probabilities or {}, test)
        return write_page(
            Path(path),
            self.objective,
            self._outcomes,
            self._methods,
            self.data_scores,
            draw=lambda label: self.pictures(label, test, others),
            alarm_rule=self.alarm_rule,
            training=self._told_of_training,
            versions=self.versions,
            test=test,
            compare=compare,
            usage=usage,
            columns=columns or {},
            notes=notes,
            candidates=self.candidates,
        )

    def _checked_probabilities(self, probabilities: Mapping[str, Array], test: Report | None) -> Mapping[str, Array]:
        """Return probabilities of other models, or say why they cannot be drawn."""
        if not probabilities:
            return probabilities
        if test is None or test.scored is None or len(self.label_names) > 1 or self.calibrations[0] is None:
            got, remedy = "a page without a decision curve", "give test=result.evaluate(...) of one label"
            reject("probabilities", "given with a report on new rows", got, remedy)
        num_rows = len(test.scored.labels)
        for name, own in probabilities.items():
            if len(own) != num_rows:
                rule, remedy = f"one a row of test ({num_rows})", "score the same rows"
                reject(f"probabilities[{name!r}]", rule, f"{len(own)} values", remedy)
        return probabilities

    @property
    def _told_of_training(self) -> dict[str, str]:
        """What the page says of the training, one line of a table for each."""
        if self.model is None:
            return {}
        if not isinstance(self.model, nn.Module):
            return {"model": str(self.model), "judged by": self.holdout, "time": f"{self.seconds:.1f} s"}
        num_weights = sum(parameter.numel() for parameter in self.model.parameters())
        return {
            "model": f"{type(self.model).__name__}, {num_weights:,} weights",
            "solver": self.solver,
            "judged by": self.holdout,
            "weights from": self.selected_stage,
            **({"found": words.nothing_better(self._outcomes)} if self.selected_stage == WARMUP else {}),
            "epochs": str(len(self.history) // len(self.label_names)),
            "time": f"{self.seconds:.1f} s",
        }
