"""The examples in the README run as they stand, one after the other."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

README = Path(__file__).parents[1] / "README.md"


def given():
    """What the examples speak of and do not make: images with two labels, and rows for calibration."""
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    findings = (x[:, :2] > 0.8).float()
    return {
        "head": torch.nn.Linear(8, 2),
        "scans": DataLoader(TensorDataset(x, findings), batch_size=50, shuffle=True),
    }


SHORTER = {
    "alphas=[0.5, 0.7, 0.9]": "epochs=2, num_workers=1, alphas=[0.5, 0.9]",
    "alpha=bounds": "epochs=20, alpha=bounds",
    '"FROP", alpha=0.9, epochs=20': '"FROP", alpha=0.9, epochs=6',
}
"""What takes its time in the examples, and what the tests run instead."""


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_forests):
    """Return what the examples made, what they printed, and the folder in which they ran."""
    folder, names, printed = tmp_path_factory.mktemp("readme"), given(), []
    names["print"] = lambda *things: printed.append(" ".join(map(str, things)))
    text = README.read_text(encoding="utf-8")
    assert all(long in text for long in SHORTER)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("metricopt.training.plan.DEFAULT_STEPS", 400)  # the real ones take their time
        patch.setattr("metricopt.training.plan.DEFAULT_STEPS_WITH_FOLDS", 200)
        torch.manual_seed(0)
        for block in blocks:
            if "calibration" in block:  # rows that took part in nothing else
                names["calibration"] = names["features"][names["test"]], names["labels"][names["test"]]
            for text, short in SHORTER.items():
                block = block.replace(text, short)
            exec(block, names)
    return names, "\n".join(printed), folder


@pytest.mark.slow
class TestExamples:
    def test_ten_lines_train_and_evaluate(self, run):
        names, printed, _ = run
        assert "Asked     maximise recall subject to precision >= 0.9" in printed
        assert names["result"].status == "feasible"
        assert names["result"].validation.precision >= 0.9

    def test_the_classifier_raises_few_alarms(self, run):
        names, _, _ = run
        assert names["classifier"].result_.status == "feasible"
        assert 0 < names["alarms"].sum() < len(names["alarms"]) / 10

    def test_networks_meet_the_bounds_on_the_rows_that_chose(self, run):
        names, _, _ = run
        assert names["found"].validation.recall >= 0.9
        assert names["focal"].validation.recall >= 0.9
        assert names["findings"].label_names == ("Edema", "Effusion")
        assert names["findings"].validation["Effusion"].bound == 0.7

    def test_the_loss_reaches_the_network(self, run):
        names, _, _ = run
        assert all(weight.grad.abs().sum() > 0 for weight in names["network"].parameters())

    def test_a_threshold_is_chosen_for_given_scores(self, run):
        names, _, _ = run
        assert names["choice"].feasible
        assert np.mean(names["scores"] >= names["choice"].threshold) <= 0.05

    def test_bounds_are_compared_with_cross_entropy(self, run):
        _, printed, folder = run
        assert "cross-entropy" in printed
        assert (folder / "tradeoff.png").stat().st_size > 10_000

    def test_a_certificate_and_another_prevalence(self, run):
        names, _, _ = run
        assert names["certificate"].result.status in ("certified", "not_certified")
        assert names["screening"].validation.prevalence == 0.01

    def test_what_is_saved(self, run):
        _, _, folder = run
        assert {path.name for path in folder.iterdir()} == {"tradeoff.png", "model", "report.html", "model.onnx"}

    def test_a_network_is_cut(self, run):
        names, _, _ = run
        assert names["cut"](torch.zeros(2, 3, 64, 64)).shape == (2, 1)


def test_links_and_pictures_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert len(links) > 20
    for link in links:
        assert (README.parent / link).exists(), link


def test_fits_a_front_page():
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200
