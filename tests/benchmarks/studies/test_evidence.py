import numpy as np
import pytest
import torch

from benchmarks.data.score_families import FAMILIES, Population
from benchmarks.studies import evidence, kept_bounds


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES[1:3], ids=lambda family: family.name)
def test_what_a_model_reaches_on_new_rows_is_what_many_rows_say(family):
    random, population = np.random.default_rng(0), Population(family, prevalence=0.3)
    result = evidence.train(population.draw(random, 400), random, None, 0)
    assert result.holdout.startswith("5 folds") and result.confidence == 0.9
    new = population.draw(random, 100_000)
    noise = random.standard_normal((len(new.labels), evidence.NUM_NOISE_FEATURES))
    with torch.no_grad():
        scores = result.model(torch.from_numpy(np.column_stack([new.scores, noise])))[:, 0].numpy()
    of_model = Population(evidence.scores_of(family, result), prevalence=0.3)
    for threshold in np.quantile(scores, [0.3, 0.9]):
        for truth, rate in zip((1, 0), of_model.rates(np.array([threshold])), strict=True):
            assert rate[0] == pytest.approx((scores[new.labels == truth] >= threshold).mean(), abs=0.012)


@pytest.mark.slow
@pytest.mark.parametrize("case", evidence.NUM_DRAWS, ids=lambda case: case.name)
def test_every_case_runs_from_training_to_table(case):
    num_draws = 2 if case is evidence.PLAIN else 1
    rows = evidence.simulate(case, FAMILIES[0], 60, num_draws)
    assert len(rows) == len(evidence.OBJECTIVES) * len(kept_bounds.RULES)
    assert all(0 <= row["met"] <= row["raised"] <= row["draws"] == num_draws for row in rows)
    best = [row for row in rows if row["rule"] == "best cut" and row["asked"] == "precision >= 0.1"]
    assert best[0]["raised"] == num_draws and best[0]["oracle"] > 0


def test_noise_meets_no_bound():
    rows = evidence.simulate(evidence.PLAIN, evidence.NOISE, 66, 3)
    assert all(row["met"] == 0 for row in rows if row["asked"].startswith("precision"))


def test_quick_runs_are_few():
    assert len(list(evidence.jobs(quick=True))) == 1 < 50 < len(list(evidence.jobs(quick=False)))
