"""Where the files of an installed package lie; the package itself is never imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from benchmarks.packages import DATA, DEBIAN, install_command


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
        raise _not_there(package, f"{package}=={DATA[package]}")
    return Path(str(found.locate()))


def debian_file(package: str, path: str) -> Path:
    """Return where a file of a package of Debian lies; parameters and error as for :func:`installed_file`."""
    file = DEBIAN[package] / path
    if not file.is_file():
        raise _not_there(package, f"Debian's {package}")
    return file


def _not_there(package: str, release: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"this data set lies in {release}, which is not installed; "
        f"run {install_command([package])} (only its files are read)",
        name=package.replace("-", "_"),
    )
