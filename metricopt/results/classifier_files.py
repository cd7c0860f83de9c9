"""Fitted classifiers on disk, by skops: a list of types that are built when read, and nothing else that could run.

A pickle runs whatever its writer wants as soon as it is read. A file of skops names the types that it holds, and these
are compared with :data:`TRUSTED` before any of them is built. Boosters keep their own format inside. This file decides
which types are trusted, and that the numbers of trees point to where there is something. It leaves all else of a result
to :mod:`metricopt.results.storage`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from metricopt._validation import reject
from metricopt.evidence.frames import Frames
from metricopt.scoring.classifiers import FittedClassifiers, kinds_of

TRUSTED = (
    "catboost.core.CatBoostClassifier",
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "numpy.dtype",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
)
"""Types that skops does not trust by itself, as it does the estimators of scikit-learn and arrays of numbers."""

_MOST_INFLATED = 100
"""Nothing that is written here is compressed; a file that grows by more than this when read was made to fill memory."""


def write_classifiers(classifiers: FittedClassifiers, path: str) -> None:
    """Write the classifiers to a file.

    Raises
    ------
    InvalidInputError
        If one holds a type that would not be read again.
    """
    import skops.io

    try:
        content = skops.io.dumps(list(classifiers.models))
        strange = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED))
    except Exception as error:  # whatever skops stumbles over in objects that it does not know
        strange = [f"{type(error).__name__}: {error}"]
    if strange:
        kinds = " > ".join(kinds_of(classifiers.models[0]))
        remedy = (
            "save a model of scikit-learn, LightGBM, XGBoost or CatBoost, or keep its scores with metricopt.from_scores"
        )
        reject(
            "the model", "one that can be saved without a pickle", f"{kinds}, which needs {_listed(strange)}", remedy
        )
    Path(path).write_bytes(content)


def read_classifiers(path: Path, frames: Frames | None) -> FittedClassifiers:
    """Read what :func:`write_classifiers` wrote; nothing is built before all types are known.

    Parameters
    ----------
    path : Path
    frames : Frames or None
        The frame of each.

    Raises
    ------
    InvalidInputError
        If the file is none of skops, holds a type that is not trusted, or a tree that points to nowhere.
    """
    import skops.io

    _check_size(path)
    strange = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
    if strange:
        got = f"{_listed(strange)} in {path}"
        reject("the saved model", "of types that are trusted", got, "do not use the folder unless you know its writer")
    models = skops.io.load(path, trusted=list(TRUSTED))
    number = 1 if frames is None else len(frames.centre)
    has_scores = (hasattr(model, "decision_function") or hasattr(model, "predict_proba") for model in models)
    if not isinstance(models, list) or len(models) != number or not all(has_scores):
        reject("the saved model", f"{number} classifiers", type(models).__name__, "take the folder as it was written")
    for model in models:
        _check_trees(model, path, 0, set())
    return FittedClassifiers(tuple(models), frames)


def _check_size(path: Path) -> None:
    """Reject what is no archive, such as a pickle, and one that would fill the memory."""
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except BadZipFile:
        got = f"something else in {path}"
        reject("the saved model", "a file of skops", got, "a pickle is never read; take the folder as it was written")
    if size > _MOST_INFLATED * path.stat().st_size:
        reject("the saved model", "a file of its own size", f"{size:,} bytes in {path}", "it was tampered with")


def _check_trees(part: Any, path: Path, width: int, seen: set[int]) -> None:
    """Reject trees with nodes that point outside or in circles, which compiled code would follow.

    Parameters
    ----------
    part
        A fitted model, or anything inside it.
    path : Path
    width : int
        The number of features of the model around it.
    seen : set of int
        What was checked already.
    """
    if id(part) in seen or isinstance(part, (str, bytes, int, float, np.number, type, type(None))):
        return
    seen.add(id(part))
    width = getattr(part, "n_features_in_", width)
    kind = type(part).__name__
    if kind == "TreePredictor":
        inner = part.nodes["is_leaf"] == 0
        nodes = part.nodes[inner]
        is_whole = _descends(inner, nodes["left"], nodes["right"]) and (nodes["feature_idx"] < width).all()
        bitsets = nodes["bitset_idx"][nodes["is_categorical"] != 0]
        if not is_whole or (bitsets >= len(part.raw_left_cat_bitsets)).any():
            _reject_tree(path)
    elif kind == "Tree":
        inner = part.children_left >= 0
        children = part.children_left[inner], part.children_right[inner]
        if not _descends(inner, *children) or not _are_below(part.feature[inner], width):
            _reject_tree(path)
    elif not isinstance(part, np.ndarray) or part.dtype == object:
        for each in _inside(part):
            _check_trees(each, path, width, seen)


def _descends(inner: np.ndarray, left: np.ndarray, right: np.ndarray) -> bool:
    """Say whether every inner node has two children, each a node that comes after it, so that every way ends."""
    own = np.flatnonzero(inner)
    is_after = all((side.astype(np.int64) > own).all() and _are_below(side, len(inner)) for side in (left, right))
    return len(inner) > 0 and is_after


def _are_below(numbers: np.ndarray, limit: int) -> bool:
    return bool(((numbers >= 0) & (numbers < limit)).all())


def _reject_tree(path: Path) -> NoReturn:
    got = f"a node that points elsewhere in {path}"
    reject("the saved model", "of whole trees", got, "do not use the folder unless you know its writer")


def _inside(part: Any) -> Iterable[Any]:
    """Return what a part of a model consists of."""
    if isinstance(part, dict):
        return part.values()
    if isinstance(part, np.ndarray):
        return part.ravel().tolist()
    return part if isinstance(part, (list, tuple)) else getattr(part, "__dict__", {}).values()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
