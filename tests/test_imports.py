"""``import metricopt`` stays light, and imports go down the layers of the design, never up."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import metricopt

ROOT = Path(__file__).parents[1]
HEAVY = {
    "PIL",
    "accelerate",
    "cooper",
    "mapie",
    "matplotlib",
    "nvflare",
    "onnx",
    "onnxruntime",
    "ot",
    "pandas",
    "scipy",
    "sklearn",
    "torchvision",
}

# The floors of the house, from the ground up: a room (a folder, or a module beside the folders) may import from itself
# and from the rooms on lower floors, not from neighbours on its own floor. A new module in a room needs no line here.
FLOORS = [
    ["_validation", "_torchvision"],
    ["_arrays", "processes", "progress"],
    ["problem"],
    ["losses", "data", "backbones"],
    ["evidence"],
    ["solvers", "scoring"],
    ["plots", "transfer"],
    ["results"],
    ["training"],
    ["estimator", "tradeoff", "federated"],
    ["cli"],
    ["__init__"],
    ["__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ONLY_IN = {
    "cooper": "metricopt/solvers/lagrangian.py",
    "mapie": "metricopt/evidence/certification.py",
    "torchvision": "metricopt/_torchvision.py",
}

SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "metricopt").rglob("*.py"))


def imported_modules(source, package, *, for_types=True):
    """Names in dotted form that a module imports, also inside functions, and for type checkers alone if asked."""
    names = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not for_types:
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
    if own not in FLOOR:
        return [f"{own} is on no floor: move the module into a room, or give the new room a place in FLOORS"]
    package = ".".join(parts[:-1])
    for name in imported_modules(source, package, for_types=False):
        top = name.partition(".")[0]
        if top in {"benchmarks", "tests"}:
            faults.append(f"imports {top}")
        if path != ONLY_IN.get(top, path):
            faults.append(f"imports {top}, which belongs to {ONLY_IN[top]} alone")
    for name in imported_modules(source, package):
        top, *rest = name.split(".")
        if top != "metricopt" or own == "__init__":
            continue
        # `from metricopt import fit` names something of the root, `from metricopt import problem` a room
        other = rest[0] if rest and rest[0] in FLOOR else "__init__"
        if other != own and FLOOR[other] >= FLOOR[own]:
            faults.append(f"imports {other}")
    return sorted(faults)


@pytest.mark.parametrize("path", SOURCES)
def test_imports_go_down(path):
    assert faults_of(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("tree", ["metricopt", "benchmarks"])
def test_no_two_modules_need_each_other(tree):
    sources = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / tree).rglob("*.py"))
    files = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in sources}
    files.pop(tree)
    graph = {}
    for path in sources:
        needed = set()
        for name in imported_modules((ROOT / path).read_text(), path.rpartition("/")[0].replace("/", ".")):
            parts = name.split(".")
            longest = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            module = next((part for part in longest if part in files), None)
            # A package's front page imports its modules; these may name the package for what lies beside them.
            if module is not None and not files[module].endswith("__init__.py"):
                needed.add(files[module])
        graph[path] = needed - {path}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert set(order) >= set(sources)


def test_few_modules_beside_the_rooms():
    flat = {path.stem for path in (ROOT / "metricopt").glob("*.py") if not path.stem.startswith("_")}
    assert len(flat) <= 6, f"move some into rooms: {sorted(flat)}"


@pytest.mark.parametrize(
    ("path", "source", "faults"),
    [
        ("metricopt/problem/metrics.py", "from metricopt.evidence import intervals", ["imports evidence"]),
        (
            "metricopt/problem/metrics.py",
            "def f():\n    from metricopt.solvers.base import Solver",
            ["imports solvers"],
        ),
        ("metricopt/solvers/base.py", "from .. import training", ["imports training"]),
        ("metricopt/solvers/base.py", "from ..training.fit import fit", ["imports training"]),
        ("metricopt/solvers/base.py", "from metricopt.scoring import forward", ["imports scoring"]),
        ("metricopt/solvers/base.py", "if TYPE_CHECKING:\n    import metricopt.training", ["imports training"]),
        ("metricopt/training/fit.py", "import metricopt", ["imports __init__"]),
        ("metricopt/training/fit.py", "from metricopt import fit", ["imports __init__"]),
        ("metricopt/data/tables/columns.py", "import metricopt.plots", ["imports plots"]),
        ("metricopt/cli/commands.py", "import benchmarks.data", ["imports benchmarks"]),
        (
            "metricopt/training/fit.py",
            "import cooper",
            ["imports cooper, which belongs to metricopt/solvers/lagrangian.py alone"],
        ),
        (
            "metricopt/helpers.py",
            "",
            ["helpers is on no floor: move the module into a room, or give the new room a place in FLOORS"],
        ),
        ("metricopt/evidence/thresholds.py", "from metricopt.problem import metrics", []),
        ("metricopt/solvers/base.py", "from .profiled import Profiled\nfrom ..problem.objectives import FPOR", []),
        ("metricopt/solvers/lagrangian.py", "import cooper", []),
        ("metricopt/solvers/base.py", "if TYPE_CHECKING:\n    import torchvision", []),
        ("metricopt/cli/commands.py", "from metricopt import fit", ["imports __init__"]),
    ],
)
def test_the_check_itself(path, source, faults):
    assert faults_of(path, source) == faults


@pytest.mark.slow
def test_imports_are_light():
    modules = ["metricopt", "metricopt.backbones", "metricopt.data", "metricopt.transfer"]
    code = (
        f"import importlib, sys\nfor module in {modules}:\n    importlib.import_module(module)\n"
        f"    if found := {HEAVY!r} & sys.modules.keys():\n        sys.exit(f'{{module}} imports {{found}}')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_public_name_is_there():
    assert [name for name in metricopt.__all__ if not hasattr(metricopt, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = metricopt.fitt
