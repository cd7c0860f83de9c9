import dataclasses
import json

import numpy as np
import pytest

from metricopt.solvers.agreement import TOLERANCE, SlackAgreement

SAME = SlackAgreement("a", 1.0, 0.0, 0.5, 0.5, 0.9, 0.9)
WITHOUT_BOUND = SlackAgreement("a", 0.995, 0.25, 0.5, 0.5)


@pytest.mark.parametrize("field", ["agreement", "value", "bounded_value"])
@pytest.mark.parametrize(("difference", "holds"), [(0.5, True), (0.99, True), (1.01, False), (30, False)])
def test_slacks_hold_while_they_differ_by_one_percent_at_most(field, difference, holds):
    other = getattr(SAME, field) - difference * TOLERANCE
    assert dataclasses.replace(SAME, **{field: other}).holds == holds
    if field != "agreement":  # in either direction
        assert dataclasses.replace(SAME, **{f"model_{field}": other}).holds == holds
        assert not dataclasses.replace(SAME, **{field: np.nan}).holds


def test_one_percent_is_the_limit():
    assert TOLERANCE == 0.01 and SAME.holds and WITHOUT_BOUND.holds


def test_what_the_model_has_no_value_for_cannot_be_missed():
    nothing = SlackAgreement("a", np.nan, np.nan, np.nan, np.nan, 0.0, 0.5)  # a label without positives: no slack
    assert nothing.holds and not dataclasses.replace(nothing, agreement=1.0).holds
    undefined = SlackAgreement("a", 1.0, 0.0, 0.5, np.nan, 0.0, np.nan)
    assert undefined.holds and not dataclasses.replace(undefined, agreement=0.5).holds


@pytest.mark.parametrize(
    "compared",
    [SAME, WITHOUT_BOUND, SlackAgreement("b", *(np.nan,) * 6), SlackAgreement("b", *(np.nan,) * 4),
     SlackAgreement("b", 1.0, 0.0, 0.5, 0.5, np.nan, 0.25),
     SlackAgreement("b", np.float64(1), 0.0, 0.5, 0.5, 0.5, np.nan)],
)  # fmt: skip
def test_an_agreement_comes_back_from_json(compared):
    """NaN is not the same as nothing: with a bound, a label without positives has NaN on both sides."""
    back = SlackAgreement.from_dict(json.loads(json.dumps(compared.to_dict(), allow_nan=False)))
    assert repr(dataclasses.astuple(back)) == repr(tuple(map(plain, dataclasses.astuple(compared))))
    assert str(back) == str(compared) and back.holds == compared.holds


def plain(value):
    return float(value) if isinstance(value, float) else value


def test_text_for_a_person():
    assert str(WITHOUT_BOUND) == (
        "99.50% agree, metric 0.500 by slacks, 0.500 by the model; worst link violation 0.25 "
        "(training data, at their own best threshold)"
    )
    assert "; bounded metric 0.900 and 0.900; worst link violation 0" in str(SAME)
