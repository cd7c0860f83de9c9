"""Posts are read from files made up here; no package need be installed."""

import numpy as np
import pytest

from benchmarks.data import newsgroups
from benchmarks.data.newsgroups import load_posts, load_topic, read_posts

HEADER = "Category\tText\nd\tstring\nclass\t\n\n"


@pytest.fixture
def posts(tmp_path, monkeypatch):
    """Twelve earlier and eight later posts, a quarter of them medical; an encoder that counts letters."""
    for part, number in (("train", 12), ("test", 8)):
        lines = [f"{'sci.med' if n % 4 == 0 else 'rec.autos'}\t{part} {'x' * n}\n" for n in range(number)]
        (tmp_path / f"20newsgroups-{part}.tab").write_text(HEADER + "".join(lines))
    monkeypatch.setattr(newsgroups, "installed_file", lambda package, path: tmp_path / path.rpartition("/")[2])
    monkeypatch.setattr(newsgroups, "NUM_EARLIER", 12)
    monkeypatch.setattr(newsgroups, "NUM_LATER", 8)
    lengths = {"lengths": lambda texts: np.array([[len(text)] for text in texts], dtype=np.float32)}
    monkeypatch.setattr(newsgroups, "ENCODERS", lengths)
    newsgroups._drawn.cache_clear()
    yield tmp_path
    newsgroups._drawn.cache_clear()


def test_topics_and_texts_as_they_stand(posts):
    read = read_posts(posts / "20newsgroups-train.tab")
    assert len(read) == 12
    assert read[:2] == [("sci.med", "train "), ("rec.autos", "train x")]


def test_one_topic_against_the_others_with_the_later_posts_apart(posts):
    data = load_posts("x", topic="sci.med", encoder="lengths")
    np.testing.assert_array_equal(data.labels, [1, 0, 0, 0] * 5)
    np.testing.assert_array_equal(data.later, [False] * 12 + [True] * 8)
    np.testing.assert_array_equal(data.features[:, 0], [6 + n for n in range(12)] + [5 + n for n in range(8)])


def test_each_part_is_thinned_to_the_prevalence(posts):
    data = load_posts("x", topic="sci.med", encoder="lengths", prevalence=0.1)
    assert (data.labels[~data.later].sum(), data.labels[data.later].sum()) == (1, 1)
    assert ((data.labels == 0) & ~data.later).sum() == 9  # negatives are all kept


def test_fewer_posts_are_drawn_where_asked(posts, monkeypatch):
    monkeypatch.setattr(newsgroups, "NUM_EARLIER", 5)
    data = load_posts("x", topic="sci.med", encoder="lengths")
    assert (~data.later).sum() == 5 and data.later.sum() == 8
    assert (np.diff(data.features[:5, 0]) > 0).all()  # in the order of the file, none twice


def test_all_posts_are_kept_of_a_topic_among_all_and_the_first_features(posts, monkeypatch):
    monkeypatch.setattr(newsgroups, "NUM_EARLIER", 5)  # of the other sets alone
    monkeypatch.setattr(newsgroups, "NUM_COMPACT", 2)
    monkeypatch.setattr(newsgroups, "word_vectors", lambda texts: np.array([[len(text), 1, 2] for text in texts]))
    data = load_topic("rec.autos")
    np.testing.assert_array_equal(data.labels, [0, 1, 1, 1] * 5)
    np.testing.assert_array_equal(data.later, [False] * 12 + [True] * 8)
    assert data.features.shape == (20, 2) and data.features[4, 0] == len("train xxxx")
