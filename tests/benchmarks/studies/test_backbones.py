"""``python -m benchmarks backbones``: rows that are put together right, and a budget that can be missed."""

import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks.reporting import files as results
from benchmarks.studies import backbones


def row(network, name, ratio, parameters=100):
    return {
        "network": network,
        "row": name,
        "parameters": parameters,
        "macs_paper": 3_000_000_000,
        "macs_torch": 2_841_167_872,
        "latency_ms": 40 * ratio,
        "latency_ratio": ratio,
        "ratio_lower_quartile": ratio,
        "ratio_upper_quartile": ratio,
    }


def rows_with(ttl_ratio):
    return [
        *(row("resnet50", name, ratio) for name, ratio in (("FTL", 1.0), ("TF", 0.8), ("TTL-1", 0.75))),
        row("resnet50", "TTL-2", ttl_ratio, parameters=25),
        row("densenet121", "whole", 1.0),
        {"network": "resnet50", "row": "LWFT, frozen up to stem", "trainable": 23},
    ]


@pytest.fixture
def run(tmp_path, monkeypatch):
    def run(ttl_ratio, *arguments):
        monkeypatch.setattr(results, "RESULTS", tmp_path)
        monkeypatch.setattr(backbones, "run", lambda repeats, threads: rows_with(ttl_ratio))
        return CliRunner().invoke(command.app, ["backbones", *arguments])

    return run


def test_page_has_rows_of_the_paper_with_what_is_measured(run, tmp_path):
    outcome = run(0.7)
    assert outcome.exit_code == 0, outcome.output
    page = (tmp_path / "backbones.md").read_text()
    measured = "| 3000000000 | 2.8412 G |"
    assert f"| LWFT-1 | 100 {measured} 40.000 | 1.000 | 1.000 | 1.000 | 0.848 | 0.861 | 76.900 |" in page
    assert f"| TF-2 | 100 {measured} 32.000 | 0.800 | 0.800 | 0.800 | 0.856 | 0.863 | 72.700 |" in page
    assert f"| densenet121, whole | 100 {measured} 40.000" in page and "| LWFT, frozen up to stem | 23 |" in page
    assert "published AUROC | published AUPRC | published ms" in page
    assert "TTL-2 has 0.250 of FTL's parameters" in page and "60 rounds, 30 for DenseNets, with 1 thread;" in page


def test_a_ratio_above_the_budget_fails(run):
    assert run(0.73, "--quick").exit_code == 1
    assert run(0.72, "--quick").exit_code == 0


def test_networks_are_timed_in_their_table():
    networks = {name: network for name, network in backbones.resnets().items() if name.startswith("TTL")}
    costs = backbones.costs(networks, repeats=2, threads=1)
    assert {name: cost["parameters"] for name, cost in costs.items()} == {"TTL-1": 8_545_346, "TTL-2": 6_310_978}
    assert costs["TTL-1"]["latency_ratio"] == 1 and costs["TTL-2"]["latency_ms"] > 0
