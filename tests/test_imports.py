"""``import metricopt`` stays light, and imports go down the layers of the design, never up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "PIL",
    "accelerate",
    "cooper",
    "mapie",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "ot",
    "pandas",
    "scipy",
    "sklearn",
    "torchvision",
}

# A module may import from its own row and from the rows above it; leaves not from other leaves. A package stands for
# all of its modules, "__init__" for what `from metricopt import ...` offers.
LEAVES = {"backbones", "data", "losses", "networks", "plots"}
LAYERS = [
    {"_torchvision", "_validation"},
    {"_arrays", "processes", "status"},
    {"metrics"},
    {"objectives", "reformulation", "thresholds"},
    {"agreement", "bootstrap", "evaluation", "intervals", "pair_ramps", "progress"},
    LEAVES,
    {
        "optimizers",
        "partition",
        "prevalence",
        "random_states",
        "records",
        "score_memory",
        "scored",
        "scoring",
        "solvers",
        "state",
    },
    {
        "averaging",
        "batches",
        "certificate",
        "certification",
        "checkpoint",
        "export",
        "fingerprint",
        "loss",
        "pictures",
        "report",
        "result",
        "storage",
        "summary",
        "transfer",
    },
    {"loop"},
    {"training"},
    {"estimator", "table_run", "tradeoff"},
    {"__init__"},
    {"__main__", "cli"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ONLY_IN = {
    "cooper": "metricopt/solvers/lagrangian.py",
    "mapie": "metricopt/certification.py",
    "torchvision": "metricopt/_torchvision.py",
}

SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "metricopt").rglob("*.py"))


def imported_modules(source, package):
    """Names in dotted form that a module imports, also inside functions, but not for type checkers alone."""
    names = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child)
            return
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                parent = ".".join([*above, parent]).rstrip(".")
            names.update(f"{parent}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return names


def faults_of(path, source):
    """What a module at this path may not import, in words."""
    parts = Path(path).with_suffix("").parts
    own = parts[1]
    faults = []
    if own not in RANK:
        return [f"{own} is in no layer: give it a place in LAYERS"]
    for name in imported_modules(source, ".".join(parts[:-1])):
        top, *rest = name.split(".")
        if top in {"benchmarks", "tests"}:
            faults.append(f"imports {top}")
        if path != ONLY_IN.get(top, path):
            faults.append(f"imports {top}, which belongs to {ONLY_IN[top]} alone")
        if top != "metricopt" or own == "__init__":
            continue
        # `from metricopt import fit` names something of the root, `from metricopt import metrics` a module
        other = rest[0] if rest and rest[0] in RANK else "__init__"
        if RANK[other] > RANK[own] or (other in LEAVES and own in LEAVES and other != own):
            faults.append(f"imports {other}")
    return sorted(faults)


@pytest.mark.parametrize("path", SOURCES)
def test_imports_go_down(path):
    assert faults_of(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source", "faults"),
    [
        ("metricopt/metrics.py", "from metricopt import thresholds", ["imports thresholds"]),
        ("metricopt/metrics.py", "def f():\n    from metricopt.solvers.base import Solver", ["imports solvers"]),
        ("metricopt/solvers/base.py", "from .. import training", ["imports training"]),
        ("metricopt/solvers/base.py", "from ..training import fit", ["imports training"]),
        ("metricopt/training.py", "import metricopt", ["imports __init__"]),
        ("metricopt/training.py", "from metricopt import fit", ["imports __init__"]),
        ("metricopt/data/tables.py", "import metricopt.plots", ["imports plots"]),
        ("metricopt/cli.py", "import benchmarks.data", ["imports benchmarks"]),
        (
            "metricopt/training.py",
            "import cooper",
            ["imports cooper, which belongs to metricopt/solvers/lagrangian.py alone"],
        ),
        ("metricopt/helpers.py", "", ["helpers is in no layer: give it a place in LAYERS"]),
        ("metricopt/thresholds.py", "from metricopt import metrics\nfrom metricopt.objectives import FPOR", []),
        ("metricopt/solvers/base.py", "from .profiled import Profiled\nfrom ..objectives import FPOR", []),
        ("metricopt/solvers/lagrangian.py", "import cooper", []),
        ("metricopt/metrics.py", "if TYPE_CHECKING:\n    from metricopt.training import fit", []),
        ("metricopt/cli.py", "from metricopt import fit", []),
    ],
)
def test_the_check_itself(path, source, faults):
    assert faults_of(path, source) == faults


@pytest.mark.parametrize("module", ["metricopt", "metricopt.backbones", "metricopt.data", "metricopt.transfer"])
def test_import_is_light(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.split() == []
