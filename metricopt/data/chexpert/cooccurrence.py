"""Synthetic labels of studies, drawn so that findings occur together as often as in CheXpert's reports.

This file decides how the labels of studies are drawn. It leaves their images to
:mod:`metricopt.data.chexpert.findings`.

The model is this. A fraction of the studies states "No Finding" and none of the 12 findings. In the other studies each
of the 13 labels beside "No Finding" has a latent normal variable. The finding is stated where the variable is above a
threshold, which its prevalence sets, and uncertain where it is just below. The latent variables have those correlations
at which every pair of findings is stated together as often as in the real table (a Gaussian copula with tetrachoric
correlations). A finding that is neither stated nor uncertain is ruled out or not mentioned, in the real proportion. The
latent variables of two studies of one patient are correlated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricopt.data.chexpert.table import CHEXPERT_LABELS, CheXpertTable


@dataclass(frozen=True)
class LabelStatistics:
    """The statistics that synthetic label rows follow, as arrays over the 13 labels beside "No Finding".

    Attributes
    ----------
    no_finding : float
        The fraction of the rows with "No Finding".
    stated, uncertain, ruled_out : ndarray, shape (13,)
        For each label, the fraction of the other rows that state it, leave it uncertain, and rule it out.
    stated_beside, uncertain_beside, ruled_out_beside : ndarray, shape (13,)
        The same fractions of the rows with "No Finding".
    correlation : ndarray, shape (13, 13)
        The correlations of the latent variables in the rows without "No Finding".
    """

    no_finding: float
    stated: NDArray[np.float64]
    uncertain: NDArray[np.float64]
    ruled_out: NDArray[np.float64]
    stated_beside: NDArray[np.float64]
    uncertain_beside: NDArray[np.float64]
    ruled_out_beside: NDArray[np.float64]
    correlation: NDArray[np.float64]


WITHIN_PATIENT = 0.55
"""The correlation of a latent variable between two studies of a patient.

In the real table the tetrachoric correlation between the first two studies of a patient is 0.55 on average over the
labels. It ranges from .32 (Atelectasis) to .83 (Pneumothorax).
"""


def estimate_statistics(table: CheXpertTable) -> LabelStatistics:
    r"""Return the statistics of a table with all 14 labels.

    The latent correlation of two findings with prevalences p and q solves

    .. math:: \Phi_2(\Phi^{-1}(p), \Phi^{-1}(q); \rho) = P(\text{both stated}).

    :data:`CHEXPERT_STATISTICS` holds the statistics of the real training table, rounded to 4 decimals (the correlations
    to 2).
    """
    from scipy.optimize import brentq
    from scipy.stats import multivariate_normal, norm

    healthy = table.raw_labels[:, 0] == 1
    findings = table.raw_labels[:, 1:]
    stated = findings[~healthy] == 1
    cut = norm.ppf(stated.mean(axis=0))
    correlation = np.eye(len(cut))
    for one in range(len(cut)):
        for other in range(one):
            both = float((stated[:, one] & stated[:, other]).mean())

            def excess(rho: float, at: NDArray[np.float64] = cut[[one, other]], both: float = both) -> float:
                return float(multivariate_normal.cdf(at, cov=[[1, rho], [rho, 1]])) - both

            correlation[one, other] = correlation[other, one] = brentq(excess, -0.99, 0.99, xtol=1e-5)
    others, beside = findings[~healthy], findings[healthy]
    return LabelStatistics(
        no_finding=float(healthy.mean()),
        stated=(others == 1).mean(axis=0),
        uncertain=(others == -1).mean(axis=0),
        ruled_out=(others == 0).mean(axis=0),
        stated_beside=(beside == 1).mean(axis=0),
        uncertain_beside=(beside == -1).mean(axis=0),
        ruled_out_beside=(beside == 0).mean(axis=0),
        correlation=correlation,
    )


def draw_labels(
    studies_of_patients: NDArray[np.intp], random: np.random.RandomState, statistics: LabelStatistics
) -> NDArray[np.float32]:
    """Return raw labels of studies (1, 0, -1, NaN), in the order of :data:`CHEXPERT_LABELS`.

    Parameters
    ----------
    studies_of_patients : ndarray, shape (num_patients,)
        The number of studies of each patient.
    random : RandomState
        The generator of the labels.
    statistics : LabelStatistics
        The statistics that the labels follow.

    Returns
    -------
    ndarray, shape (sum of studies, 14), float32
    """
    from scipy.special import ndtr

    num_findings = len(CHEXPERT_LABELS) - 1
    patient = np.repeat(np.arange(len(studies_of_patients)), studies_of_patients)
    # the first column decides "No Finding" and depends on no other
    correlation = np.eye(num_findings + 1)
    correlation[1:, 1:] = statistics.correlation
    lower = np.linalg.cholesky(correlation)
    of_patient = random.standard_normal((len(studies_of_patients), num_findings + 1))
    of_study = random.standard_normal((len(patient), num_findings + 1))
    mixed = np.sqrt(WITHIN_PATIENT) * of_patient[patient] + np.sqrt(1 - WITHIN_PATIENT) * of_study
    above = ndtr(-(mixed @ lower.T))  # the chance of a larger value: uniform, small where a finding is likely
    healthy = above[:, :1] < statistics.no_finding
    stated, uncertain, ruled_out = (
        np.where(healthy, beside, alone)
        for beside, alone in (
            (statistics.stated_beside, statistics.stated),
            (statistics.uncertain_beside, statistics.uncertain),
            (statistics.ruled_out_beside, statistics.ruled_out),
        )
    )
    above = above[:, 1:]
    is_ruled_out = random.random_sample(above.shape) * (1 - stated - uncertain) < ruled_out
    findings = np.where(is_ruled_out, 0.0, np.nan)
    findings = np.where(above < stated + uncertain, -1.0, findings)
    findings = np.where(above < stated, 1.0, findings)
    return np.concatenate([np.where(healthy, 1.0, np.nan), findings], axis=1).astype(np.float32)


def _symmetric(below_diagonal: list[list[float]]) -> NDArray[np.float64]:
    """Return the matrix of correlations, given the parts of its rows below the diagonal, from the second row on."""
    matrix = np.eye(len(below_diagonal) + 1)
    for row, values in enumerate(below_diagonal, start=1):
        matrix[row, :row] = matrix[:row, row] = values
    return matrix


_NONE_OF_12 = [0.0] * 12

CHEXPERT_STATISTICS = LabelStatistics(
    no_finding=0.1002,
    stated=np.array(
        [0.0537, 0.1343, 0.5252, 0.0457, 0.2599, 0.0735, 0.03, 0.166, 0.0967, 0.4287, 0.0175, 0.045, 0.5332]
    ),
    uncertain=np.array(
        [0.0617, 0.0402, 0.0278, 0.0074, 0.0646, 0.138, 0.0934, 0.1678, 0.0156, 0.0578, 0.0132, 0.0032, 0.0048]
    ),
    ruled_out=np.array(
        [0.0659, 0.0386, 0.0208, 0.0044, 0.0809, 0.0958, 0.0082, 0.0042, 0.2135, 0.1191, 0.0015, 0.0071, 0.0272]
    ),
    stated_beside=np.array([*_NONE_OF_12, 0.3935]),
    uncertain_beside=np.array([*_NONE_OF_12, 0.0049]),
    ruled_out_beside=np.array(
        [0.3751, 0.1497, 0.1082, 0.0168, 0.1993, 0.3948, 0.0517, 0.0216, 0.5992, 0.5116, 0.0009, 0.0487, 0.03]
    ),
    correlation=_symmetric(
        [
            [0.09],
            [-0.07, -0.07],
            [0.01, -0.17, 0.06],
            [-0.1, 0.3, 0.0, -0.3],
            [-0.07, -0.1, -0.2, 0.03, -0.08],
            [-0.15, -0.12, 0.16, 0.11, -0.09, 0.22],
            [-0.06, -0.06, -0.17, -0.11, 0.01, -0.07, -0.13],
            [-0.08, -0.32, -0.08, -0.01, -0.39, -0.17, -0.27, -0.01],
            [-0.09, 0.02, 0.22, -0.09, 0.16, 0.1, -0.17, 0.1, -0.12],
            [0.0, -0.09, 0.01, 0.14, -0.27, 0.03, 0.03, -0.1, -0.06, -0.18],
            [0.07, -0.11, -0.15, -0.04, -0.26, -0.12, -0.12, -0.05, 0.05, -0.2, 0.13],
            [-0.02, 0.07, 0.16, -0.22, 0.22, -0.01, -0.27, 0.12, 0.1, 0.22, -0.15, -0.16],
        ]
    ),
)
"""The statistics of CheXpert's training table (223,414 images), as :func:`estimate_statistics` returns them."""
