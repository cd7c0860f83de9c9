"""The command that ranks where a pretrained network can be cut: `metricopt rank-cuts`.

This file decides its arguments and what it prints and writes. The scores are in :mod:`metricopt.transfer`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from metricopt.cli.running import Overwrite, bad_input, claim
from metricopt.data import read_table
from metricopt.data.image_table import ImageTable


def rank_cuts_command(
    table: Annotated[Path, typer.Argument(help="A .csv, .tsv or .parquet file that lists image files.")],
    label: Annotated[str, typer.Option(help="The column with the class to learn. Rows without a class are left out.")],
    out: Annotated[Path, typer.Option(help="Folder for ranking.csv, agreement.csv and ranking.png.")],
    image: Annotated[str, typer.Option(help="The column with the files.")] = "path",
    root: Annotated[
        Path | None, typer.Option(help="The folder that the files are relative to. The default is that of the table.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="The network that is cut, e.g. resnet50.")] = "efficientnet_lite0",
    weights: Annotated[str, typer.Option(help="imagenet, or a file of weights. Nothing is downloaded.")] = "imagenet",
    image_size: Annotated[int, typer.Option(min=32, help="Side of the squares that images are squeezed into.")] = 224,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 32,
    overwrite: Overwrite = False,
) -> None:
    """Rank the places where a pretrained network can be cut for a task, without training, by their mean rank.

    For example: metricopt rank-cuts images.csv --label finding --backbone efficientnet_lite0 --out runs/cuts
    """
    from torch.utils.data import DataLoader

    from metricopt.backbones import load_backbone
    from metricopt.transfer import TransferWarning, rank_cuts

    with bad_input(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TransferWarning)
        model = load_backbone(backbone, weights)
        rows = read_table(table)
        images = ImageTable(
            rows, image, label, table.parent if root is None else root, image_size, *model.normalisation
        )
        claim(out, overwrite)
        ranking = rank_cuts(model, DataLoader(images, batch_size=batch_size))
        ranking.to_frame().to_csv(out / "ranking.csv", index=False)
        ranking.agreement().to_csv(out / "agreement.csv")
        picture: Any = ranking.plot(title=f"{backbone}: where to cut it for {label}").figure
        picture.savefig(out / "ranking.png", dpi=150)
    console = Console(highlight=False)
    counts = zip(ranking.class_counts.values(), images.classes, strict=True)
    shown = ", ".join(f"{number} {escape(name)}" for number, name in counts)
    console.print(f"[bold]{escape(backbone)}[/] on {len(images)} images: {shown}")
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("cut", "parameters", *ranking.score_names):
        grid.add_column(name, justify="left" if name == "cut" else "right")
    for each in ranking.candidates:
        cells = [f"{value:.4f}" for value in each.scores.values()]
        grid.add_row(each.name, f"{each.parameters:,}", *cells, style="bold" if each == ranking.best() else "")
    console.print(grid)
    firsts = ", ".join(f"{name} {ranking.best(name).name}" for name in ranking.score_names)
    console.print(f"Best by mean rank: [bold]{ranking.best().name}[/] ({firsts})")
    for warning in caught:
        console.print(f"[yellow]Note:[/] {escape(str(warning.message))}", soft_wrap=True)
    console.print(f"Written: {escape(str(out))}: ranking.csv, agreement.csv, ranking.png", soft_wrap=True)
