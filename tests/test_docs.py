"""The code of the guide runs as it stands, page by page; `make docs` builds the pages themselves."""

import re
from pathlib import Path

import pytest

import metricopt
from metricopt.problem import registry

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


def code_of(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


SHORTER = {"comparing": ("epochs=20", "epochs=4"), "scikit_learn": ("epochs=50", "epochs=5")}
"""What takes its time on a page, and what the tests run instead."""
PAGES = [page for page in sorted(GUIDE.glob("*.md")) if code_of(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, capsys, small_forests):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "REGISTRY", dict(registry.REGISTRY))
    names, (long, short) = {}, SHORTER.get(page.stem, ("", ""))
    assert long in "".join(code_of(page))
    for block in code_of(page):
        exec(block.replace(long, short) if long else block, names)
    if page.stem == "own_loop":
        assert names["choice"].feasible.all() and names["choice"].value > 0.4
        assert "Report on 'test'\n  sick (1835 samples): recall " in capsys.readouterr().out
    made = {"reading": {"report.html"}, "deploying": {"model", "model.onnx", "boosting"}}
    assert {path.name for path in tmp_path.iterdir()} == made.get(page.stem, set())


def test_pages_with_code_are_found():
    assert {"objectives", "own_loop", "own_model", "several_labels", "reading", "deploying"} <= {
        page.stem for page in PAGES
    }


def test_the_reference_lists_every_public_name():
    text = (GUIDE.parent / "reference.rst").read_text(encoding="utf-8")
    assert set(metricopt.__all__) == set(re.findall(r"metricopt\.(?:_validation\.)?(\w+)$", text, re.MULTILINE))


def test_the_map_of_the_house_names_every_room_and_nothing_else():
    root = GUIDE.parents[1]
    named = set(re.findall(r"`([\w./]+(?:\.py|\.md|\.rst|/))`", (root / "docs" / "contributing.md").read_text()))
    for path in named:
        assert any((folder / path).exists() for folder in (root, root / "metricopt", root / "benchmarks")), path
    for house in ("metricopt", "benchmarks"):
        entries = [entry for entry in (root / house).iterdir() if not entry.name.startswith((".", "__"))]
        rooms = {f"{entry.name}/" for entry in entries if (entry / "__init__.py").exists()}
        rooms |= {entry.name for entry in entries if entry.suffix == ".py"}
        assert rooms <= named, rooms - named


def test_each_yes_beside_other_libraries_names_a_test_that_exists():
    tests = GUIDE.parents[1] / "tests"
    text = (GUIDE / "programs.md").read_text(encoding="utf-8")
    said = [line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| ")]
    named = [re.findall(r"`([\w/]+\.py|test_\w+)`", cell) for cell in said if cell.startswith("yes")]
    sources = "".join(path.read_text(encoding="utf-8") for path in tests.rglob("test_*.py"))
    assert len(named) >= 10 and all(named)
    for name in (name for of_line in named for name in of_line):
        assert (tests / name).exists() if name.endswith(".py") else f"def {name}(" in sources, name
