"""Rows of several rules: one stands among the methods, all stand in a table of their own."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.reporting.rules import by_rule, of_default_rule
from benchmarks.running.rules import DEFAULT, EMPIRICAL, RULES, name_of, thresholds_by_rule
from metricopt.evidence.folds import make_folds
from metricopt.evidence.rule import Rule
from metricopt.evidence.thresholds import choose_threshold
from metricopt.problem.objectives import FPOR, FROP, OFBS
from tests.benchmarks.synthetic import rows


def with_rules():
    made = {
        rule: rows(models=("linear",), objectives=("FPOR .8",), methods=("profiled",), num_splits=2, seed=number)
        for number, rule in enumerate(RULES)
    }
    others = rows(models=("linear",), objectives=("FPOR .8",), methods=("cross-entropy",), num_splits=2)
    return pd.concat([others.assign(rule=np.nan), *(own.assign(rule=rule) for rule, own in made.items())])


def test_the_default_rule_is_tried_and_stands_for_its_method():
    assert DEFAULT in RULES and RULES[DEFAULT] == Rule()
    frame = with_rules()
    shown = of_default_rule(frame)
    assert shown["method"].value_counts().to_dict() == {"cross-entropy": 14, "profiled": 14}
    assert set(shown["rule"].dropna()) == {DEFAULT}
    without = frame.drop(columns="rule")
    assert of_default_rule(without).equals(without) and by_rule(without).empty


def test_table_of_all_rules():
    frame = with_rules()
    table = by_rule(frame)
    assert [line[-1] for line in table.index] == list(RULES)
    own = frame[frame["rule"] == EMPIRICAL]
    met, line = own["test_met"].astype(bool), table.loc[("linear", "FPOR .8", "profiled", EMPIRICAL)]
    assert line["delivered"] == pytest.approx(own["test_value"].where(met, 0.0).mean())
    assert line["net value"] == f"{((own['test_tp'] - 4 * own['test_fp']) / 500).mean():+.3f}"
    assert line["met given raised"] == f"{met.mean():.0%}" and line["alarms raised"] == "100%"


@pytest.mark.parametrize("objective", [FPOR(0.8), FROP(0.8), OFBS(1.0)], ids=str)
def test_thresholds_are_those_of_each_rule(objective):
    random = np.random.default_rng(0)
    labels = (random.random(600) < 0.3).astype(float)
    scores, folds = 2 * labels + random.normal(size=600), make_folds(5, labels)
    found = thresholds_by_rule(scores, labels, folds, objective)
    assert list(found) == (list(RULES) if objective.bounded else [""])
    for name, threshold in found.items():
        rule = RULES.get(name)
        asked = {} if rule is None else {"confidence": rule.confidence, "folds": folds if rule.every_fold else None}
        assert threshold == choose_threshold(scores, labels, objective, **asked).threshold
    assert objective.bounded is None or len(set(found.values())) > 2


def test_names_of_rules_are_distinct():
    assert len({name_of(rule) for rule in RULES.values() if rule is not None}) == len(RULES) - 1
