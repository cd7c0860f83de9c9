"""What calibration data certify of a result."""

import builtins
import dataclasses

import numpy as np
import pytest
import torch

import metricopt
from metricopt import FPOR, FROP, OAP, OFBS, InvalidInputError, Program, Status
from metricopt.evidence.certificates import LabelCertificate
from metricopt.results.scores import DataScores
from tests.held_out import fit
from tests.results.made import Scores, result_of

DISTANCE = 2.5


def drawn(random, num_rows, prevalence=0.2):
    labels = (random.random(num_rows) < prevalence).astype(np.float64)
    return random.normal(size=num_rows) + DISTANCE * labels, labels


def as_data(scores, labels):
    return tuple(torch.from_numpy(np.asarray(part, np.float32).reshape(len(part), -1)) for part in (scores, labels))


@pytest.fixture(scope="module")
def problem():
    random = np.random.default_rng(8)
    return drawn(random, 1000), drawn(random, 2000)


def test_a_result_is_certified_used_and_described(problem):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8), names=("sick",))
    certificate = result.certify(as_data(*calibration))
    assert len(certificate) == 1 and certificate.is_certified and certificate.threshold > result.threshold
    certified = certificate.result
    assert certified.threshold == certificate.threshold and certified.status is Status.CERTIFIED
    on_them = certified.evaluate(as_data(*calibration))
    assert on_them.recall == pytest.approx(certificate.value) and on_them.precision == pytest.approx(
        certificate.bounded_value
    )
    tuned = result.evaluate(as_data(*calibration))
    assert (tuned.recall, tuned.precision) == pytest.approx((certificate.tuned_value, certificate.tuned_bounded_value))
    alarms = certified.predict(as_data(*calibration)[0])
    assert alarms.sum() == on_them.true_positives + on_them.false_positives
    threshold = f"{certificate.threshold:.6g}"
    text = f"With 90 % confidence, the threshold {threshold} has a precision of at least 0.8 on new data"
    assert text in str(certificate) and text in certified.summary() and str(certificate).startswith("sick: ")
    assert certified.train.threshold == certificate.threshold and certified.baseline_train == result.baseline_train
    assert result.certificates is None and certified.with_bound(0.7).certificates is None
    assert "sick" in repr(certificate)


def test_new_rows_can_certify_what_the_training_did_not_support(problem):
    selection, calibration = problem
    few = result_of(*(part[:500] for part in selection), FPOR(0.95), confidence=0.95)
    assert few.status is Status.UNSUPPORTED and few.threshold == np.inf
    certificate = few.certify(as_data(*calibration))
    assert certificate.is_certified and certificate.threshold >= few.empirical_threshold


def test_nothing_certified_raises_no_alarm_and_says_so(problem):
    selection, calibration = problem
    few = tuple(part[:30] for part in calibration)
    certificate = result_of(*selection, FPOR(0.95)).certify(as_data(*few))
    assert not certificate.is_certified and np.isnan(certificate.threshold)
    assert certificate.result.status is Status.NOT_CERTIFIED and certificate.result.predict(as_data(*few)[0]).sum() == 0
    assert "No threshold could be certified" in certificate.result.summary()


def test_the_results_prevalence_is_what_is_certified(problem):
    selection, calibration = problem
    moved = result_of(*selection, FPOR(0.5)).at_prevalence(0.05)
    certificate = moved.certify(as_data(*calibration))
    assert certificate.prevalence == 0.05 and certificate.unit == "negatives" and certificate.is_certified
    assert "at least 0.5 on new data of a prevalence of 0.05" in certificate.guarantee
    assert certificate.result.prevalence == 0.05
    report = certificate.result.evaluate(as_data(*calibration))
    assert report.precision == pytest.approx(certificate.bounded_value)
    # A bound on recall is the same at any prevalence; the precision beside it is not.
    plain, rare = (one.certify(as_data(*calibration)) for one in (
        result_of(*selection, FROP(0.8)), result_of(*selection, FROP(0.8)).at_prevalence(0.01)
    ))  # fmt: skip
    assert plain.threshold == rare.threshold and rare.value < plain.value
    assert plain.bounded_value == pytest.approx(rare.bounded_value)


def test_several_labels_missing_ones_and_one_without_a_threshold():
    random = np.random.default_rng(9)
    (a, of_a), (b, of_b), (c, _) = (drawn(random, 1500) for _ in range(3))
    scores, labels = np.stack([a, b, c], 1), np.stack([of_a, of_b, np.zeros(1500)], 1)
    result = result_of(scores[:700], labels[:700], FPOR((0.8, 0.99, 0.8)), names=("a", "b", "c"))
    missing = labels[700:].copy()
    missing[:100, 0] = np.nan
    certificate = result.certify(as_data(scores[700:], missing))
    without = result_of(a[:700], of_a[:700], FPOR(0.8)).certify(as_data(a[800:], of_a[800:]))
    assert certificate["a"].threshold == without.threshold and certificate[0].bound == 0.8
    assert [one.is_certified for one in certificate] == [True, False, False]
    assert certificate.result.statuses == (Status.CERTIFIED, Status.NOT_CERTIFIED, Status.NO_POSITIVES)
    assert str(certificate).count("\n") == 2
    with pytest.raises(AttributeError, match="has 3 labels: choose one"):
        _ = certificate.threshold
    with pytest.raises(InvalidInputError, match="label must be one of"):
        _ = certificate["d"]
    with pytest.raises(AttributeError, match="no attribute 'limit'"):
        _ = certificate.limit


def test_saved_with_the_result(problem, tmp_path):
    selection, calibration = problem
    for objective in (FPOR(0.8), FPOR(0.99)):
        certified = result_of(*selection, objective).certify(as_data(*calibration)).result
        certified.save(tmp_path)
        read = metricopt.load(tmp_path, Scores())
        assert read.statuses == certified.statuses and read.summary() == certified.summary()
        for own, other in zip(read.certificates, certified.certificates, strict=True):
            assert own.to_dict() == other.to_dict() and own.is_certified == other.is_certified
    assert LabelCertificate.from_dict(read.certificates[0].to_dict()).num_needed == read.certificates[0].num_needed


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        (OFBS(1.0), "got OFBS; there is no bound to hold"),
        (OAP(), "got OAP; there is no bound to hold"),
        (Program("recall"), "got Program; there is no bound to hold"),
        (Program("recall", "false_positive_rate <= 0"), "false_positive_rate <= 0 must be above 0 to be certified"),
        (FPOR(1.0), "min_precision must be below 1 to be certified"),
    ],
    ids=str,
)
def test_what_cannot_be_certified_is_refused_with_the_reason(problem, objective, why):
    selection, calibration = problem
    with pytest.raises(InvalidInputError, match=why):
        result_of(*selection, objective).certify(as_data(*calibration))
    assert result_of(*selection, FPOR(0.8)).certify(as_data(*calibration)).is_certified


@pytest.mark.parametrize("confidence", [0, 1, 90, "0.9", True])
def test_bad_confidence(problem, confidence):
    selection, calibration = problem
    with pytest.raises(InvalidInputError, match=r"confidence must be in \(0, 1\)"):
        result_of(*selection, FPOR(0.8)).certify(as_data(*calibration), confidence=confidence)
    assert result_of(*selection, FPOR(0.8)).certify(as_data(*calibration), confidence=0.8).confidence == 0.8


def test_the_data_that_fit_divided_certify_nothing(problem):
    """What was passed to ``fit`` is neither part alone: a fifth of it chose, the rest trained."""
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8))
    train = result.data_scores["train"]
    parts = {"train": slice(0, 400), "validation": slice(400, None)}
    fields = ("scores", "baseline_scores", "labels", "baseline_labels")
    divided = {
        name: DataScores(name, *(getattr(train, field)[rows] for field in fields)) for name, rows in parts.items()
    }
    result = dataclasses.replace(result, data_scores=divided)
    with pytest.raises(InvalidInputError, match="new to the model, got .* of the train and validation data"):
        result.certify(as_data(selection[0][::-1], selection[1][::-1]))
    assert result.certify(as_data(*calibration)).confidence == 0.9


def test_without_mapie_the_extra_is_named(problem, monkeypatch):
    selection, calibration = problem
    known = builtins.__import__

    def without(name, *rest):
        if name.startswith("mapie"):
            raise ImportError(name)
        return known(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"metricopt\[certify\]"):
        result_of(*selection, FPOR(0.8)).certify(as_data(*calibration))


def numbered(rows, scores, labels):
    """Data whose rows of equal number have equal inputs: a model that takes the first column gives the scores."""
    x = torch.from_numpy(np.stack([scores, rows], 1).astype(np.float32))
    return x, torch.from_numpy(labels.astype(np.float32))


class First(Scores):
    """The score is the first of the inputs."""

    def forward(self, x):
        return x[:, :1] * self.weight


@pytest.mark.parametrize("left_out", [0, 1, 200])
def test_rows_that_chose_certify_nothing_in_any_order_and_number(problem, left_out):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8))
    rows = np.random.default_rng(0).permutation(len(selection[0]))[left_out:]
    with pytest.raises(InvalidInputError, match="calibration_data must be new to the model, got .* of the train data"):
        result.certify(as_data(selection[0][rows], selection[1][rows]))
    # The positives decide, and most of them are known, however many new negatives stand beside them.
    positives, negatives = selection[1] == 1, calibration[1] == 0
    mixed = [np.concatenate([old[positives], new[negatives]]) for old, new in zip(selection, calibration, strict=True)]
    num_positives = int(positives.sum())
    with pytest.raises(InvalidInputError, match=f"{num_positives} of {num_positives} positives with the very score"):
        result.certify(as_data(*mixed))
    assert result.certify(as_data(*calibration)).is_certified


def test_a_part_of_rows_that_chose_is_a_warning(problem):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8))
    mixed = [np.concatenate([old[:300], new[:700]]) for old, new in zip(selection, calibration, strict=True)]
    num_positives, of = int(selection[1][:300].sum()), int(mixed[1].sum())
    with pytest.warns(UserWarning, match="leave them out") as warned:
        assert result.certify(as_data(*mixed)).confidence == 0.9
    texts = [str(each.message) for each in warned]
    assert f"{num_positives} of {of} positives with the very score of one of the train data" in texts[0]
    assert all(each.filename == __file__ for each in warned)


@pytest.mark.parametrize("few", [5, 30])
def test_few_distinct_scores_raise_no_alarm_unless_the_data_are_the_same(few):
    """A model on a few categories: new rows share their scores with known ones, and with each other."""
    values, chance = np.linspace(-2, 4, few), np.linspace(0.01, 0.95, few)

    def draw(seed, num_rows):
        random = np.random.default_rng(seed)
        category = random.integers(0, few, num_rows)
        return values[category], (random.random(num_rows) < chance[category]).astype(np.float64)

    selection = draw(0, 1500)
    result = result_of(*selection, FPOR(0.7))
    for seed in range(1, 6):
        assert result.certify(as_data(*draw(seed, 1500))).is_certified
    if few > 10:
        with pytest.raises(InvalidInputError, match="as their equal scores tell"):
            result.certify(as_data(selection[0][5:], selection[1][5:]))


@pytest.mark.parametrize("as_loader", [False, True])
def test_repeated_rows_certify_nothing(problem, as_loader):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8), model=First())
    few = np.arange(150)
    rows = np.repeat(few, 10)
    repeats = numbered(rows, *(part[rows] for part in calibration))
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*repeats), 64) if as_loader else repeats
    with pytest.raises(InvalidInputError, match=r"different samples, got every one of \d+ positives 10 times"):
        result.certify(data)
    with pytest.raises(InvalidInputError, match=r"\d+ of \d+ positives with the inputs of another one"):
        some = np.concatenate([np.arange(1000), np.arange(200)])
        result.certify(numbered(some, *(part[some] for part in calibration)))
    with pytest.raises(InvalidInputError, match="with the inputs of another one"):
        result.certify(numbered(np.zeros(300), *(np.repeat(part[:1], 300) for part in calibration)))
    # Counted once, they are as good as the rows themselves.
    once = result.certify(numbered(few, *(part[:150] for part in calibration)))
    grouped = result.certify(repeats, groups=rows)
    assert (grouped.num_right, grouped.num_units) == (once.num_right, once.num_units) and grouped.num_groups == 150


def test_equal_scores_of_different_inputs_are_different_samples(problem):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8), model=First())
    rows = np.repeat(np.arange(150), 2)
    twins = numbered(np.arange(300), *(part[rows] for part in calibration))
    assert result.certify(twins).num_groups is None


def test_without_inputs_to_compare_scores_tell_what_is_repeated(problem):
    selection, calibration = problem

    class Rows(torch.utils.data.Dataset):
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, row):
            return float(calibration[0][self.rows[row]]), float(calibration[1][self.rows[row]])

    class Opaque(Scores):
        def forward(self, box):
            return box.scores * self.weight

    class Box:
        def __init__(self, items):
            self.scores = torch.tensor([score for score, _ in items])[:, None]

    def collate(items):
        return Box(items), torch.tensor([label for _, label in items])

    result = result_of(*selection, FPOR(0.8), model=Opaque())
    for rows, passes in ((np.arange(600), True), (np.random.default_rng(0).integers(0, 150, 1500), False)):
        loader = torch.utils.data.DataLoader(Rows(rows), 50, collate_fn=collate)
        if passes:
            assert result.certify(loader).is_certified
        else:
            with pytest.raises(InvalidInputError, match="with the scores of another one"):
                result.certify(loader)


def test_groups_count_once_and_the_guarantee_says_so(problem):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8))
    patients = np.arange(2000) // 4
    certificate = result.certify(as_data(*calibration), groups=[f"patient {number}" for number in patients])
    assert certificate.num_groups == 500 and certificate.num_units < 150
    assert "for a random row of each group (500 groups)" in certificate.guarantee or not certificate.is_certified
    alone = result.certify(as_data(*calibration), groups=np.arange(2000))
    assert alone.threshold == result.certify(as_data(*calibration)).threshold
    read = LabelCertificate.from_dict(certificate[0].to_dict())
    assert read == certificate[0] or np.isnan(read.threshold)
    old = {name: value for name, value in certificate[0].to_dict().items() if name != "num_groups"}
    assert LabelCertificate.from_dict(old).num_groups is None


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        (np.arange(7), r"groups must be one value a row \(2000\), got 7 values"),
        ([None, *range(1999)], "groups must be given for every row, got None in row 0"),
        (3, r"groups must be one value a row \(2000\), got 3"),
        ("patient", r"groups must be one value a row \(2000\), got 7 values"),
    ],
)
def test_bad_groups(problem, groups, why):
    selection, calibration = problem
    result = result_of(*selection, FPOR(0.8))
    with pytest.raises(InvalidInputError, match=why):
        result.certify(as_data(*calibration), groups=groups)
    assert result.certify(as_data(*calibration), groups=np.arange(2000)).is_certified


def test_with_folds_the_rows_that_trained_are_found_and_new_ones_pass(tmp_path):
    random = np.random.default_rng(0)

    def draw(num_rows):
        labels = (random.random(num_rows) < 0.3).astype(np.float32)
        features = random.normal(size=(num_rows, 3)).astype(np.float32) + 1.5 * labels[:, np.newaxis]
        return torch.from_numpy(features), torch.from_numpy(labels)

    train, new = draw(600), draw(600)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*train), 100, shuffle=True)
    result = fit(torch.nn.Linear(3, 1), loader, "FPOR", alpha=0.7, folds=3, epochs=4, progress=False)
    result.save(tmp_path / "saved")
    for one in (result, metricopt.load(tmp_path / "saved", torch.nn.Linear(3, 1))):
        assert one.data_scores["validation"].data == "out-of-fold"
        with pytest.raises(InvalidInputError, match="with the very score of one of the train data"):
            one.certify((train[0][1:], train[1][1:]))
        assert one.certify(new).confidence == 0.9
