"""Where the files of an installed package lie; the package itself is never imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from benchmarks.packages import DATA, install_command


def installed_file(package: str, path: str) -> Path:
    """Return where a file of an installed package lies.

    Parameters
    ----------
    package : str
        Name of the distribution.
    path : str
        The file's path in it, with forward slashes.

    Raises
    ------
    ModuleNotFoundError
        When the package is not installed, or a release without that file; the message tells how to install it.
    """
    try:
        paths = files(package) or []
    except PackageNotFoundError:
        paths = []
    found = next((each for each in paths if each.as_posix() == path), None)
    if found is None:
        raise ModuleNotFoundError(
            f"this data set lies in {package}=={DATA[package]}, which is not installed; "
            f"run {install_command([package])} (only its files are read)",
            name=package.replace("-", "_"),
        )
    return Path(str(found.locate()))
