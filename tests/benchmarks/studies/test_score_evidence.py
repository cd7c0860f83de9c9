import numpy as np
import pytest

from benchmarks.data.score_families import FAMILIES, Population
from benchmarks.studies import kept_bounds, score_evidence
from metricopt import FPOR, FROP


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("given", [{}, {"rows_per_patient": 4}, {"uneven_weights": True, "weight_slope": 0.5}], ids=str)
def test_rates_are_what_many_rows_say(family, given):
    population = Population(family, prevalence=0.3, **given)
    rows = population.draw(np.random.default_rng(0), 100_000)
    weight = np.ones(len(rows.labels)) if rows.weight is None else rows.weight
    for threshold in (0.5, 2.0):
        for truth, rate in zip((1, 0), population.rates(np.array([threshold])), strict=True):
            own = rows.labels == truth
            assert rate[0] == pytest.approx(np.average(rows.scores[own] >= threshold, weights=weight[own]), abs=0.012)


def test_rows_of_a_patient_share_label_and_most_of_the_score():
    rows = Population(FAMILIES[0], rows_per_patient=4).draw(np.random.default_rng(1), 5000)
    assert np.array_equal(rows.patients, np.repeat(np.arange(5000), 4))
    assert (np.ptp(rows.labels.reshape(-1, 4), axis=1) == 0).all()
    noise = (rows.scores - 2 * rows.labels).reshape(-1, 4)
    assert np.corrcoef(noise[:, 0], noise[:, 1])[0, 1] == pytest.approx(0.8, abs=0.02)


def simulated(objectives, case=0, family=0, draws=40):
    rows = score_evidence.simulate(score_evidence.CASES[case], FAMILIES[family], 100, objectives, draws)
    return rows, {(row["asked"], row["rule"]): row for row in rows}


def test_a_confident_threshold_keeps_its_bound_more_often_and_delivers_more():
    rows, by_rule = simulated((FPOR(0.3), FROP(0.8)))
    assert len(rows) == 2 * len(kept_bounds.RULES)
    for asked in ("precision >= 0.3", "recall >= 0.8"):
        best, sure = by_rule[asked, "best cut"], by_rule[asked, "limit .9"]
        assert best["raised"] == best["draws"] == 40
        assert sure["met"] / sure["raised"] > 0.75 > best["met"] / best["raised"]
        assert sure["delivered"] > best["delivered"] and sure["oracle"] == best["oracle"]
        assert sure["value_where_met"] < sure["oracle"]


def test_noise_meets_no_bound():
    _, by_rule = simulated((FPOR(0.2),), family=4)
    assert all(row["met"] == 0 and row["oracle"] == 0 for row in by_rule.values())
    assert by_rule["precision >= 0.2", "limit .9"]["raised"] < by_rule["precision >= 0.2", "best cut"]["raised"] == 40


def test_tables_list_the_cells_that_miss():
    row = {
        "case": "plain",
        "family": "mixtures",
        "positives": 100,
        "asked": "precision >= 0.3",
        "rule": kept_bounds.DEFAULT,
    }
    numbers = {"draws": 100, "raised": 80, "oracle": 0.5, "value_where_met": 0.4, "delivered": 0.2}
    for met, is_listed in ((60, True), (70, False)):
        made = kept_bounds.tables([{**row, **numbers, "met": met}])
        listed = [heading for heading in made if heading.startswith(f"Cells in which {kept_bounds.DEFAULT}")]
        assert bool(listed) == is_listed
        (own,) = made[f"All cells, {kept_bounds.DEFAULT}"].to_dict("records")
        assert own["alarms raised"] == 0.8 and own["given up"] == pytest.approx(0.1)
        assert own["not missed"] == pytest.approx(1 - (80 - met) / 100)
    assert "in 1;" in kept_bounds.conclusions([{**row, **numbers, "met": 70}])[0]
    assert "in 0;" in kept_bounds.conclusions([{**row, **numbers, "met": 60}])[0]


def test_quick_runs_are_few():
    assert len(list(score_evidence.jobs(quick=True))) == len(score_evidence.CASES) + 1
    whole = list(score_evidence.jobs(quick=False))
    assert len(whole) == (len(score_evidence.CASES) + 1) * len(FAMILIES) * len(score_evidence.POSITIVES)
