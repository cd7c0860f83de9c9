"""The versions that a result keeps of what it was made with.

Each is looked up once, because the metadata of installed packages are files, which must be found and parsed.
"""

import platform
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import distributions, packages_distributions, version

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
    named = packages_distributions().get(module, ())
    if not named and sys.version_info < (3, 11):  # where wheels that do not name their modules are left out
        named = [
            each.metadata["Name"]
            for each in distributions()
            if any(file.parts[0] in (module, f"{module}.py") for file in each.files or ())
        ]
    return next(iter(named), None)
