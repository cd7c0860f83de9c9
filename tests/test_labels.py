"""Several labels in one training: each has its own bound, threshold, multiplier, status and report, or is left out."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from metricopt import FPOR, InvalidInputError, Status, load
from metricopt.losses import FocalLoss
from metricopt.solvers import REGISTRY
from tests.held_out import fit

NAMES = ["Pneumonia", "Edema", "Fracture", "Lung Lesion"]
OBJECTIVES = {
    "FPOR": {"alpha": {"Lung Lesion": 0.6, "Edema": 0.8, "Pneumonia": 0.3, "Fracture": 0.5}},
    "FROP": {"alpha": 0.6},
    "OFBS": {"beta": 2.0},
    "OAP": {},
    "RecallAtFPR": {"alpha": 0.2},
    "RecallAtAlarmRate": {"alpha": 0.3},
}
FEW = {"epochs": 5, "warmup_epochs": 2}
KEPT = "kept"


def samples(kinds, num_rows=100, seed=0):
    """Rows whose labels are each as their kind says: kept, all 0 or 1, all missing, or present only where positive."""
    draw = torch.Generator().manual_seed(seed)
    y = (torch.rand(num_rows, len(kinds), generator=draw) < 0.3).float()
    x = torch.randn(num_rows, len(kinds), generator=draw) + 1.5 * y
    for label, kind in enumerate(kinds):
        if kind == "positives alone":
            y[y[:, label] == 0, label] = torch.nan
        elif kind != KEPT:
            y[:, label] = {"no positives": 0.0, "no negatives": 1.0, "missing": torch.nan}[kind]
    return TensorDataset(x, y)


def loader_of(kinds, **rest):
    return DataLoader(samples(kinds, **rest), batch_size=25, shuffle=True)


def linear(num_labels=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(num_labels, num_labels)


EMPTY = (KEPT, "no positives", "no negatives", "missing")
# What the training data and the validation data hold; None: what is held out of the former, 0: nothing.
PARTS = {
    "in training": (EMPTY, (KEPT,) * 4),
    "in validation": ((KEPT,) * 4, EMPTY),
    "held out": (EMPTY, None),
    "nothing held out": (EMPTY, 0),
    "each in another part": ((KEPT, "no positives", KEPT, "positives alone"), (KEPT, KEPT, "missing", "no negatives")),
}


# Every way to lack a class with a few solvers, then every solver and loss with every objective.
CASES = [
    *((parts, solver, "FPOR") for parts in PARTS for solver in ("profiled", "augmented_lagrangian")),
    *(("in training", solver, objective) for solver in (*REGISTRY, FocalLoss()) for objective in OBJECTIVES),
]


def lacking(labels):
    """What there is none of."""
    found = {truth for truth in (0, 1) if (labels == truth).any()}
    return {(): "labels", (0,): "positives", (1,): "negatives"}.get(tuple(found))


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "solver", "objective"), CASES, ids=str)
def test_a_label_that_lacks_a_class_in_a_part_is_reported_and_left_out(parts, solver, objective, tmp_path):
    of_training, of_validation = PARTS[parts]
    held = {"val_fraction": 0} if of_validation == 0 else {}
    if of_validation:
        held = {"val_loader": loader_of(of_validation, num_rows=60, seed=1)}
    loader = loader_of(of_training)
    result = fit(linear(), loader, objective, **OBJECTIVES[objective], label_names=NAMES, solver=solver, **FEW, **held)
    alarms = result.predict(loader.dataset)
    for label, name in enumerate(NAMES):
        faults = {data: lacking(part.labels[:, label]) for data, part in result.data_scores.items()}
        is_kept, status, report = not any(faults.values()), result.status[name], result.selection[name]
        assert is_kept == np.isfinite(result.thresholds[label]) == (status is not Status.NO_POSITIVES)
        assert (f"Threshold {name}" in result.summary()) == is_kept
        assert (f"{name} ({report.num_samples} samples): left out" in repr(result.selection)) != is_kept
        if not is_kept:
            there_are_no = [f"no {kind} in the {data} data" for data, kind in sorted(faults.items()) if kind]
            assert result.advice(name).endswith(f" There are {' and '.join(there_are_no)}. It raises no alarm.")
            assert report.met is None and result.multiplier[name] is None
            assert alarms[:, label].sum() == report.true_positives == report.false_positives == 0
        if solver == "profiled":
            assert result.plot(label=name).get_title().startswith(name)
    assert np.isfinite(result.thresholds[0]) and not np.isfinite(result.thresholds).all()
    result.save(tmp_path / "result")
    loaded = load(tmp_path / "result", linear())
    assert (loaded.summary(), repr(loaded.status)) == (result.summary(), repr(result.status))
    if objective == "FPOR":
        other = result.with_bound(dict.fromkeys(NAMES, 0.4))
        assert np.isnan(other.thresholds).tolist() == np.isnan(result.thresholds).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_a_label_that_was_never_trained_does_not_choose_the_model(seed):
    """The second label is positive nowhere in training: its scores on validation data are noise."""
    loader, ends = loader_of((KEPT, "no positives"), seed=seed), []
    for of_validation in ((KEPT, KEPT), (KEPT, "missing")):
        val_loader = loader_of(of_validation, seed=seed + 10)
        model = nn.Sequential(linear(2), nn.Tanh(), linear(2))
        result = fit(model, loader, "OAP", val_loader=val_loader, epochs=12, seed=seed)
        ends.append((result.thresholds[0], result.selected_stage, result.model[0].weight.tolist()))
    assert ends[0] == ends[1]


def test_no_label_in_common_is_rejected():
    def start(of_validation):
        val_loader = loader_of(of_validation, seed=1)
        return fit(linear(2), loader_of((KEPT, "missing")), "FPOR", alpha=0.6, val_loader=val_loader, **FEW)

    with pytest.raises(InvalidInputError, match="loader must be one with a label that has positives and neg"):
        start(("no positives", KEPT))
    assert start((KEPT, KEPT)).status["1"] is Status.NO_POSITIVES


# Bounds by name


def test_each_label_has_its_own_bound_by_name_in_any_order():
    loader = loader_of([KEPT] * 4)
    by_name = fit(linear(), loader, "FPOR", **OBJECTIVES["FPOR"], label_names=NAMES, **FEW)
    assert by_name.objective == FPOR((0.3, 0.8, 0.5, 0.6))
    assert [report.bound for report in by_name.validation] == [0.3, 0.8, 0.5, 0.6]
    in_order = fit(linear(), loader, "FPOR", alpha=[0.3, 0.8, 0.5, 0.6], label_names=NAMES, **FEW)
    for_all = fit(linear(), loader, "FPOR", alpha=0.5, label_names=NAMES, **FEW)
    assert by_name.thresholds.tolist() == in_order.thresholds.tolist() != for_all.thresholds.tolist()
    assert [report.bound for report in for_all.validation] == [0.5] * 4
    assert list(by_name.multiplier) == NAMES and all(value >= 0 for value in by_name.multiplier.values())
    last = [record["multiplier"] for record in by_name.history[-4:]]
    assert list(by_name.multiplier.values()) == last and len(set(last)) == 4


def test_the_data_set_may_know_the_names():
    dataset = samples([KEPT] * 2)
    dataset.label_names = ["Edema", "Pneumonia"]
    for rows in (dataset, Subset(dataset, range(90)), Subset(Subset(dataset, range(90)), range(80))):
        loader = DataLoader(rows, batch_size=30)
        result = fit(linear(2), loader, "FPOR", alpha={"Pneumonia": 0.3, "Edema": 0.8}, **FEW)
        assert result.objective == FPOR((0.8, 0.3)) and result.label_names == ("Edema", "Pneumonia")
    assert fit(linear(2), loader, "FPOR", alpha=0.5, label_names=["a", "b"], **FEW).label_names == ("a", "b")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": {"Edma": 0.3}}, "alpha's labels must be one of .* got 'Edma'; did you mean 'Edema'?"),
        ({"alpha": {"Edema": 0.3}}, r"alpha must be given for every label, got nothing for \['Pneumonia', 'Fra"),
        ({"alpha": dict.fromkeys(NAMES, 1.3)}, r"min_precision must be in \(0, 1\], got 1.3; "),
        ({"alpha": {"Edema": 0.3}, "label_names": None}, "alpha must be a number while label_names is not given, got"),
        ({"alpha": [0.3, 0.5]}, r"min_precision must be one number or one per label \(4\), got 2 numbers; "),
        ({"alpha": 0.3, "label_names": "Edema"}, "label_names must be a sequence of names, got 'Edema'; give e.g. "),
        ({"alpha": 0.3, "label_names": [1, 2, 3, 4]}, r"label_names must be a sequence of names, got \[1, 2, 3, 4\]; "),
        ({"alpha": 0.3, "label_names": NAMES[:3]}, r"label_names must be one name a label \(4\), got "),
        ({"alpha": 0.3, "label_names": ["Edema"] * 4}, "label_names must be different, got "),
    ],
)
def test_bad_names_and_bounds(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        fit(linear(), loader_of([KEPT] * 4), "FPOR", **{"label_names": NAMES, **arguments}, **FEW)
