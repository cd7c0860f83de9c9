"""The objectives that can be asked for by name: the built-in ones, and those that users register.

This file decides what a name with ``alpha`` or ``beta`` stands for, and how an objective is written down and read back.
What an objective *is* comes from :mod:`metricopt.problem.objectives`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, TypeAlias, TypeVar, cast

from typing_extensions import dataclass_transform

from metricopt._validation import Faults, check_choice, per_label, reject
from metricopt.problem.label_programs import LabelPrograms
from metricopt.problem.objectives import (
    FPOR,
    FROP,
    OAP,
    OFBS,
    CountObjective,
    Objective,
    RecallAtAlarmRate,
    RecallAtFPR,
)
from metricopt.problem.program import Program

Kind = TypeVar("Kind", bound=CountObjective)

Asked: TypeAlias = "str | Objective | Mapping[str, str | Objective]"
"""The name of an objective, a program in words, an instance, or one of these for each label by name."""

REGISTRY: dict[str, type[Objective]] = {
    objective.__name__: objective for objective in (FPOR, FROP, OFBS, OAP, RecallAtFPR, RecallAtAlarmRate)
}
"""The objectives by the name under which they can be asked for; :func:`register_objective` adds to them."""


@dataclass_transform(frozen_default=True)
def register_objective(kind: type[Kind]) -> type[Kind]:
    r"""Make an objective of your own known by the name of its class: a decorator.

    ``fit``, the command line, ``save`` and ``load`` then treat it as they treat the built-in ones. A class that is no
    dataclass yet becomes a frozen one.

    Parameters
    ----------
    kind : subclass of CountObjective
        It names the metric to maximise and, for a bound, the metric that is bounded and one field ``min_...`` or
        ``max_...``, a number in (0, 1] that ``alpha`` fills. ``beta`` fills a field of that name. All other fields
        need a default.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    InvalidInputError
        If the class lacks something, or another one has the same name.

    Examples
    --------
    The negative predictive value :math:`TN / (TN + FN)` at a least recall:

    >>> from metricopt.problem.ratios import RECALL, LinearForm, Ratio
    >>> from metricopt.problem.objectives import CountObjective
    >>> @register_objective
    ... class NegativePredictiveValueAtRecall(CountObjective):
    ...     min_recall: float
    ...     true_negatives = LinearForm(negatives=1.0, fp=-1.0)
    ...     maximised = Ratio("npv", true_negatives, true_negatives + LinearForm(positives=1.0, tp=-1.0))
    ...     bounded = RECALL
    >>> print(get_objective("NegativePredictiveValueAtRecall", alpha=0.9))
    maximise npv subject to recall >= 0.9
    """
    if not (isinstance(kind, type) and issubclass(kind, CountObjective)):
        reject("objective", "a subclass of CountObjective", repr(kind), "derive it from CountObjective")
    _check_class(kind)
    if not _is_dataclass(kind):
        kind = dataclass(frozen=True)(kind)
    _check_fields(kind)
    REGISTRY[kind.__name__] = kind
    return kind


def get_objective(
    objective: Asked,
    *,
    alpha: float | Sequence[float] | Mapping[str, float] | None = None,
    beta: float | None = None,
    label_names: Sequence[str] | None = None,
) -> Objective:
    """Return the objective that a name with ``alpha`` or ``beta``, or an instance, stands for.

    Parameters
    ----------
    objective : str, Objective or {label name: str or Objective}
        A registered name, or a program as a sentence that begins with "maximise" or "minimise", or an instance (then
        neither ``alpha`` nor ``beta``). Or one of them for each label.
    alpha : float, sequence or {label name: float}, in (0, 1]
        The bound of FPOR, FROP and the other bounded objectives.
    beta : float, > 0
        The beta of OFBS (1 if left out).
    label_names : sequence of str
        The order of the labels when ``alpha`` or the objective is a mapping.

    Raises
    ------
    InvalidInputError
        On an unknown name, a missing or superfluous ``alpha`` or ``beta``, a bound outside (0, 1], or other labels than
        ``label_names``.

    Examples
    --------
    >>> get_objective("FPOR", alpha=0.9)
    FPOR(min_precision=0.9)
    >>> get_objective("maximise recall subject to precision >= 0.8 and alarm_rate <= 0.05")
    Program(maximize='recall', subject_to=['precision >= 0.8', 'alarm_rate <= 0.05'])
    """
    if isinstance(objective, str) and len(objective.split()) > 1:
        objective = Program.parse(objective)
    if isinstance(objective, Mapping):
        given = {label: get_objective(own) for label, own in objective.items()}
        if label_names is not None and set(given) != set(label_names):
            rule, got = f"given for each label ({', '.join(label_names)})", ", ".join(map(str, given))
            reject("objective", rule, got or "an empty dict", "give {label name: objective}")
        objective = LabelPrograms.of({label: given[label] for label in label_names or given})
    if isinstance(objective, Objective):
        if alpha is not None or beta is not None:
            reject(
                "alpha and beta",
                "left out when objective is an instance",
                f"alpha={alpha}, beta={beta} beside {objective!r}",
                "put the number into the instance alone",
            )
        return objective
    check_choice("objective", objective, REGISTRY)
    kind = REGISTRY[objective]
    taken = kind.short_arguments()
    numbers: dict[str, Any] = {"alpha": per_label("alpha", alpha, label_names), "beta": beta}
    for short, value in numbers.items():
        if value is not None and short not in taken:
            remedy = f"{objective} takes {' and '.join(taken) or 'neither'}"
            reject(short, f"left out for {objective}", value, remedy)
    if "alpha" in taken and alpha is None:
        reject("alpha", f"given for {objective} ({kind.bound_parameter})", None, "give a fraction, e.g. alpha=0.9")
    return kind(**{field: numbers[short] for short, field in taken.items() if numbers[short] is not None})


def check_registered(objective: Objective) -> None:
    """Reject an objective whose class is not registered: once saved, it could not be read back.

    Raises
    ------
    InvalidInputError
    """
    if isinstance(objective, (Program, LabelPrograms)):
        return
    known = REGISTRY.get(objective.name)
    if known is None or not _is_same(known, type(objective)):
        remedy = f"write @metricopt.register_objective above the class {objective.name}"
        reject("objective", "registered", f"one of the class {objective.name}, which is not", remedy)


def objective_to_dict(objective: Objective) -> dict[str, Any]:
    """Return an objective's name, its parameters and, where a user registered it, the module, for JSON.

    Raises
    ------
    InvalidInputError
        If its class is not registered, so that nothing could read it back.
    """
    if isinstance(objective, (Program, LabelPrograms)):
        return {"name": objective.name, **objective.to_dict()}
    check_registered(objective)
    module = type(objective).__module__
    origin = {} if module == Objective.__module__ else {"module": module}
    return {"name": objective.name, **origin, **asdict(cast(Any, objective))}


def objective_from_dict(saved: Mapping[str, Any]) -> Objective:
    """Return the objective that :func:`objective_to_dict` wrote down.

    Raises
    ------
    InvalidInputError
        If no objective of that name is registered; the message names the module that does so.
    """
    parameters: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in saved.items()
    }
    name, module = parameters.pop("name"), parameters.pop("module", None)
    if name == Program.__name__:
        return Program.from_dict(parameters)
    if name == LabelPrograms.__name__:
        return LabelPrograms.from_dict(parameters)
    if module is not None and name not in REGISTRY:
        remedy = f"import {module} first (on the command line: --import {module})"
        if module == "__main__":
            remedy = "run the lines of the script or notebook that register it first"
        reject("objective", "registered", f"{name!r}, which is not", remedy)
    check_choice("objective", name, REGISTRY)
    return REGISTRY[name](**parameters)


def _is_dataclass(kind: type) -> bool:
    """Say whether the class itself is a dataclass, not only one that it derives from."""
    return "__dataclass_fields__" in vars(kind)


def _check_class(kind: type[Objective]) -> None:
    """Reject a class that is no complete objective."""
    name, faults = kind.__name__, Faults()
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    faults.check(not missing, name, "complete", f"a class without {', '.join(missing)}", "set it in the class")
    has_constructor = "__init__" in vars(kind) and not _is_dataclass(kind)
    remedy = "declare its parameters as fields instead"
    faults.check(not has_constructor, name, "a dataclass", "a class with an __init__ of its own", remedy)
    parts = (kind.bound_parameter, kind.bounded and f"bounded = {kind.bounded.name}")
    got = f"{parts[0] or parts[1]} alone"
    remedy = "give both the bounded metric and a field min_... or max_... for its bound"
    faults.check(all(parts) or not any(parts), name, "with a whole bound, or without one", got, remedy)
    known = REGISTRY.get(name)
    is_free = known is None or _is_same(known, kind)
    faults.check(is_free, name, "the name of no other objective", f"that of {known}", "rename the class")
    faults.raise_if_any()


def _check_fields(kind: type[Objective]) -> None:
    """Reject parameters that neither ``alpha`` nor a default fills, or that would hide what is saved beside them."""
    faults = Faults()
    for field in fields(cast(Any, kind)):
        name = f"{kind.__name__}.{field.name}"
        is_given = field.name == kind.bound_parameter or field.default is not MISSING
        faults.check(is_given, name, "a parameter with a default", "none", "add one, e.g. 1.0")
        faults.check(field.name not in ("name", "module"), name, "another name", field.name, "rename the field")
    faults.raise_if_any()


def _is_same(one: type, other: type) -> bool:
    """Say whether two classes are the same, or one is the other defined anew, as when a notebook's cell runs again."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)
