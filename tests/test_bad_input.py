"""What users pass by mistake: each fault names argument, rule, value and remedy, before any training."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, WeightedRandomSampler

from metricopt import FPOR, InvalidInputError, fit

N = 60
X = torch.randn(N, 2, generator=torch.Generator().manual_seed(0))
Y = (torch.arange(N) % 3 == 0).float()


class Rows(Dataset):
    def __init__(self, x=X, y=Y, **attributes):
        self.x, self.y = x, y
        vars(self).update(attributes)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        return self.x[row], self.y[row]


class Alone(Rows):
    def __getitem__(self, row):
        return self.x[row]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class Returns(nn.Module):
    """Returns what a function makes of its layer's logits."""

    def __init__(self, function):
        super().__init__()
        self.layer, self.function = nn.Linear(2, 1), function

    def forward(self, x):
        return self.function(self.layer(x))


def loader_of(x=X, y=Y, **rest):
    return DataLoader(TensorDataset(x, y), **({"batch_size": 16} | rest))


def with_value(value, row=20):
    x = X.clone()
    x[row, 1] = value
    return x


def with_label(value):
    y = Y.clone()
    y[1] = value
    return y


def rejects(message, model=None, loader=None, objective="FPOR", **arguments):
    """Check that the arguments are rejected with this message, and that nothing was trained meanwhile."""
    model = nn.Linear(2, 1) if model is None else model
    before = [parameter.clone() for parameter in model.parameters()] if isinstance(model, nn.Module) else []
    with pytest.raises(InvalidInputError, match=message):
        run(model, loader, objective, **arguments)
    if before:
        assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
        assert all(parameter.grad is None for parameter in model.parameters())
        assert model.training


def run(model=None, loader=None, objective="FPOR", **arguments):
    """Fit with few epochs; a bound of 0.5 unless the test gives its own."""
    model, loader = nn.Linear(2, 1) if model is None else model, loader_of() if loader is None else loader
    if objective == "FPOR":
        arguments = {"alpha": 0.5} | arguments
    return fit(model, loader, objective, **({"epochs": 2} | arguments))


def sampled():
    return loader_of(sampler=WeightedRandomSampler(torch.ones(N), N))


def test_the_twin_of_all_passes():
    assert len(run().history) == 2


# Labels


@pytest.mark.parametrize("dataset", [TensorDataset, Rows])
@pytest.mark.parametrize("val_fraction", [0, 0.3])
def test_labels_outside_0_1_and_nan(dataset, val_fraction):
    def loader(value):
        return DataLoader(dataset(X, with_label(value)), batch_size=16)

    message = r"labels must be 0, 1 or NaN \(missing\), got \[-1.0\]; map the classes to 0 and 1 first"
    rejects(message, loader=loader(-1.0), val_fraction=val_fraction)
    run(loader=loader(torch.nan), val_fraction=val_fraction)


@pytest.mark.parametrize("argument", ["loader", "val_loader"])
@pytest.mark.parametrize(("constant", "missing"), [(0.0, "positives"), (1.0, "negatives")])
def test_labels_of_one_class(argument, constant, missing):
    one_class = {argument: loader_of(y=torch.full((N,), constant))}
    message = f"^{argument} must be one with positives and negatives, got no {missing} among 60 samples; add samples"
    rejects(message, **one_class)
    run(**{argument: loader_of()})


def test_too_few_positives_to_hold_out():
    y = torch.zeros(N)
    y[0] = 1
    rejects(
        "labels must be of 2 positives or more, some to train and some in the held-out 0.2 of the rows",
        loader=loader_of(y=y),
    )
    run(loader=loader_of(y=y), val_fraction=0)


@pytest.mark.parametrize("name", ["labels", "targets"])
@pytest.mark.parametrize("val_fraction", [0, 0.3])
def test_a_data_set_that_tells_other_labels_than_it_yields(name, val_fraction):
    """As an image folder with a target_transform does."""
    flipped = DataLoader(Rows(**{name: (1 - Y).tolist()}), batch_size=16)
    message = "loader must be one that yields the labels of its data set, got other values; "
    rejects(message, loader=flipped, val_fraction=val_fraction)
    run(loader=DataLoader(Rows(**{name: Y.tolist()}), batch_size=16), val_fraction=val_fraction)


# Features and logits


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("row", [0, 20, 59])
def test_features_that_are_not_finite(value, row):
    for loader, arguments in (
        (DataLoader(Rows(with_value(value, row)), batch_size=16), {"val_fraction": 0}),
        (loader_of(), {"val_loader": DataLoader(Rows(with_value(value, row)), batch_size=16)}),
    ):
        message = f"features must be finite, got NaN or infinity in x of batch {row // 16}; impute or clean them"
        rejects(message, loader=loader, **arguments)
    # Wherever the row goes, to training or to selection.
    rejects("features must be finite", loader=loader_of(with_value(value, row)))
    run(loader=loader_of(with_value(9.0, row)))


def test_logits_that_are_not_finite():
    rejects("logits must be finite, got NaN or infinity in batch 0; check", Returns(lambda z: z / 0))
    run(Returns(lambda z: z / 2))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: z[:-1], r"model must be one that returns logits of shape .*, got shape \(47, 1\); return one logit"),
        (lambda z: z.mean(), r"model must be one that returns logits of shape .*, got shape \(\); return one logit"),
        (lambda z: (z, z), "model must be one that returns a tensor of logits, got tuple; wrap it"),
        (lambda z: torch.cat([z, z, z], dim=1), r"of one shape, with 1 label\(s\), got logits \(48, 3\) for labels"),
    ],
)
def test_model_outputs_of_the_wrong_shape(function, message):
    rejects(message, Returns(function))
    run(Returns(lambda z: z[:, 0]))


def test_models_with_fewer_logits_than_labels():
    two = torch.stack([Y, 1 - Y], dim=1)
    message = r"model and labels must be of one shape, with 2 label\(s\), got logits \(\d+, 1\) for labels \(\d+, 2\)"
    rejects(message, loader=loader_of(y=two))
    run(nn.Linear(2, 2), loader_of(y=two))


def test_val_loaders_of_other_labels():
    two = torch.stack([Y, 1 - Y], dim=1)
    rejects(
        r"val_loader must be of as many labels as loader \(1\), got 2", nn.Linear(2, 1), val_loader=loader_of(y=two)
    )
    run(nn.Linear(2, 2), loader_of(y=two), val_loader=loader_of(y=two))


def test_models_that_are_none():
    for model, kind in ((lambda x: x, "function"), ("linear", "str")):
        rejects(f"model must be a torch Module or a callable that makes one, got {kind}; wrap it in", model=model)


# Objectives and solvers


@pytest.mark.parametrize("alpha", [0, 1.01, -0.5, float("nan"), "0.9", True])
def test_alpha_outside_0_to_1(alpha):
    rejects(r"min_precision must be in \(0, 1\], got .*; give a fraction, e.g. 0.9", alpha=alpha)
    run(alpha=1)
    run(alpha=np.float32(0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": FPOR(0.5), "alpha": 0.5}, "alpha and beta must be left out when objective is an instance, got"),
        ({"alpha": None}, r"alpha must be given for FPOR \(min_precision\), got None; give a fraction"),
        ({"beta": 1.0}, "beta must be left out for FPOR, got 1.0; FPOR takes alpha"),
        ({"objective": "OFBS", "alpha": 0.9}, "alpha must be left out for OFBS, got 0.9; OFBS takes beta"),
        ({"objective": "OFBS", "beta": 0}, "beta must be a finite number above 0, got 0; give"),
        (
            {"objective": "FPORR", "alpha": 0.9},
            "objective must be one of 'FPOR', .*, got 'FPORR'; did you mean 'FPOR'?",
        ),
        ({"objective": 3}, "objective must be one of 'FPOR', .*, got 3; choose one of them"),
        ({"alpha": [0.5, 0.6]}, r"min_precision must be one number or one per label \(1\), got 2 numbers"),
        ({"alpha": {"a": 0.5}}, "alpha must be a number while label_names is not given, got"),
        ({"alpha": {"b": 0.5}, "label_names": ["a"]}, "alpha's labels must be one of 'a', got 'b'"),
        ({"solver": "profield"}, "solver must be one of .*, got 'profield'; did you mean 'profiled'?"),
        ({"solver": nn.BCEWithLogitsLoss}, "solver must be a name, a Solver or a loss .*; create an instance"),
        (
            {"solver": nn.BCEWithLogitsLoss(), "sample_weight": np.ones(N)},
            "sample_weight must be left out when solver is a loss, got weights; put the weights into the loss",
        ),
    ],
)
def test_objectives_and_solvers(arguments, message):
    rejects(message, **arguments)


def test_objectives_and_solvers_that_pass():
    run(objective=FPOR(0.5))
    run(objective="OFBS", beta=2)
    run(objective="OFBS")
    run(alpha=[0.5])
    run(alpha={"a": 0.5}, label_names=["a"])
    run(solver=nn.BCEWithLogitsLoss())
    run(solver="cross_entropy", sample_weight=np.ones(N))


# Loaders


@pytest.mark.parametrize("argument", ["loader", "val_loader"])
def test_loaders_that_are_none(argument):
    rejects(f"{argument} must be a torch DataLoader, got TensorDataset; wrap", **{argument: TensorDataset(X, Y)})


@pytest.mark.parametrize("argument", ["loader", "val_loader"])
@pytest.mark.parametrize(("dataset", "got"), [(TensorDataset(X), "1 items"), (Alone(), "Tensor")])
def test_loaders_that_yield_one_item(argument, dataset, got):
    message = rf"loader must be one that yields \(x, y\), got {got}; yield pairs"
    rejects(message, **{argument: DataLoader(dataset, batch_size=16)})


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (loader_of(X[:0], Y[:0]), "loader must be non-empty, got a data set of 0 samples; check the data set"),
        (DataLoader(Rows(X[:0], Y[:0])), "loader must be non-empty, got a data set of 0 samples"),
        (
            loader_of(batch_size=64, drop_last=True),
            "loader must be one with at least one batch, got 60 training samples",
        ),
        (loader_of(batch_size=None), "loader must be one that makes batches, got batch_size=None; give batch_size"),
    ],
)
def test_empty_loaders(loader, message):
    rejects(message, loader=loader)
    run(loader=loader_of(batch_size=48, drop_last=True))


def test_samplers_of_their_own_need_selection_data():
    message = (
        "loader must be without a sampler of its own to hold rows out, got one; pass val_loader, or val_fraction=0"
    )
    rejects(message, loader=sampled())
    run(loader=sampled(), val_loader=loader_of())
    message = "loader must be without a sampler of its own for folds, got one; give shuffle=True, or val_loader instead"
    rejects(message, loader=sampled(), folds=5)


def test_iterable_data_sets_need_selection_data():
    stream = DataLoader(Stream(), batch_size=16)
    rejects("loader must be over a map-style data set to hold rows out, got an iterable one; pass", loader=stream)
    run(loader=stream, val_loader=loader_of())
    run(loader=stream, val_fraction=0)
    message = (
        "loader must be over a map-style data set for folds, got an iterable one; pass val_loader instead of folds"
    )
    rejects(message, loader=stream, folds=5)


@pytest.mark.parametrize("solver", ["augmented_lagrangian", "lagrangian", "exact_penalty"])
def test_solvers_with_slacks_need_rows(solver):
    stream = DataLoader(Stream(), batch_size=16)
    message = f"loader must be map-style for {solver}, got iterable; use 'profiled'"
    rejects(message, loader=stream, val_fraction=0, solver=solver)
    rejects(message, loader=stream, val_loader=loader_of(), solver=solver)
    run(loader=loader_of(), val_fraction=0, solver=solver)
    run(loader=loader_of(), val_loader=DataLoader(Stream(), batch_size=16), solver=solver)
    run(loader=stream, val_fraction=0, solver="profiled")


@pytest.mark.parametrize("solver", ["augmented_lagrangian", "lagrangian", "exact_penalty"])
def test_too_many_pairs_for_slacks_are_told_before_the_data_are_passed_through(solver):
    class Untouched(nn.Linear):
        def forward(self, x):
            raise AssertionError("called")

    loader = loader_of(torch.zeros(4001, 2), (torch.arange(4001) < 1000).float())
    message = (
        "objective must be OAP on a problem of at most 4,000,000 pairs .*, got 4,001,000 .*; use solver='profiled'"
    )
    few = {"epochs": 1, "warmup_epochs": 0, "val_fraction": 0}
    rejects(message, model=Untouched(2, 1), loader=loader, objective="OAP", solver=solver, **few)
    run(loader=loader_of(), objective="OAP", solver=solver, **few)


@pytest.mark.parametrize("argument", ["groups", "sample_weight", "eval_dataset"])
def test_iterable_data_sets_have_no_rows_to_speak_of(argument):
    stream = DataLoader(Stream(), batch_size=16)
    message = f"{argument} must be left out for an iterable data set, got given; use a map-style one"
    rejects(message, loader=stream, val_fraction=0, **{argument: Rows() if argument == "eval_dataset" else np.ones(N)})


@pytest.mark.parametrize(
    ("argument", "wrong", "right", "message"),
    [
        ("groups", range(59), range(60), r"groups must be one value a row \(60\), got 59 values; give one group a row"),
        (
            "sample_weight",
            np.ones(59),
            np.ones(60),
            r"sample_weight must be of shape \(60,\) .*, got shape \(59,\); give",
        ),
        ("sample_weight", [-1.0] * 60, [1.0] * 60, "sample_weight must be >= 0, got -1; give 0 to leave a sample out"),
        (
            "label_names",
            ["a", "b"],
            ["a"],
            r"label_names must be one name a label \(1\), got \['a', 'b'\]; give as many",
        ),
        ("label_names", "sick", ["sick"], "label_names must be a sequence of names, got 'sick'; give"),
        ("eval_dataset", Rows(X[1:], Y[1:]), Rows(), "eval_dataset must be the same 60 rows .*, got 59 rows; pass"),
        ("eval_dataset", Rows(y=1 - Y), Rows(), "loader must be one that yields the labels of its data set, got other"),
    ],
)
def test_lengths(argument, wrong, right, message):
    rejects(message, **{argument: wrong})
    run(**{argument: right})


def test_names_of_several_labels_differ():
    two = torch.stack([Y, 1 - Y], dim=1)
    message = r"label_names must be different, got \['a', 'a'\]; give each label a name of its own"
    rejects(message, nn.Linear(2, 2), loader_of(y=two), label_names=["a", "a"])
    run(nn.Linear(2, 2), loader_of(y=two), label_names=["a", "b"])


# Numbers


@pytest.mark.parametrize(
    ("argument", "wrong", "right", "message"),
    [
        ("epochs", 0, 1, "epochs must be an integer >= 1, got 0; give 1 or more"),
        ("epochs", 2.5, 2, "epochs must be an integer >= 1, got 2.5; give 1 or more"),
        ("epochs", True, np.int64(1), "epochs must be an integer >= 1, got True"),
        ("warmup_epochs", -1, 0, "warmup_epochs must be an integer >= 0, got -1; give 0 or more"),
        ("warmup_epochs", 2, 1, r"warmup_epochs must be below epochs \(2\), got 2; leave epochs for the objective"),
        ("seed", -1, 0, "seed must be an integer .*, got -1; give"),
        ("seed", 2**32, 2**32 - 1, "seed must be an integer .*, got 4294967296; give"),
        ("seed", "a", 1, "seed must be an integer .*, got 'a'"),
        ("val_fraction", 1, 0.5, r"val_fraction must be in \[0, 1\), got 1; give e.g. 0.2, or 0 to select on"),
        ("val_fraction", -0.1, 0, r"val_fraction must be in \[0, 1\), got -0.1"),
        ("learning_rate", 0, 1, "learning_rate must be a finite number above 0, got 0; give e.g. 0.01"),
        ("learning_rate", float("nan"), np.float64(0.1), "learning_rate must be a finite number above 0, got nan"),
        ("learning_rate", "fast", 0.1, "learning_rate must be a finite number above 0, got 'fast'"),
        ("gradient_clip", -1.0, 1.0, "gradient_clip must be a finite number above 0, got -1.0"),
        ("device", "abacus", "cpu", "device must be one that torch can use here, got 'abacus'; choose e.g. cpu"),
        ("optimizer", "adam", torch.optim.SGD, "optimizer must be an Optimizer or a callable .*, got adam; pass one"),
    ],
)
def test_numbers(argument, wrong, right, message):
    rejects(message, **{argument: wrong})
    run(**{argument: right})


def test_learning_rate_beside_optimizer():
    def adam(parameters):
        return torch.optim.Adam(parameters, lr=0.1)

    message = "learning_rate must be left out beside optimizer, got 0.1; set it in the optimizer"
    rejects(message, learning_rate=0.1, optimizer=adam)
    run(optimizer=adam)


def test_several_faults_are_told_at_once():
    with pytest.raises(InvalidInputError) as caught:
        run(loader=sampled(), epochs=0, val_fraction="a", learning_rate=-1.0, gradient_clip=0, seed=-3)
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == [
        "epochs",
        "seed",
        "learning_rate",
        "gradient_clip",
        "val_fraction",
        "loader",
    ]
    assert all(" must be " in line and ", got " in line and "; " in line for line in lines)


@pytest.mark.parametrize("arguments", [{"val_fraction": 0}, {"val_loader": loader_of()}])
def test_groups_are_counted_even_where_nothing_is_held_out(arguments):
    rejects(r"groups must be one value a row \(60\), got 59 values; give one", groups=range(59), **arguments)
    run(groups=range(60), **arguments)


@pytest.mark.parametrize("make", [pd.Index, pd.Series, tuple])
def test_label_names_of_each_kind_of_sequence(make):
    rejects(r"label_names must be one name a label \(1\), got \['a', 'b'\]", label_names=make(["a", "b"]))
    rejects(r"label_names must be one name a label \(1\), got \[\]", label_names=make([]))
    assert run(label_names=make(["sick"])).validation[0].label == "sick"


@pytest.mark.parametrize("name", ["val_fraction", "learning_rate", "gradient_clip"])
def test_numbers_of_numpy_are_numbers_and_booleans_are_not(name):
    rejects(f"{name} must be .*, got True", **{name: True})
    run(**{name: np.float32(0.3)})


@pytest.mark.parametrize("callbacks", [print, None, [3], [print, "print"]])
def test_callbacks_that_are_no_sequence_of_callables(callbacks):
    rejects("callbacks must be a sequence of callables, got .*; put it in a list", callbacks=callbacks)
    seen = []
    run(callbacks=(callback for callback in [seen.append]))
    assert seen
