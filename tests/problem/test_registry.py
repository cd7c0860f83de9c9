"""What users register, and what is refused."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import metricopt
from metricopt._validation import InvalidInputError
from metricopt.problem import registry
from metricopt.problem.objectives import FPOR, OFBS, CountObjective, Objective
from metricopt.problem.ratios import PRECISION, RECALL, SPECIFICITY, Counts
from metricopt.problem.registry import (
    get_objective,
    objective_from_dict,
    objective_to_dict,
    register_objective,
)


def built_in():
    """Return the registry without what doctests and other tests register."""
    return {name: kind for name, kind in registry.REGISTRY.items() if kind.__module__ == Objective.__module__}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "REGISTRY", built_in())


def test_a_class_of_two_lines_becomes_a_dataclass_with_a_bound():
    @register_objective
    class PrecisionAtSpecificity(CountObjective):
        min_specificity: float
        maximised, bounded = PRECISION, SPECIFICITY

    own = PrecisionAtSpecificity(0.9)
    assert own == PrecisionAtSpecificity(min_specificity=np.float64(0.9)) == get_objective(own)
    assert own == get_objective("PrecisionAtSpecificity", alpha=0.9)
    assert own.with_bound((0.5, 0.6)).for_labels(2) == (own.with_bound(0.5), own.with_bound(0.6))
    assert own.bound_direction == "min" and own.feasible(Counts(1.0, 1.0, 0.0, 9.0))
    assert not own.feasible(Counts(1.0, 2.0, 0.0, 8.0))
    with pytest.raises(InvalidInputError, match=r"^min_specificity must be in \(0, 1\], got 1\.5; "):
        get_objective("PrecisionAtSpecificity", alpha=1.5)


def test_alpha_and_beta_fill_the_fields_that_are_there():
    @register_objective
    @dataclass(frozen=True)
    class FBetaAtAlarmRate(OFBS):
        max_precision: float = 0.5
        bounded = PRECISION

    asked = get_objective("FBetaAtAlarmRate", alpha=0.3, beta=2.0)
    assert asked == FBetaAtAlarmRate(beta=2.0, max_precision=0.3)
    assert str(asked) == "maximise f2 subject to precision <= 0.3"
    with pytest.raises(InvalidInputError, match=r"^alpha must be given for FBetaAtAlarmRate \(max_precision\)"):
        get_objective("FBetaAtAlarmRate", beta=2.0)


def test_what_is_saved_is_read_back():
    @register_objective
    class Own(CountObjective):
        maximised = PRECISION
        max_false_positive_rate: tuple[float, ...]
        bounded = SPECIFICITY
        weight: float = 1.0

    saved = objective_to_dict(Own((0.1, 0.2)))
    assert saved == {"name": "Own", "module": __name__, "max_false_positive_rate": (0.1, 0.2), "weight": 1.0}
    assert objective_from_dict({**saved, "max_false_positive_rate": [0.1, 0.2]}) == Own((0.1, 0.2))
    assert objective_to_dict(FPOR(0.9)) == {"name": "FPOR", "min_precision": 0.9}
    registry.REGISTRY.pop("Own")
    with pytest.raises(InvalidInputError, match=rf"^objective must be registered, got 'Own', .* import {__name__}"):
        objective_from_dict(saved)
    with pytest.raises(InvalidInputError, match=r"run the lines of the script or notebook that register it first"):
        objective_from_dict({**saved, "module": "__main__"})
    with pytest.raises(InvalidInputError, match=r"^objective must be one of 'FPOR', .*, got 'Other'"):
        objective_from_dict({"name": "Other"})


def make(**attributes):
    return type("Own", (CountObjective,), {"__module__": __name__, "maximised": RECALL, **attributes})


def test_a_class_can_be_defined_anew_but_a_name_is_taken_once():
    first, again = register_objective(make()), register_objective(make())
    assert first is not again and type(get_objective("Own")) is again
    assert get_objective(first()) == first()  # as a result of before holds it
    with pytest.raises(InvalidInputError, match=r"^Own must be the name of no other objective, got that of <class"):
        register_objective(make(__module__="another"))
    with pytest.raises(InvalidInputError, match=r"^FPOR must be the name of no other objective"):
        register_objective(type("FPOR", (CountObjective,), {"maximised": RECALL}))


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"maximised": CountObjective.maximised}, "Own must be complete, got a class without maximised; set it"),
        ({"__init__": lambda self: None}, "Own must be a dataclass, got a class with an __init__ of its own; declare"),
        ({"bounded": PRECISION}, "Own must be with a whole bound, or without one, got bounded = precision alone"),
        (
            {"__annotations__": {"min_recall": float}},
            "Own must be with a whole bound, .* got min_recall alone; give",
        ),
        ({"__annotations__": {"power": float}}, "Own.power must be a parameter with a default, got none; add one"),
        ({"__annotations__": {"name": str}, "name": ""}, "Own.name must be another name, got name; rename the field"),
    ],
)
def test_half_an_objective_is_refused(attributes, says):
    with pytest.raises(InvalidInputError, match=f"^{says}"):
        register_objective(make(**attributes))
    assert register_objective(make())


@pytest.mark.parametrize("kind", [dict, Objective, FPOR(0.9), "FPOR"])
def test_only_classes_of_count_objectives_are_registered(kind):
    with pytest.raises(InvalidInputError, match=r"^objective must be a subclass of CountObjective, got "):
        register_objective(kind)


def test_fit_and_save_want_registered_objectives():
    own = make()()

    def fit(objective):
        metricopt.fit(torch.nn.Linear(1, 1), [(torch.zeros(2, 1), torch.tensor([0.0, 1.0]))], objective)

    for use in (fit, objective_to_dict):
        with pytest.raises(InvalidInputError, match=r"^objective must be registered, .* write @metricopt\.register"):
            use(own)
    register_objective(type(own))  # afterwards will do
    assert objective_to_dict(own) == {"name": "Own", "module": __name__} and get_objective(own) is own
