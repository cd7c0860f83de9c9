"""A project: the file in which a user says what the server asks for, and what a site has.

It is a Python file with two functions. ``new_server()`` returns a :class:`~metricopt.federated.Server` and is called
where the server runs; ``new_site(name)`` returns a :class:`~metricopt.federated.Site` and is called at the site, where
it may read what only the site has.

This file decides what a project must hold. It leaves running it to :mod:`metricopt.federated.flare`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from metricopt._validation import Faults, InvalidInputError, reject
from metricopt.federated.server import Server
from metricopt.federated.site import Site
from metricopt.training.random_states import seeded


@dataclass(frozen=True)
class Project:
    """The two functions of a project, by the name of its module.

    Attributes
    ----------
    name : str
    make_server : callable ``() -> Server``
    make_site : callable ``(name) -> Site``
    """

    name: str
    make_server: Callable[[], Server]
    make_site: Callable[[str], Site]

    @classmethod
    def imported(cls, name: str) -> Project:
        """Import a project by the name of its module, as a machine does to which its file was sent."""
        return cls._of(name, import_module(name))

    @classmethod
    def at(cls, path: str | Path) -> Project:
        """Read a project from its file.

        Raises
        ------
        InvalidInputError
            If there is no such file, if its name cannot be that of a module or is taken by another one, if its lines
            raise an error, or if it lacks one of the two functions.
        """
        path = Path(path)
        if path.suffix != ".py" or not path.is_file():
            reject("project", "a Python file", repr(str(path)), "give the file with new_server and new_site")
        name = path.stem
        if not name.isidentifier() or name in sys.stdlib_module_names or _is_elsewhere(name, path):
            rule = "a file whose name no other module has, in letters, digits and underscores"
            reject("project", rule, repr(path.name), "rename it, e.g. hospitals.py")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever the user's own lines raise
            del sys.modules[name]
            got = f"{path.name}, which raised {type(error).__name__}: {error}"
            raise InvalidInputError(
                f"project must be a file that can be imported, got {got}; run it by itself to see where"
            ) from error
        return cls._of(name, module)

    @classmethod
    def _of(cls, name: str, module: ModuleType) -> Project:
        server, site = getattr(module, "new_server", None), getattr(module, "new_site", None)
        faults = Faults()
        for function, text, returns in ((server, "new_server()", "Server"), (site, "new_site(name)", "Site")):
            remedy = f"define it; it returns a metricopt.federated.{returns}"
            faults.check(callable(function), "project", f"a module with a function {text}", name, remedy)
        faults.raise_if_any()
        assert callable(server) and callable(site)
        return cls(name, server, site)

    def new_server(self) -> Server:
        """Return the server of the project; its model begins with the same random weights each time."""
        with seeded(0):
            server = self.make_server()
        if not isinstance(server, Server):
            reject("new_server()", "a function that returns a Server", f"a {type(server).__name__}", "return one")
        return server

    def new_site(self, name: str) -> Site:
        """Return the site of a name."""
        site = self.make_site(name)
        if not isinstance(site, Site) or site.name != name:
            got = f"one named {site.name!r}" if isinstance(site, Site) else f"a {type(site).__name__}"
            reject(
                "new_site(name)", f"a function that returns the Site named {name!r}", got, "pass the name on to Site"
            )
        return site


def _is_elsewhere(name: str, path: Path) -> bool:
    """Return whether a module of the name exists that is not the file."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    return found is not None and (found.origin is None or Path(found.origin).resolve() != path.resolve())
