"""The methods by name, each with its settings, among which held-out scores choose: for each :data:`NUM_SETTINGS`.

Those that choose by themselves, peers with a tuned threshold and ``auto``, have none here.

This file decides settings. How a method trains is in :mod:`benchmarks.running.fitted`, :mod:`benchmarks.running.folded`
and :mod:`benchmarks.running.called`, the losses in :mod:`metricopt.losses`, the peers in :mod:`benchmarks.peers`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers import cooper_proxy, light_gbm, mapie_controller, tuned_threshold
from benchmarks.running.called import Classifier, Peer
from benchmarks.running.fitted import Certified, Fitted, Resampled, Soap
from benchmarks.running.folded import CrossFitted, FittedOnFolds
from benchmarks.running.method import Method
from metricopt import losses
from metricopt.problem.objectives import FPOR, FROP, OFBS, Objective

NUM_SETTINGS = 2

RATES = ({"learning_rate": 0.5}, {"learning_rate": 2.0})


def _sigmoid(objective: Objective, slope: float) -> losses.Loss:
    bound: Any = objective.bound
    if isinstance(objective, FPOR):
        return losses.SoftRecallAtPrecision(bound, slope=slope)
    if isinstance(objective, FROP):
        return losses.SoftPrecisionAtRecall(bound, slope=slope)
    if isinstance(objective, OFBS):
        return losses.SoftFBeta(objective.beta, slope=slope)
    return losses.SmoothAP(temperature=1 / slope)


def _hinge_bounds(objective: Any) -> losses.Loss:
    bound: Any = objective.bound
    if isinstance(objective, FPOR):
        return losses.HingeRecallAtPrecision(bound)
    if isinstance(objective, FROP):
        return losses.HingePrecisionAtRecall(bound)
    return losses.HingeFBeta(objective.beta)


METHODS: dict[str, Method] = {
    "profiled": Fitted("direct", lambda objective: "profiled", RATES, serves=(Objective,), warms_up=True),
    "augmented Lagrangian": Fitted(
        "direct", lambda objective: "augmented_lagrangian", RATES, serves=(FPOR, FROP, OFBS), warms_up=True
    ),
    "cross-entropy": Fitted("loss", lambda objective: "cross_entropy", RATES),
    "weighted": Fitted(
        "loss",
        lambda objective, weighting: losses.WeightedCrossEntropy(weighting),
        ({"weighting": "inverse_frequency"}, {"weighting": "effective_number"}),
    ),
    "focal": Fitted("loss", lambda objective, gamma: losses.FocalLoss(gamma), ({"gamma": 1.0}, {"gamma": 3.0})),
    "LDAM": Fitted(
        "loss", lambda objective, max_margin: losses.LDAM(max_margin), ({"max_margin": 0.5}, {"max_margin": 2.0})
    ),
    "logit adjustment": Fitted(
        "loss",
        lambda objective, temperature: losses.LogitAdjustment(temperature),
        ({"temperature": 0.5}, {"temperature": 1.0}),
    ),
    "SMOTE": Resampled("smote", ({"ratio": 0.3}, {"ratio": 1.0})),
    "over-sampling": Resampled("over", ({"ratio": 0.3}, {"ratio": 1.0})),
    "under-sampling": Resampled("under", ({"ratio": 0.3}, {"ratio": 1.0})),
    "Tomek links": Resampled("tomek", RATES),
    "sigmoid": Fitted("loss", _sigmoid, ({"slope": 1.0}, {"slope": 4.0}), serves=(Objective,), warms_up=True),
    "hinge bounds": Fitted("loss", _hinge_bounds, RATES, serves=(FPOR, FROP, OFBS), warms_up=True),
    "tight sigmoid": Fitted(
        "loss",
        lambda objective, penalty: losses.TightRecallAtPrecision(objective.min_precision, penalty=penalty),
        ({"penalty": 10.0}, {"penalty": 1000.0}),
        serves=(FPOR,),
        warms_up=True,
    ),
    "AnyLoss": Fitted("loss", lambda objective: losses.AnyLoss(objective.beta), RATES, serves=(OFBS,), warms_up=True),
    "AUC margin": Fitted("loss", lambda objective: losses.AUCMarginLoss(), RATES),
    "cooper proxy": Fitted(
        "peer",
        lambda objective: cooper_proxy.CooperProxy(),
        RATES,
        serves=(FPOR, FROP),
        warms_up=True,
        missing=cooper_proxy.missing,
    ),
    "SOAP": Soap(
        (
            {"learning_rate": 0.15, "gamma": 0.5, "margin": 0.6, "has_sigmoid": False},
            {"learning_rate": 0.25, "gamma": 0.5, "margin": 0.6, "has_sigmoid": True},
        )
    ),
    "MAPIE": Certified(RATES),
    "logistic + tuned threshold": Peer(tuned_threshold.logistic_regression, "linear", tuned_threshold.missing),
    "boosting + tuned threshold": Peer(tuned_threshold.gradient_boosting, "mlp", tuned_threshold.missing),
    "boosting + MAPIE threshold": Peer(
        mapie_controller.gradient_boosting, "mlp", mapie_controller.missing, serves=(FPOR, FROP)
    ),
    "forest + tuned threshold": Peer(tuned_threshold.random_forest, "mlp", tuned_threshold.missing),
    "profiled, folds": FittedOnFolds("direct", lambda objective: "profiled", RATES, warms_up=True),
    "cross-entropy, folds": FittedOnFolds("loss", lambda objective: "cross_entropy", RATES),
    "logistic, folds": CrossFitted(
        tuned_threshold.make_logistic_regression, tuned_threshold.LOGISTIC_SETTINGS, "linear", tuned_threshold.missing
    ),
    "boosting, folds": CrossFitted(
        tuned_threshold.make_gradient_boosting, tuned_threshold.BOOSTING_SETTINGS, "mlp", tuned_threshold.missing
    ),
    "LightGBM, folds": CrossFitted(light_gbm.make_light_gbm, light_gbm.SETTINGS, "mlp", light_gbm.missing),
    "auto": Classifier("auto", "mlp"),
}
