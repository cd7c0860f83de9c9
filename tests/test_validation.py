import math

import numpy as np
import pytest

from metricopt._validation import (
    Faults,
    InvalidInputError,
    check_choice,
    check_finite,
    check_fraction,
    check_integer,
    check_labels,
    check_positive,
    message,
    per_label,
    reject,
)


def test_message_names_argument_rule_value_and_remedy():
    assert message("epochs", "1 or more", 0, "give 10") == "epochs must be 1 or more, got 0; give 10"
    with pytest.raises(InvalidInputError) as caught:
        reject("epochs", "1 or more", 0, "give 10")
    assert str(caught.value) == "epochs must be 1 or more, got 0; give 10"
    assert isinstance(caught.value, ValueError)


def test_independent_faults_are_raised_together():
    faults = Faults()
    faults.check(True, "seed", "an integer", 0, "give 0")
    faults.raise_if_any()
    faults.check(False, "epochs", "1 or more", 0, "give 10")
    faults.check(False, "alpha", "in (0, 1]", 2, "give 0.9")
    with pytest.raises(InvalidInputError) as caught:
        faults.raise_if_any()
    assert str(caught.value).splitlines() == [
        "epochs must be 1 or more, got 0; give 10",
        "alpha must be in (0, 1], got 2; give 0.9",
    ]


@pytest.mark.parametrize(
    ("value", "remedy"),
    [("profild", "did you mean 'profiled'?"), ("PROFILED", "did you mean 'profiled'?"), ("xyz", "choose one of them")],
)
def test_near_misses_are_recognised(value, remedy):
    choices = ["profiled", "lagrangian"]
    check_choice("solver", "profiled", choices)
    with pytest.raises(InvalidInputError) as caught:
        check_choice("solver", value, choices)
    assert str(caught.value) == f"solver must be one of 'lagrangian', 'profiled', got {value!r}; {remedy}"


def test_integers():
    for good in (2, np.int64(3), np.uint8(5)):
        value = check_integer("epochs", good, 2)
        assert type(value) is int and value == good
    for bad in (1, True, 2.0, np.float32(3), None, "3", math.nan):
        with pytest.raises(InvalidInputError) as caught:
            check_integer("epochs", bad, 2)
        assert str(caught.value) == f"epochs must be an integer >= 2, got {bad!r}; give 2 or more"
    with pytest.raises(InvalidInputError, match=r"got 0; give e\.g\. 64$"):
        check_integer("batch_size", 0, 1, "give e.g. 64")


def test_integers_and_seeds_are_noted_beside_other_faults():
    faults = Faults()
    faults.check_integer("epochs", 3, 1)
    for good in (0, np.int64(7), 2**32 - 1):
        faults.check_seed(good)
    faults.raise_if_any()
    faults.check_integer("epochs", 0, 1)
    for bad in (-1, 2**32, 1.0, True):
        faults.check_seed(bad)
    with pytest.raises(InvalidInputError) as caught:
        faults.raise_if_any()
    assert str(caught.value).splitlines() == [
        "epochs must be an integer >= 1, got 0; give 1 or more",
        *(f"seed must be an integer in [0, 2**32), got {bad}; give e.g. 0" for bad in (-1, 2**32, 1.0, True)),
    ]


def test_fractions():
    for good in (1, 1.0, 1e-9, np.float32(0.5), [0.1, 1.0], (0.5,)):
        check_fraction("alpha", good)
    check_fraction("delta", 0.0, zero=True)
    for bad in (0.0, -1, 1.0001, math.nan, True, None, [0.5, 0.0]):
        with pytest.raises(
            InvalidInputError, match=r"^alpha must be in \(0, 1\], got .*; give a fraction, e\.g\. 0\.9$"
        ):
            check_fraction("alpha", bad)
    with pytest.raises(InvalidInputError, match=r"^delta must be in \[0, 1\], got -0\.1; "):
        check_fraction("delta", -0.1, zero=True)


def test_positive_numbers():
    for good in (1, 0.5, np.float64(2.0)):
        check_positive("beta", good)
    for bad in (0, -1.0, math.inf, math.nan, "1", None, True):
        with pytest.raises(InvalidInputError, match=r"^beta must be a finite number above 0, got .*; give for example"):
            check_positive("beta", bad)


def test_values_per_label_follow_the_order_of_the_names():
    names = ["edema", "fracture"]
    assert per_label("alpha", 0.9, None) == 0.9
    assert per_label("alpha", {"fracture": 0.8, "edema": 0.9}, names) == (0.9, 0.8)
    for value, label_names, says in [
        ({"edema": 0.9}, None, r"alpha must be a number while label_names is not given, got \{'edema': 0\.9\}; pass"),
        ({"edma": 0.9}, names, r"alpha's labels must be one of .*, got 'edma'; did you mean 'edema'\?"),
        ({"edema": 0.9}, names, r"alpha must be given for every label, got nothing for \['fracture'\]; add"),
    ]:
        with pytest.raises(InvalidInputError, match=f"^{says}"):
            per_label("alpha", value, label_names)


def test_labels():
    check_labels(np.array([0.0, 1.0, math.nan]))
    check_labels(np.zeros((0, 3)))
    with pytest.raises(InvalidInputError, match=r"^labels must be 0, 1 or NaN \(missing\), got \[-1\.0, 2\.0\]; map"):
        check_labels(np.array([[0.0, 2.0], [-1.0, 2.0]]))


def test_finite():
    check_finite("scores", np.array([1e300, -1.0]))
    with pytest.raises(InvalidInputError, match=r"^scores must be finite, got 2 NaN or infinite values; clean"):
        check_finite("scores", np.array([math.nan, 1.0, -math.inf]))
