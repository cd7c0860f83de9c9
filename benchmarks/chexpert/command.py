"""``python -m benchmarks chexpert``: what a user asks for, checked before anything is trained."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.console import Console

from benchmarks.chexpert.cells import cells_of
from benchmarks.chexpert.methods import METHODS, obstacle
from benchmarks.chexpert.report import write_report
from benchmarks.chexpert.request import Request
from benchmarks.packages import IMAGES, require
from benchmarks.reporting.files import RUNS
from benchmarks.running import runner
from benchmarks.suites.command import run_suite
from metricopt._validation import InvalidInputError, check_choice, reject
from metricopt.backbones import count_macs, count_parameters, cpu_latencies
from metricopt.data import CHEXPERT_LABELS, check_images, write_synthetic_chexpert

SYNTHETIC_PATIENTS = 300


def compare(
    root: Annotated[str, typer.Option(help="The folder CheXpert-v1.0 or CheXpert-v1.0-small.")] = "",
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Drawn images instead, made on the spot.")] = False,
    labels: Annotated[str, typer.Option(help="Findings, separated by commas.")] = "Edema,Cardiomegaly",
    objective: Annotated[str, typer.Option(help="FPOR, FROP, OFBS or OAP.")] = "FPOR",
    alpha: Annotated[str, typer.Option(help="The bound: a number, or 'Edema=.6,Pneumonia=.3'.")] = "0.6",
    backbone: Annotated[
        str, typer.Option(help="resnet18 ... densenet201, inception_v3, mobilenet_v2, efficientnet_lite0.")
    ] = "resnet18",
    cut: Annotated[str, typer.Option(help="The last unit that is kept, e.g. layer3.3; '' for the whole.")] = "layer2.1",
    weights: Annotated[str, typer.Option(help="'imagenet', a file, or '' for random ones.")] = "",
    methods: Annotated[str, typer.Option(help=f"Of {', '.join(METHODS)}.")] = "profiled,cross_entropy,focal",
    policy: Annotated[str, typer.Option(help="ignore, zeros, ones or self_trained; '' for the common mix.")] = "",
    view: Annotated[str, typer.Option(help="frontal, lateral or both.")] = "frontal",
    image_size: Annotated[int, typer.Option(min=16, help="Pixels.")] = 64,
    epochs: Annotated[int, typer.Option(min=1)] = 8,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(min=1e-9, help="Of Adam; 1e-4 is usual with given weights.")] = 1e-3,
    seeds: Annotated[int, typer.Option(min=1, help="Splits by patients.")] = 2,
    check: Annotated[
        bool, typer.Option("--check", help="Decode all images first, report damaged ones, and stop.")
    ] = False,
    label_context: Annotated[
        bool, typer.Option("--label-context", help="The real task without images: the suite label_context.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the report and the pictures.")] = RUNS / "chexpert",
    processes: Annotated[int, typer.Option(min=1, help="The number of processes that do the work.")] = 2,
) -> None:
    """Compare methods on chest X-rays; killed, the same command goes on where it was."""
    console, shown = Console(), Console(stderr=True)
    if label_context:
        run_suite("label_context", processes=processes)
        return
    require("python -m benchmarks chexpert", IMAGES)
    try:
        names = tuple(name.strip() for name in labels.split(",") if name.strip())
        for name in names:
            check_choice("labels", name, CHEXPERT_LABELS)
        wanted = tuple(name.strip() for name in methods.split(",") if name.strip())
        for name in wanted:
            check_choice("methods", name, METHODS)
        if bool(root) == synthetic:
            reject("--root", "given, or --synthetic", f"{root!r}", "say where the images are, or have some drawn")
        folder = root
        if synthetic:
            drawn = write_synthetic_chexpert(
                RUNS / f"synthetic-{image_size}px", num_patients=SYNTHETIC_PATIENTS, image_size=image_size
            )
            folder = str(drawn)
        bounds = _bounds(alpha, names) if objective.upper() not in ("OFBS", "OAP") else ()
        request = Request(
            folder,
            names,
            objective.upper(),
            bounds,
            backbone,
            cut,
            weights,
            policy,
            view,
            image_size,
            epochs,
            batch_size,
            learning_rate,
        )
        request.make_objective()
        table = request.read_table()
        checked = check_images(table, decode=check)
        checked.raise_if_any()
        if check:
            console.print(f"All of {len(table)} images are there and whole.")
            return
        skipped = {name: obstacle(name, len(names)) for name in wanted if obstacle(name, len(names))}
        network = _network(request)
        request.split(table, seed=0)
    except InvalidInputError as error:
        shown.print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    cells = cells_of(request, tuple(name for name in wanted if name not in skipped), seeds)
    file = out / f"cells-{zlib.crc32(json.dumps(repr(request)).encode()):08x}.jsonl"
    failed = runner.run("chexpert", cells, file, processes, shown)
    rows = runner.rows_of(cells, file)
    if not rows:
        shown.print("no cell was finished", style="red")
        raise typer.Exit(1)
    kind = "Synthetic chest X-rays (drawings, not patients)" if table.is_synthetic else "CheXpert"
    reached = f"{kind}: {backbone}{f' up to {cut}' if cut else ''}, {weights or 'random'} weights"
    command = "python -m benchmarks chexpert " + ("--synthetic" if synthetic else "--root CheXpert-v1.0-small")
    options = {
        **{
            "labels": f'"{labels}"',
            "objective": objective,
            "alpha": f'"{alpha}"',
            "backbone": backbone,
            "cut": f'"{cut}"',
        },
        **{"methods": methods, "view": view, "image-size": image_size, "epochs": epochs, "batch-size": batch_size},
        **{"learning-rate": learning_rate, "seeds": seeds},
        **({"weights": weights} if weights else {}),
        **({"policy": policy} if policy else {}),
    }
    page = write_report(
        pd.DataFrame(rows),
        out / "report.md",
        title=reached,
        command=" ".join([command, *(f"--{name} {value}" for name, value in options.items())]),
        network=network,
        skipped=skipped,
        failed=failed,
    )
    console.print(f"Written to {page}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _bounds(alpha: str, names: tuple[str, ...]) -> tuple[float, ...]:
    """Return a bound a label."""
    given: dict[str, float] = {}
    for part in alpha.split(","):
        name, _, value = part.rpartition("=")
        try:
            given[name.strip()] = float(value)
        except ValueError:
            reject("alpha", "a number, or 'Label=number' for every label", repr(alpha), "give e.g. 0.6")
    if set(given) == {""}:
        return (given[""],) * len(names)
    for name in given:
        check_choice("alpha", name, names)
    missing = [name for name in names if name not in given]
    if missing:
        reject("alpha", "given for every label", f"none for {', '.join(missing)}", "add e.g. 'Edema=.6'")
    return tuple(given[name] for name in names)


def _network(request: Request) -> pd.DataFrame:
    """Return size and speed of the network, and of the whole one that it was cut from, timed in turns."""
    models: dict[str, Any] = {request.backbone: request.make_model(0, is_whole=True)}
    if request.cut:
        models[f"{request.backbone} up to {request.cut}"] = request.make_model(0)
    times = cpu_latencies(models, request.image_size)
    lines = {}
    for name, model in models.items():
        macs = count_macs(model, request.image_size)
        lines[name] = {
            "parameters": f"{count_parameters(model):,}",
            "MACs, paper's counter": f"{macs.paper:,}",
            "MACs, torch": f"{macs.torch:,}",
            "CPU ms an image": float(np.median(times[name])),
        }
    return pd.DataFrame.from_dict(lines, orient="index")
