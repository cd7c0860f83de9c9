"""Sphinx: guide pages in Markdown, the reference from the docstrings, notebooks as they were committed.

Sphinx and not a Markdown generator because the docstrings are numpydoc with formulas and references. ``make docs`` is
strict: every warning is an error, also a reference to something that does not exist.
"""

import importlib
import inspect
import pkgutil
from importlib.metadata import version as version_of

import metricopt

project = "metricopt"
author = "the metricopt authors"
version = release = version_of("metricopt")

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.mathjax"]
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = "metricopt"
html_copy_source = False
nitpicky = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the sections on parameters say types and shapes
numpydoc_show_class_members = False
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"

PACKAGES = [
    "metricopt",
    *(found.name for found in pkgutil.iter_modules(metricopt.__path__, "metricopt.") if found.ispkg),
]
autosummary_context = {
    "public_names": {name: getattr(importlib.import_module(name), "__all__", []) for name in PACKAGES}
}


def lookup(name):
    """Return the object of a dotted name and the class that it belongs to; AttributeError if there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        owner = None
        for part in parts[length:]:
            owner, found = found, getattr(found, part, None) if part in dir(found) else _field(found, part)
        return found, owner
    raise AttributeError(name)


def _field(owner, name):
    """Return None for an attribute that instances get, AttributeError if there is none."""
    if inspect.isclass(owner) and (f"self.{name}" in inspect.getsource(owner) or name in owner.__annotations__):
        return None
    raise AttributeError(name)


def resolve(app, env, node, contnode):
    """Link a name to where it is documented, if it is re-exported or inherited; leave names of others as plain text.

    What is documented under the name of its module is found by Sphinx itself. A name that does not exist stays a fault.
    """
    target, scope = node["reftarget"], [node.get("py:module"), node.get("py:class")]
    prefixes = [".".join(filter(None, scope)), scope[0], None, "torch.nn"]  # the last for what torch's docstrings say
    for prefix in dict.fromkeys(prefixes):
        try:
            found, _ = lookup(f"{prefix}.{target}" if prefix else target)
        except (AttributeError, ValueError):
            continue
        home = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
        domain = env.domains["py"]
        if home != target and home in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, contnode)
        return contnode
    return None


def setup(app):
    """Register the above."""
    app.connect("missing-reference", resolve)
