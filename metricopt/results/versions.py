"""The versions that a result keeps of what it was made with.

Each is looked up once, because the metadata of installed packages are files, which must be found and parsed.
"""

import platform
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions, version

_version_of = cache(version)


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of Python and of each installed package, by name.

    Examples
    --------
    >>> list(versions_of(["metricopt", "torch"]))
    ['python', 'metricopt', 'torch']
    """
    return {"python": platform.python_version(), **{name: _version_of(name) for name in packages}}


@cache
def package_of(module: str) -> str | None:
    """Return the installed package that has a module of the first level, None if it is of no package.

    Examples
    --------
    >>> package_of("sklearn"), package_of("own_script")
    ('scikit-learn', None)
    """
    return next(iter(packages_distributions().get(module, ())), None)
