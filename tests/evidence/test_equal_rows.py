import numpy as np
import pytest

from metricopt.evidence.equal_rows import copies_of_each, fraction_alike, number_scores, repeated, seen_before

DRAWS = {
    "normal": lambda random, size: random.normal(size=size),
    "grid": lambda random, size: random.normal(size=size).round(2),
    "fine grid": lambda random, size: random.normal(size=size).round(3),
    "saturated": lambda random, size: np.where(random.random(size) < 0.6, 17.0, random.normal(size=size)),
    "32 values": lambda random, size: random.integers(0, 32, size) ** 1.5,
    "5 values": lambda random, size: random.integers(0, 5, size) ** 1.5,
    "heavy tail": lambda random, size: random.zipf(1.5, size).astype(float),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize(("num_new", "num_known"), [(20, 300), (300, 300), (2000, 300), (300, 2000)])
def test_new_rows_are_no_known_ones_and_ties_no_repetition(kind, num_new, num_known):
    for seed in range(5):
        random = np.random.default_rng(seed)
        known, new = (DRAWS[kind](random, size).astype(np.float32) for size in (num_known, num_new))
        assert seen_before(new, known).fraction == 0 == fraction_alike(new, known)
        assert repeated(new, known).fraction == 0 and copies_of_each(number_scores(new)) == 1


@pytest.mark.parametrize("away", [0.6, 1.5])
def test_new_rows_from_elsewhere_are_no_known_ones(away):
    random = np.random.default_rng(0)
    known, new = random.normal(size=1000).round(2), (away * random.normal(size=1000)).round(2)
    assert seen_before(new, known).fraction == 0 == fraction_alike(new, known)
    assert repeated(new, known).fraction == 0


@pytest.mark.parametrize(
    ("kind", "known_part"),
    [*((kind, part) for kind in ("normal", "saturated") for part in (0.4, 0.7, 1.0)), ("fine grid", 1.0)],
)
def test_known_rows_are_found_by_fraction_whatever_rounding_did_to_them(kind, known_part):
    random = np.random.default_rng(1)
    known = DRAWS[kind](random, 500).astype(np.float32)
    again = random.permutation(known)[: int(500 * known_part)] * np.float32(1 + 2e-7)
    new = np.concatenate([again, DRAWS[kind](random, 500 - len(again)).astype(np.float32)])
    assert seen_before(new, known).fraction == pytest.approx(known_part, abs=0.15)


def test_known_rows_are_found_that_were_repeated_to_balance_the_classes():
    known = np.random.default_rng(2).normal(size=50)
    assert seen_before(known[:40], np.repeat(known, 10)).fraction > 0.9


@pytest.mark.parametrize(("num_values", "left_out"), [(5, 0), (32, 1), (32, 100)])
def test_known_rows_of_few_scores_are_found_by_how_alike_their_numbers_are(num_values, left_out):
    random = np.random.default_rng(3)
    known = random.integers(0, max(num_values, 12), 1000) ** 1.5
    assert seen_before(known[left_out:], known).fraction == 0
    assert fraction_alike(random.permutation(known)[left_out:], known) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("how", ["ten times", "drawn from 150", "a tenth twice", "one row"])
def test_repeated_rows_are_found(how):
    random = np.random.default_rng(4)
    known = random.normal(size=1000)
    rows = {
        "ten times": np.repeat(np.arange(150), 10),
        "drawn from 150": random.integers(0, 150, 1500),
        "a tenth twice": np.concatenate([np.arange(1000), np.arange(100)]),
        "one row": np.zeros(200, dtype=int),
    }[how]
    for source in (random.normal(size=1000), known):  # new rows, and known ones
        scores = source[rows]
        assert repeated(scores, known).fraction > 0.1
        assert repeated(scores, known, np.arange(len(rows))).fraction == 0  # their inputs differ


def test_rows_of_few_scores_are_found_if_all_are_repeated():
    values = np.random.default_rng(5).integers(0, 32, 300) ** 1.5
    assert copies_of_each(number_scores(np.tile(values, 3))) == 3
    assert copies_of_each(number_scores(values)) == 1
    assert copies_of_each(np.repeat(np.arange(5), 4)) == 1  # five numbers are divisible by chance


def test_scores_are_equal_up_to_rounding_on_any_scale():
    scores = np.random.default_rng(6).permutation(np.arange(100.0))
    for scale, shift in ((1, 0), (1e-8, 0), (1e6, 1e8)):
        moved = (scale * scores + shift) * (1 + 1e-8 * np.cos(scores))
        assert (number_scores(np.concatenate([scale * scores + shift, moved])) == np.tile(scores, 2)).all()


@pytest.mark.parametrize("num_new", [0, 1])
@pytest.mark.parametrize("num_known", [0, 1])
def test_a_row_or_none_tells_nothing(num_new, num_known):
    new, known = np.zeros(num_new), np.zeros(num_known)
    assert seen_before(new, known).fraction == 0 == fraction_alike(new, known)
    assert repeated(new, known).fraction == 0 and copies_of_each(number_scores(new)) == 1
