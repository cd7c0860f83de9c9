"""The examples in the README run as they stand, one after the other."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, in_scikit_learn, frontier = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(first, names)
    printed = capsys.readouterr().out
    assert "Asked     maximise recall subject to precision >= 0.9" in printed
    assert names["result"].status == "feasible"
    assert names["result"].validation.precision >= 0.9
    exec(in_scikit_learn, names)
    assert names["model"][-1].result_.status == "feasible"
    assert 0 < names["alarms"].sum() < len(names["alarms"]) / 10
    exec(frontier.replace("alphas=", "epochs=20, num_workers=1, alphas="), names)
    assert Path("frontier.png").stat().st_size > 10_000
    assert "cross-entropy" in capsys.readouterr().out


def test_links_and_pictures_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
