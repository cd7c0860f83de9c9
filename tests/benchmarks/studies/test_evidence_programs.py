import numpy as np
import pytest

from benchmarks.data.score_families import FAMILIES
from benchmarks.studies.evidence_programs import (
    CERTIFIED,
    OWN,
    PROGRAMS,
    SHIFTS,
    Sites,
    conclusions,
    measured,
    oracle_of,
    simulate,
    worth,
)
from metricopt.problem.ratios import Counts

SITES = Sites(FAMILIES[0])


def test_what_is_called_the_truth_is_that_of_many_rows():
    scores, labels, sites = SITES.draw(np.random.default_rng(0), 400_000)
    thresholds = {"north": 1.2, "south": 1.4, "west": 1.6}
    alarm = scores >= np.vectorize(thresholds.get)(sites)
    exact = SITES.counts({name: np.array([t]) for name, t in thresholds.items()})
    for name in (None, *SHIFTS):
        own = np.ones(len(labels), bool) if name is None else sites == name
        cells = [(alarm & (labels == 1)), (alarm & (labels == 0)), (~alarm & (labels == 1)), (~alarm & (labels == 0))]
        drawn = Counts(*((cell & own).mean() for cell in cells))
        assert exact[name].true_positives[0] == pytest.approx(drawn.true_positives, rel=0.02)
        assert exact[name].false_positives[0] == pytest.approx(drawn.false_positives, rel=0.03)
        assert exact[name].negatives[0] == pytest.approx(drawn.negatives, rel=0.02)


def test_the_oracle_is_feasible_and_no_threshold_beats_it():
    for program in PROGRAMS.values():
        grid = np.linspace(0, 4, 333)
        value, met = worth(program, SITES.counts(dict.fromkeys(SHIFTS, grid)))
        assert 0 < value[met].max() <= oracle_of(program, SITES) + 1e-9 < 1


def test_a_row_counts_claims_and_bounds_that_hold():
    rows = simulate("bounds in 3 subgroups", FAMILIES[0], 400, 3)
    frame = measured(rows)
    assert set(frame["rule"]) >= {OWN, CERTIFIED} and (frame["met"] <= frame["claimed"]).all()
    assert (frame["claimed"] <= 3).all() and (frame["delivered / oracle"] <= 1.3).all()
    assert frame.set_index("rule").loc["best cut", "claimed"] == 3
    assert len(conclusions(frame)) == 4
