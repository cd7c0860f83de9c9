"""N-LEEP: LEEP in which clusters of the features stand in the place of source classes."""

from __future__ import annotations

import warnings
from typing import Any

from metricopt._validation import check_fraction, check_integer, reject
from metricopt.transfer.inputs import read_classes, read_features
from metricopt.transfer.leep import log_expected_prediction
from metricopt.transfer.score import Score, report


def n_leep(
    features: Any,
    labels: Any,
    *,
    energy: float = 0.8,
    components_per_class: int = 5,
    balanced: bool = False,
    seed: int = 0,
) -> Score:
    r"""Return LEEP of the posteriors of a Gaussian mixture, so that no source classifier is needed.

    The features are projected onto the principal components that hold a fraction of their variance. A mixture of 5 C
    Gaussians is fitted to them, for C classes, and its posteriors take the place of :math:`\theta` in
    :func:`metricopt.transfer.leep`.

    Parameters
    ----------
    features : array, shape (n, d)
        The features of the target's samples, computed by the network that is judged.
    labels : array, shape (n,)
        The classes of the samples, as whole numbers or names.
    energy : float, in (0, 1]
        The fraction of the variance that is kept. With 1 the features stay as they are.
    components_per_class : int, >= 1
        The number of Gaussians for each class.
    balanced : bool
        Whether every class weighs the same after the mixture is fitted, which uses no classes. The paper does not have
        this option.
    seed : int
        The seed of the first guess of the mixture.

    Returns
    -------
    Score
        A number in nats, at most 0. ``details`` holds the number of ``dimensions`` and of ``components``.

    Warns
    -----
    TransferWarning
        If there are no more samples for each component than dimensions (components then hold single samples, and the
        score is near 0 for every network), if the mixture has not converged, or if a class has fewer than 10 samples.

    Raises
    ------
    InvalidInputError
        If :func:`metricopt.transfer.h_score` would raise, or there are fewer samples than components.

    References
    ----------
    Y. Li et al. (2021). Ranking neural checkpoints. CVPR.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris()
    >>> round(n_leep(iris.data, iris.target, seed=123), 4)
    -0.1272
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    check_fraction("energy", energy)
    components_per_class = check_integer("components_per_class", components_per_class, 1, "give for example 5")
    f = read_features("features", features)
    classes = read_classes("labels", labels, len(f), "features")
    components = components_per_class * len(classes.names)
    if len(f) < components:
        remedy = "lower components_per_class or add samples"
        reject("features", f"at least {components} samples, one a component", len(f), remedy)
    f -= f.mean(axis=0)
    if energy < 1:
        f = PCA(energy, svd_solver="full").fit_transform(f)
    spread = f.var(axis=0).mean()
    # scikit-learn's constant for features of ordinary size, a fraction of their variance for others
    floor = 1e-6 * max(min(1.0, spread), 1e-3 * spread)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(components, reg_covar=floor, random_state=seed).fit(f)
    caveats = []
    dimensions = f.shape[1]
    if len(f) <= components * dimensions:
        few = f"{len(f)} samples for {components} components in {dimensions} dimensions"
        caveats.append(f"{few}: components hold single samples and the score is too high; collect more")
    if not mixture.converged_:
        caveats.append(f"the mixture has not converged in {mixture.n_iter_} iterations; try another seed")
    value = log_expected_prediction(mixture.predict_proba(f), classes, balanced)
    return report(value, classes.counts, caveats, dimensions=dimensions, components=components)
