"""The interface to scikit-learn. It is imported when one of its names is used, because it imports scikit-learn."""

from metricopt.estimator.classifier import DirectMetricClassifier
from metricopt.estimator.scorer import ObjectiveScorer

__all__ = ["DirectMetricClassifier", "ObjectiveScorer"]
