"""``metricopt rank-cuts``: the files it writes agree with the library, and bad input ends with code 2."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from metricopt.backbones import load_backbone
from metricopt.cli.commands import app
from metricopt.data.image_table import ImageTable
from metricopt.transfer import rank_cuts


def run(*arguments):
    outcome = CliRunner().invoke(app, ["rank-cuts", *map(str, arguments)])
    return outcome.exit_code, " ".join(outcome.output.split())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "files").mkdir()
    random = np.random.default_rng(0)
    rows = []
    for number in range(36):
        sick = number % 3 == 0
        pixels = random.integers(0, 256 if sick else 128, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "files" / f"{number}.png")
        rows.append({"path": f"files/{number}.png", "finding": "sick" if sick else "well"})
    rows[-1]["finding"] = None
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)
    torch.save(load_backbone("resnet18", seed=1).state_dict(), folder / "weights.pt")
    return folder / "images.csv"


def options(table, out):
    return [table, "--label", "finding", "--backbone", "resnet18", "--weights", table.parent / "weights.pt",
            "--image-size", 32, "--out", out]  # fmt: skip


@pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")
def test_it_writes_what_the_library_finds(table, tmp_path, drawn):
    code, said = run(*options(table, tmp_path / "cuts"))
    assert code == 0, said
    written = pd.read_csv(tmp_path / "cuts" / "ranking.csv")
    model = load_backbone("resnet18", table.parent / "weights.pt")
    images = ImageTable(pd.read_csv(table), "path", "finding", table.parent, 32, *model.normalisation)
    expected = rank_cuts(model, DataLoader(images, batch_size=32))
    assert written["cut"].tolist() == model.points
    np.testing.assert_allclose(written["log_me"], expected.to_frame()["log_me"], rtol=1e-6)
    assert f"Best by mean rank: {expected.best().name}" in said
    assert "on 35 images: 12 sick, 23 well" in said and "Note: h_score, for" in said
    assert (tmp_path / "cuts" / "ranking.png").read_bytes().startswith(b"\x89PNG")
    agreement = pd.read_csv(tmp_path / "cuts" / "agreement.csv", index_col=0)
    np.testing.assert_allclose(agreement, expected.agreement(), atol=1e-9)
    code, said = run(*options(table, tmp_path / "cuts"))
    assert code == 2 and "out must be a new or empty folder" in said
    assert run(*options(table, tmp_path / "cuts"), "--overwrite")[0] == 0


@pytest.mark.filterwarnings("ignore::metricopt.transfer.TransferWarning")
@pytest.mark.parametrize("word", ["None", "unknown"])
def test_a_word_is_a_class(table, tmp_path, word):
    named = table.parent / f"{word}.csv"
    named.write_text(table.read_text().replace("well", word))
    code, said = run(*options(named, tmp_path / "cuts"))
    assert code == 0 and f"on 35 images: {'23 None, 12 sick' if word == 'None' else '12 sick, 23 unknown'}" in said


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (["--label", "findings"], "label must be one of 'finding', 'path', got 'findings'; did you mean 'finding'?"),
        (["--image", "file"], "image must be one of 'finding', 'path', got 'file'"),
        (["--root", "elsewhere"], "image must be a column of files in elsewhere, got 35 of 35 that do not exist"),
        (["--backbone", "resnet19"], "name must be one of"),
        (["--weights", "nowhere.pt"], "weights must be None, 'imagenet' or the path of a file, got 'nowhere.pt'"),
    ],
)
def test_bad_input(table, tmp_path, wrong, fault):
    code, said = run(*options(table, tmp_path / "cuts"), *wrong)
    assert code == 2 and fault in said
    assert not (tmp_path / "cuts").exists()
