"""What transferability scores cost on one core, beside the algorithms of the public code, written down anew.

Seconds are of the processor, not of the clock, so that a busy machine makes no difference. This file decides what is
timed, and on which features.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.packages import POT
from benchmarks.studies.study import Quick, finish
from metricopt.transfer import h_score, log_me, otce
from metricopt.transfer.transport import import_pot

NEEDS: tuple[str, ...] = (POT,)
Floats = NDArray[np.float64]
Labels = NDArray[np.intp]


def features_and_labels(num_samples: int, width: int, seed: int = 0) -> tuple[NDArray[np.float32], Labels]:
    """Return float32 features with a spectrum like a network's, of which some show a rare class (5 %)."""
    random = np.random.default_rng(seed)
    labels = (random.random(num_samples) < 0.05).astype(np.intp)
    features = random.standard_normal((num_samples, width), dtype=np.float32) * np.geomspace(1, 1e-2, width)
    features[:, :8] += 0.5 * labels[:, np.newaxis]
    return features.astype(np.float32), labels


def published_h_score(features: Floats, labels: Labels) -> float:
    """Return tr(pinv(cov f) cov(E[f | y])) by a pseudo-inverse and two covariance matrices (Bao et al. 2019)."""
    f = features - features.mean(axis=0)
    means = np.array([f[labels == name].mean(axis=0) for name in range(labels.max() + 1)])[labels]
    return float(np.trace(np.linalg.pinv(np.cov(f, rowvar=False), rcond=1e-15) @ np.cov(means, rowvar=False)))


def published_shrunk_h_score(features: Floats, labels: Labels) -> float:
    """Return the H-score with scikit-learn's Ledoit-Wolf covariance and a pseudo-inverse (Ibrahim et al. 2021)."""
    from sklearn.covariance import LedoitWolf

    f = features - features.mean(axis=0)
    means = np.array([f[labels == name].mean(axis=0) for name in range(labels.max() + 1)])[labels]
    fitted = LedoitWolf(assume_centered=False, store_precision=False).fit(f)
    keep = 1 - fitted.shrinkage_
    between = keep * np.cov(means, rowvar=False)
    return float(np.trace(np.linalg.pinv(fitted.covariance_, rcond=1e-15) @ between))


def published_log_me(features: Floats, labels: Labels) -> float:
    """Return LogME by a singular value decomposition and at most 11 fixed-point steps a class (You et al. 2021)."""
    n = len(features)
    basis, singular, _ = np.linalg.svd(features, full_matrices=False)
    strengths = singular**2
    evidences = []
    for name in range(labels.max() + 1):
        y = (labels == name).astype(np.float64)
        x = (basis.T @ y) ** 2
        rest = (y**2).sum() - x.sum()
        ratio = 1.0
        for _ in range(11):
            gamma = (strengths / (strengths + ratio)).sum()
            squared_weights = (strengths * x / (ratio + strengths) ** 2).sum()
            residual = (x / (1 + strengths / ratio) ** 2).sum() + rest
            alpha, beta = gamma / squared_weights, (n - gamma) / residual
            before, ratio = ratio, alpha / beta
            if abs(ratio - before) <= 1e-3 * before:
                break
        evidence = len(strengths) / 2 * np.log(alpha) + n / 2 * np.log(beta) - n / 2 * np.log(2 * np.pi)
        evidence -= (np.log(alpha + beta * strengths).sum() + beta * residual + alpha * squared_weights) / 2
        evidences.append(evidence / n)
    return float(np.mean(evidences))


def published_otce(source: Floats, source_labels: Labels, target: Floats, target_labels: Labels) -> float:
    """Return -W_T with the joint of classes summed pair by pair (Tan et al. 2021)."""
    ot = import_pot()
    plan = ot.emd(ot.unif(len(source)), ot.unif(len(target)), ot.dist(source, target), numItermax=10_000_000)
    joint = np.zeros((source_labels.max() + 1, target_labels.max() + 1))
    for i, own in enumerate(source_labels):
        for j, other in enumerate(target_labels):
            joint[own, other] += plan[i, j]
    given = joint / joint.sum(axis=1, keepdims=True)
    return float((joint[joint > 0] * np.log(given[joint > 0])).sum())


def run(quick: bool) -> list[dict[str, Any]]:
    """Return a row a score."""
    num_samples, width = (2000, 256) if quick else (10_000, 2048)
    repeats = 1 if quick else 3
    features, labels = features_and_labels(num_samples, width)
    wide = features.astype(np.float64)
    size = f"{num_samples:,} x {width:,} features, 2 classes"
    side = 200 if quick else 1000
    source, target = features_and_labels(side, width, seed=1), features_and_labels(side, width, seed=2)
    pair = (source[0].astype(np.float64), source[1], target[0].astype(np.float64), target[1])
    import_pot()
    with threadpool_limits(1):
        h_score(features[:500, :8], labels[:500])  # imports what is imported when first used
        log_me(features[:500, :8], labels[:500])
        return [
            _row(
                f"LogME, {size}", lambda: log_me(features, labels), lambda: published_log_me(wide, labels), 5, repeats
            ),
            _row(
                f"H-score, {size}",
                lambda: h_score(features, labels),
                lambda: published_h_score(wide, labels),
                3,
                repeats,
            ),
            _row(
                f"H-score with shrinkage, {size}",
                lambda: h_score(features, labels, shrinkage=True),
                lambda: published_shrunk_h_score(wide, labels),
                3,
                repeats,
            ),
            _row(
                f"OTCE, {side:,} + {side:,} samples x {width:,} features",
                lambda: otce(*source, *target),
                lambda: published_otce(*pair),
                3,
                repeats,
            ),
        ]


def _row(
    what: str, ours: Callable[[], float], published: Callable[[], float], budget: float, repeats: int
) -> dict[str, Any]:
    """Time ours several times and the published algorithm once, which gets its features in float64 already."""
    own, values = zip(*(_timed(ours) for _ in range(repeats)), strict=True)
    published_seconds, published_value = _timed(published)
    seconds = float(np.median(own))
    return {
        "what": what,
        "seconds": round(seconds, 2),
        "slowest": round(max(own), 2),
        "budget": budget,
        "published_seconds": round(published_seconds, 2),
        "ratio": round(seconds / published_seconds, 3) if published_seconds > 0 else None,
        "value": float(values[0]),
        "published_value": published_value,
        "within_budget": seconds <= budget,
    }


def _timed(call: Callable[[], float]) -> tuple[float, float]:
    began = time.process_time()
    value = call()
    return time.process_time() - began, value


def main(quick: Quick = False) -> None:
    """Time the transferability scores on one core, beside the published algorithms."""
    rows = run(quick)
    title = "Transferability scores: seconds of one core, beside the published algorithms"
    finish("transfer_speed", title, rows, {"Scores": pd.DataFrame(rows).set_index("what")}, quick)
    if not all(row["within_budget"] for row in rows):
        raise typer.Exit(1)
