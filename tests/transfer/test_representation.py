"""CCA, SVCCA and PWCCA against an independent implementation, definitions spelled out, and their invariances."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metricopt import InvalidInputError
from metricopt.transfer import cca, pwcca, svcca

# Made with google/svcca and by QR decompositions; 400 samples of 10 and 8 features.
REFERENCE = np.load(Path(__file__).with_name("cca_reference.npz"))
A, B = REFERENCE["A"], REFERENCE["B"]
CORRELATIONS = [
    0.9857057697718586,
    0.9775168756297279,
    0.9713061357311319,
    0.8111082940826895,
    0.1498524604836801,
    0.12103448177544741,
    0.05511370663255017,
    0.05187963203785007,
]


def orthonormal(x):
    return np.linalg.qr(x - x.mean(axis=0))[0]


def random_pair(seed, n, d_x, d_y):
    random = np.random.default_rng(seed)
    shared = random.normal(size=(n, min(d_x, d_y)))
    x = np.hstack([shared, random.normal(size=(n, d_x - shared.shape[1]))]) @ random.normal(size=(d_x, d_x))
    y = shared @ random.normal(size=(shared.shape[1], d_y)) + random.normal(size=(n, d_y))
    return x, y


def invertible(seed, d):
    random = np.random.default_rng(seed)
    left, right = (np.linalg.qr(random.normal(size=(d, d)))[0] for _ in range(2))
    return left @ np.diag(random.uniform(0.2, 5, d)) @ right


def test_reference_values():
    np.testing.assert_allclose(cca(A, B), CORRELATIONS, rtol=1e-9)
    np.testing.assert_allclose(cca(B, A), CORRELATIONS, rtol=1e-9)
    assert svcca(A, B, of="singular_values") == pytest.approx(0.5154396695181178, rel=1e-9)
    assert svcca(A, B) == pytest.approx(0.6347809489826137, rel=1e-9)
    # The public script gives .8416 for the second, and fails on the first.
    assert pwcca(A, B) == pytest.approx(0.8337913821836377, rel=1e-9)
    assert pwcca(B, A) == pytest.approx(0.8337913821836377, rel=1e-9)


@pytest.mark.parametrize(("n", "d_x", "d_y"), [(50, 3, 5), (60, 5, 3), (40, 4, 4), (30, 1, 6)])
def test_definitions(n, d_x, d_y):
    x, y = random_pair(0, n, d_x, d_y)
    left, correlations, _ = np.linalg.svd(orthonormal(x).T @ orthonormal(y), full_matrices=False)
    np.testing.assert_allclose(cca(x, y), correlations, rtol=1e-10)
    if d_x <= d_y:
        variates = orthonormal(x) @ left
        weights = np.abs(variates.T @ (x - x.mean(axis=0))).sum(axis=1)
        assert pwcca(x, y) == pytest.approx(weights @ correlations / weights.sum(), rel=1e-10)
    reduced = []
    for side in (x, y):
        u, s, _ = np.linalg.svd(side - side.mean(axis=0), full_matrices=False)
        number = next(k for k in range(1, len(s) + 1) if (s[:k] ** 2).sum() >= 0.9 * (s**2).sum())
        reduced.append(u[:, :number])
    assert svcca(x, y, fraction=0.9) == pytest.approx(
        np.linalg.svd(reduced[0].T @ reduced[1], compute_uv=False).mean(), rel=1e-10
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), d_x=st.integers(1, 6), d_y=st.integers(1, 6))
def test_invariances_and_bounds(seed, d_x, d_y):
    x, y = random_pair(seed, 40, d_x, d_y)
    found = cca(x, y)
    assert found.shape == (min(d_x, d_y),) and found.dtype == np.float64
    assert (found >= 0).all() and (found <= 1).all() and (np.diff(found) <= 0).all()
    moved_x, moved_y = x @ invertible(seed, d_x) + 7, y @ invertible(seed + 1, d_y) - 3
    np.testing.assert_allclose(cca(moved_x, moved_y), found, atol=1e-8)
    np.testing.assert_allclose(cca(y, x), found, atol=1e-10)
    order = np.random.default_rng(seed).permutation(40)
    np.testing.assert_allclose(cca(x[order], y[order]), found, atol=1e-10)
    # SVCCA: rotations, shifts and one scale a side; all of CCA where everything is kept.
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(d_x, d_x)))[0]
    assert svcca(3 * x @ rotation + 1, y) == pytest.approx(svcca(x, y), abs=1e-8)
    assert svcca(x, y, fraction=1.0) == pytest.approx(found.mean(), abs=1e-10)
    # PWCCA: maps of the side that gives no weights.
    assert found[-1] - 1e-12 <= pwcca(x, y) <= found[0] + 1e-12
    if d_x <= d_y:
        assert pwcca(x, moved_y) == pytest.approx(pwcca(x, y), abs=1e-8)


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
def test_with_itself_all_are_one(measure):
    rotation = np.linalg.qr(invertible(3, 10))[0]
    np.testing.assert_allclose(measure(A, 2 * A @ rotation), 1, atol=1e-9)
    if measure is not svcca:  # whose leading directions another map changes
        np.testing.assert_allclose(measure(A, A @ invertible(3, 10)), 1, atol=1e-9)


def test_pwcca_depends_on_the_axes_that_give_the_weights():
    x, y = random_pair(1, 100, 3, 5)
    assert abs(pwcca(x @ invertible(0, 3), y) - pwcca(x, y)) > 1e-3


def test_kinds_of_arrays():
    expected = cca(A, B)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float16, 1e-2), (torch.bfloat16, 0.1)):
        narrow = [torch.from_numpy(side).to(dtype) for side in (A, B)]
        np.testing.assert_allclose(cca(*narrow)[:4], expected[:4], atol=tolerance)
    np.testing.assert_array_equal(cca(A.tolist(), B), expected)
    np.testing.assert_array_equal(cca(np.asfortranarray(A), B), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_duplicated_and_constant_features_add_nothing(dtype):
    """The rank is found below the rounding of the precision that the values came in."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 6)).astype(dtype), random.normal(size=(300, 4)).astype(dtype)
    sums = (x[:, :1] + x[:, 1:2]).astype(dtype)  # rounded to the precision
    wide = np.hstack([x, x[:, :2], np.full((300, 1), 3, dtype), sums])
    assert len(cca(wide, wide)) == 6
    np.testing.assert_allclose(cca(wide, y), cca(x, y), atol=1e-9 if dtype == np.float64 else 2e-3)


def test_means_far_from_zero_cost_no_digits():
    np.testing.assert_allclose(cca(A + 1e6, B - 1e6), CORRELATIONS, atol=1e-8)


def test_too_few_samples_make_correlations_of_one():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(12, 8)), random.normal(size=(12, 6))
    found = cca(x, y)
    # 8 + 6 - (12 - 1) of them.
    np.testing.assert_allclose(found[:3], 1, atol=1e-10)
    assert found[3] < 1 - 1e-6
    narrow = random.normal(size=(5, 20))
    np.testing.assert_allclose(cca(narrow, random.normal(size=(5, 30))), np.ones(4), atol=1e-8)


@pytest.mark.parametrize("measure", [cca, svcca, pwcca])
@pytest.mark.parametrize(
    ("x", "y", "fault"),
    [
        (A[:-1], B, "y must be of as many samples as x, got 400 for 399 of x"),
        (A[:, 0], B, r"x must be of shape \(n, d\), got shape \(400,\)"),
        (A, B.reshape(400, 2, 2, 2), r"y must be of shape \(n, d\).*flatten feature maps"),
        (A[:0], B[:0], r"x must be of shape \(n, d\), got shape \(0, 10\)"),
        (A, np.where(B > 3, np.nan, B), "y must be finite, got "),
        (A, np.ones((400, 3)), "y must be features that vary, got the same row for all samples"),
        (A[:1], B[:1], "x must be features that vary"),
        ([["a"]], B, "x must be an array of real numbers"),
    ],
)
def test_bad_arrays(measure, x, y, fault):
    with pytest.raises(InvalidInputError, match=fault):
        measure(x, y)
    assert np.isfinite(measure(A, B)).all()


def test_bad_shares():
    with pytest.raises(InvalidInputError, match=r"fraction must be in \(0, 1\], got 99"):
        svcca(A, B, fraction=99)
    with pytest.raises(InvalidInputError, match="of must be one of 'singular_values', 'variance', got 'std'"):
        svcca(A, B, of="std")
    assert svcca(A, B, fraction=1, of="variance") == pytest.approx(np.mean(CORRELATIONS))
