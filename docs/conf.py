"""Sphinx: guide pages in Markdown, the reference from the docstrings, notebooks as they were committed.

Sphinx and not a Markdown generator because the docstrings are numpydoc with formulas and references. ``make docs`` is
strict: every warning is an error, also a reference to something that does not exist.
"""

import importlib
import inspect
import pkgutil
import re
import shutil
from importlib.metadata import version as version_of
from pathlib import Path

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
html_show_copyright = False
nitpicky = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the sections on parameters say types and shapes
numpydoc_show_class_members = False
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"

packages = [found.name for found in pkgutil.walk_packages(metricopt.__path__, "metricopt.") if found.ispkg]
autosummary_context = {
    "public_names": {name: getattr(importlib.import_module(name), "__all__", []) for name in ("metricopt", *packages)}
}

# Made anew like the reference, and not kept by git: copies of the notebooks, and one page for each file of results.
here = Path(__file__).parent
shutil.rmtree(here / "notebooks", ignore_errors=True)
shutil.copytree(here.parent / "notebooks", here / "notebooks", ignore=shutil.ignore_patterns(".*"))
pages = here / "benchmarks" / "results"
pages.mkdir(parents=True, exist_ok=True)
for old in pages.glob("*.md"):
    old.unlink()
for results in (here.parent / "benchmarks" / "results").glob("*.md"):
    text = f"```{{include}} ../../../benchmarks/results/{results.name}\n:relative-images:\n```\n"
    (pages / results.name).write_text(text, encoding="utf-8")


def lookup(name):
    """Return the object of a dotted name, None for what instances alone have; AttributeError if there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part) if hasattr(found, part) else _field(found, part)
        return found
    raise AttributeError(name)


def _field(owner, name):
    if not (inspect.isclass(owner) and (f"self.{name}" in inspect.getsource(owner) or name in owner.__annotations__)):
        raise AttributeError(name)


def resolve(app, env, node, contnode):
    """Link a name to where it is documented, if it is re-exported or inherited; leave names of others as plain text.

    What is documented under the name of its module is found by Sphinx itself. A name that does not exist stays a fault.
    """
    target, scope = node["reftarget"], [node.get("py:module"), node.get("py:class")]
    # The last two are for names in pages that have no module, and for what torch's docstrings say.
    prefixes = [".".join(filter(None, scope)), scope[0], None, "metricopt", "torch.nn"]
    for prefix in dict.fromkeys(prefixes):
        try:
            found = lookup(f"{prefix}.{target}" if prefix else target)
        except (AttributeError, ValueError):
            continue
        home = f"{getattr(found, '__module__', None)}.{getattr(found, '__qualname__', None)}"
        domain = env.domains["py"]
        if home != target and home in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, contnode)
        return contnode
    return None


def link_copies(app, docname, source):
    """Point links to results and notebooks, which lie outside this folder, to the copies that are made of them here."""
    source[0] = re.sub(r"\]\((?:\.\./)+((?:benchmarks/results|notebooks)/\w+\.(?:md|ipynb))\)", r"](/\1)", source[0])


def skip(app, what, name, found, is_skipped, options):
    """Leave out the methods that scikit-learn makes for each classifier; their text refers to its own pages."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app):
    """Register the above."""
    app.connect("missing-reference", resolve)
    app.connect("source-read", link_copies)
    app.connect("autodoc-skip-member", skip)
