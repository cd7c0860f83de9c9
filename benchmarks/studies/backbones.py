"""What transferred and truncated networks cost: parameters, multiply-accumulates, CPU latency, and what was published.

Weights do not matter for any of these, so they are random. This file decides the rows; all counting and timing is
:mod:`metricopt.backbones`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from torch import nn

from benchmarks.packages import TORCHVISION
from benchmarks.studies.study import Quick, console, finish
from metricopt.backbones import (
    Backbone,
    count_macs,
    count_parameters,
    cpu_latencies,
    freeze,
    load_backbone,
    transfuse,
    truncate,
)

NEEDS: tuple[str, ...] = (TORCHVISION,)
LARGEST_LATENCY_RATIO = 0.72
IMAGE_SIZE = 224
NUM_OUTPUTS = 2
# Of Peng et al. (2023): a row's network, AUROC, AUPRC and milliseconds on their CPU. Quoted, not run.
PUBLISHED = {
    "FTL": ("FTL", 0.849, 0.857, 79.6),
    "LWFT-1": ("FTL", 0.848, 0.861, 76.9),
    "LWFT-2": ("FTL", 0.853, 0.861, 79.7),
    "TF-1": ("TF", 0.856, 0.863, 67.0),
    "TF-2": ("TF", 0.856, 0.863, 72.7),
    "TTL-1": ("TTL-1", 0.851, 0.860, 59.7),
    "TTL-2": ("TTL-2", 0.861, 0.871, 53.1),
}
FROZEN_BLOCKS = ("stem", "layer1", "layer2", "layer3")


def resnets() -> dict[str, Backbone]:
    """Return the networks of the paper's table by name; LWFT is FTL's network with a frozen bottom."""
    whole = load_backbone("resnet50")
    return {
        "FTL": truncate(whole, num_outputs=NUM_OUTPUTS),
        "TF": transfuse(whole, "layer3", num_outputs=NUM_OUTPUTS),
        "TTL-1": truncate(whole, "layer3.5", NUM_OUTPUTS),
        "TTL-2": truncate(whole, "layer3.3", NUM_OUTPUTS),
    }


def densenets() -> dict[str, dict[str, Backbone]]:
    """Return DenseNets by name, whole first, then cut after their transitions."""
    cuts = {"densenet121": (3, 2, 1), "densenet201": (3,)}
    networks = {}
    for name, transitions in cuts.items():
        whole = load_backbone(name)
        truncated = {f"cut after transition {k}": truncate(whole, f"block{k}", NUM_OUTPUTS) for k in transitions}
        networks[name] = {"whole": truncate(whole, num_outputs=NUM_OUTPUTS), **truncated}
    return networks


def costs(networks: Mapping[str, nn.Module], repeats: int, threads: int) -> dict[str, dict[str, Any]]:
    """Count and time networks, in turn; ratios are to the first, medians over the rounds."""
    times = cpu_latencies(networks, IMAGE_SIZE, repeats=repeats, threads=threads)
    reference = next(iter(times.values()))
    rows = {}
    for name, network in networks.items():
        macs, ratios = count_macs(network, IMAGE_SIZE), times[name] / reference
        rows[name] = {
            "parameters": count_parameters(network),
            "macs_paper": macs.paper,
            "macs_torch": macs.torch,
            "latency_ms": round(float(np.median(times[name])), 2),
            "latency_ratio": round(float(np.median(ratios)), 4),
            "ratio_lower_quartile": round(float(np.quantile(ratios, 0.25)), 4),
            "ratio_upper_quartile": round(float(np.quantile(ratios, 0.75)), 4),
        }
    return rows


def run(repeats: int, threads: int) -> list[dict[str, Any]]:
    """Return a row a network, and one for each way of freezing."""
    of_resnets = costs(resnets(), repeats, threads)
    rows: list[dict[str, Any]] = [{"network": "resnet50", "row": name, **cost} for name, cost in of_resnets.items()]
    for name, networks in densenets().items():
        of_densenets = costs(networks, max(repeats // 2, 2), threads)
        rows += [{"network": name, "row": row, **cost} for row, cost in of_densenets.items()]
    whole = truncate(load_backbone("resnet50"), num_outputs=NUM_OUTPUTS)
    for block in FROZEN_BLOCKS:
        trainable = count_parameters(freeze(whole, up_to=block), trainable_only=True)
        rows.append({"network": "resnet50", "row": f"LWFT, frozen up to {block}", "trainable": trainable})
    return rows


def tables(rows: list[dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the page's tables by heading."""
    frame = pd.DataFrame(rows)
    counted = frame[frame["parameters"].notna()].drop(columns="trainable")
    counted = counted.astype({"parameters": int, "macs_paper": int, "macs_torch": int})
    counted["macs_torch"] = [f"{macs / 1e9:.4f} G" for macs in counted["macs_torch"]]
    of_resnets = counted[counted["network"] == "resnet50"].drop(columns="network").set_index("row")
    of_densenets = counted[counted["network"] != "resnet50"].set_index(["network", "row"])
    frozen = frame[frame["trainable"].notna()].set_index("row")[["trainable"]].astype(int)
    columns = ["network", "published AUROC", "published AUPRC", "published ms"]
    published = pd.DataFrame.from_dict(PUBLISHED, orient="index", columns=columns)
    # Rows of the paper that share a network share what is measured here.
    whole = published.join(of_resnets, on="network").drop(columns="network")
    return {
        "ResNet-50, two outputs, one image of 224 pixels": whole[[*of_resnets, *columns[1:]]],
        "ResNet-50, bottom frozen (LWFT): trainable parameters": frozen,
        "DenseNets, two outputs, one image of 224 pixels": of_densenets,
    }


def conclusions(rows: list[dict[str, Any]], repeats: int, threads: int) -> list[str]:
    """Return what the rows say."""
    of_resnets = {row["row"]: row for row in rows if row["network"] == "resnet50"}
    ftl, ttl = of_resnets["FTL"], of_resnets["TTL-2"]
    return [
        f"TTL-2 has {ttl['parameters'] / ftl['parameters']:.3f} of FTL's parameters, "
        f"{ttl['macs_paper'] / ftl['macs_paper']:.3f} of its MACs (the paper's counter) and {ttl['latency_ratio']:.3f} "
        f"of its CPU latency (quartiles {ttl['ratio_lower_quartile']:.3f} to {ttl['ratio_upper_quartile']:.3f}; "
        f"budget {LARGEST_LATENCY_RATIO}).",
        f"Latencies are medians in milliseconds over {repeats} rounds, {max(repeats // 2, 2)} for DenseNets, with "
        f"{threads} thread{'s'[: threads > 1]}; in a round all networks of a table are timed in turn. Ratios are "
        "medians of the rounds' ratios to the first row.",
        "Columns marked as published are quoted from Peng et al. (2023), who used another CPU. Here weights are "
        "random, and nothing is trained.",
    ]


def is_within_budget(rows: list[dict[str, Any]]) -> bool:
    """Tell whether TTL-2 is as much faster than FTL as it has to be."""
    (ttl,) = (row for row in rows if row["row"] == "TTL-2")
    return bool(ttl["latency_ratio"] <= LARGEST_LATENCY_RATIO)


def main(
    quick: Quick = False,
    repeats: Annotated[int, typer.Option(help="How many rounds of timings.", min=1)] = 60,
    threads: Annotated[int, typer.Option(help="Of torch; more than one need cores of their own.", min=1)] = 1,
) -> None:
    """Count and time transferred and truncated networks, beside what was published of them."""
    repeats = 5 if quick else repeats
    rows = run(repeats, threads)
    title = "Truncated and transferred networks: parameters, multiply-accumulates, CPU latency"
    said = conclusions(rows, repeats, threads)
    finish("backbones", title, rows, tables(rows), quick, said)
    console.print(said[0], soft_wrap=True)
    if not is_within_budget(rows):
        raise typer.Exit(1)
