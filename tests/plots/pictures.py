"""A picture of each kind, from made-up numbers: what the stored ones in baseline/ are compared with.

Without words, whose size differs from freetype to freetype and moves all else; other tests read the words.

``PYTHONPATH=. python -m tests.plots.pictures`` writes them anew: look at each before it is committed.
"""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.text import Text

from metricopt import FPOR, Program, choose_threshold, from_scores, precision_recall_curve
from metricopt.evidence.bootstrap import precision_band
from metricopt.evidence.evaluation import evaluate
from metricopt.plots import (
    plot_decision_curve,
    plot_frontier,
    plot_history,
    plot_labels,
    plot_precision_recall,
    plot_reliability,
    plot_scores,
    plot_subgroups,
)

DPI = 50
BASELINE = Path(__file__).with_name("baseline")
STYLE = {**matplotlib.rcParamsDefault, "font.family": "DejaVu Sans", "backend": matplotlib.get_backend()}


def samples(shift=2.0, seed=0, prevalence=0.1):
    random = np.random.default_rng(seed)
    labels = (random.random(600) < prevalence).astype(float)
    return random.normal(shift * labels), labels


def report(scores, labels, objective, name="sick"):
    threshold = np.array([choose_threshold(scores, labels, objective).threshold])
    columns = (scores[:, None], labels[:, None], threshold)
    return evaluate(*columns, objective, label_names=[name], data="test")[0]


def records(stages=(("warm-up", 20), ("hinge", 25), ("polish", 15)), label="sick", seed=0):
    random, history, epoch = np.random.default_rng(seed), [], 0
    for number, (stage, length) in enumerate(stages):
        for step in range(length):
            epoch += 1
            bounded = 0.86 + 0.05 * number + 0.03 * random.random()
            history.append(
                {
                    "epoch": epoch,
                    "stage": stage,
                    "label": label,
                    "metric": "recall",
                    "value": 0.4 + 0.1 * number + 0.1 * random.random(),
                    "bounded_metric": "precision",
                    "bounded_value": bounded,
                    "bound": 0.88,
                    "feasible": bounded >= 0.88,
                    "multiplier": number * (1 + step / length),
                    "agreement": None if number == 0 else 1 - 0.03 * random.random(),
                }
            )
    return history


def frontier():
    rows = [
        {"method": method, "bound": bound, "metric": "recall", "value": value, "low": value - 0.1, "high": value + 0.1}
        for method, values in (("FPOR", (0.8, 0.7, 0.5)), ("cross-entropy", (0.7, 0.5, 0.2)))
        for bound, value in zip((0.7, 0.8, 0.9), values, strict=True)
    ]
    frame = pd.DataFrame(rows).assign(bounded_metric="precision", bound_direction="min", met=True)
    frame.loc[5, "met"] = False
    return frame


def draw_precision_recall(shift=2.0):
    own, other = samples(shift), samples(1.5)
    scored = {"direct": own, "cross-entropy": other}
    curves = {name: precision_recall_curve(*pair) for name, pair in scored.items()}
    points = {name: report(*pair, FPOR(0.7)) for name, pair in scored.items()}
    return plot_precision_recall(curves, points, bands={"direct": precision_band(*own)}, title="a title").figure


def draw_labels(shift=2.0):
    curves, points = {}, {}
    for number, label in enumerate(("Edema", "Pneumonia", "Enlarged Cardiomediastinum")):
        pair = samples(shift + number / 2, number)
        curves[label], points[label] = {"direct": precision_recall_curve(*pair)}, {"direct": report(*pair, FPOR(0.7))}
    return plot_labels(curves, points, title="a title")[0].figure


def draw_scores(shift=2.0):
    scores, labels = samples(shift)
    return plot_scores(scores, labels, choose_threshold(scores, labels, FPOR(0.7)).threshold, title="a title").figure


def draw_history(seed=0):
    return plot_history(records(seed=seed), title="a title")[0].figure


def draw_frontier(less=0.0):
    frame = frontier()
    frame[["value", "low", "high"]] -= less
    return plot_frontier(frame, title="a title").figure


def draw_reliability(power=1.0):
    random = np.random.default_rng(0)
    probabilities = random.random(2000) ** 3
    labels = (random.random(2000) < probabilities).astype(float)
    return plot_reliability(probabilities**power, labels, title="a title").figure


def draw_decision_curve(power=1.0):
    random = np.random.default_rng(0)
    probabilities = random.random(2000) ** 3
    labels = (random.random(2000) < probabilities).astype(float)
    models = {"ours": probabilities**power, "other": np.full(2000, labels.mean())}
    return plot_decision_curve(models, labels, title="a title").figure


def draw_subgroups(shift=2.0):
    scores, labels = samples(shift, prevalence=0.4)
    sites = np.array(list("ABC"))[np.arange(600) % 3]
    program = Program("recall", ["precision >= 0.9", "recall >= 0.75 in every site"])
    result = from_scores(scores, labels, program, subgroups=sites, confidence=None)
    return plot_subgroups(result.train, title="a title").figure


# How each is drawn, and with which other number it must not look the same.
PICTURES = {
    "precision_recall": (draw_precision_recall, 3.0),
    "labels": (draw_labels, 3.0),
    "scores": (draw_scores, 3.0),
    "history": (draw_history, 1),
    "frontier": (draw_frontier, 0.1),
    "reliability": (draw_reliability, 2.0),
    "decision_curve": (draw_decision_curve, 3.0),
    "subgroups": (draw_subgroups, 0.5),
}


def write(name, folder, *changed):
    """Draw as a fresh matplotlib would, whatever the machine's settings."""
    with matplotlib.rc_context(STYLE):
        path = Path(folder) / f"{name}.png"
        figure = PICTURES[name][0](*changed)
        for ax in figure.axes:
            ax.tick_params(labelbottom=False, labelleft=False)
        for legend in [*figure.legends, *(own for ax in figure.axes if (own := ax.get_legend()))]:
            legend.remove()
        for words in figure.findobj(Text):
            words.set_visible(False)
            words.set_in_layout(False)
        # Whole pixels: of 229.99999 some versions of matplotlib make 229, and others 230.
        figure.set_size_inches((np.round(figure.get_size_inches() * DPI) + 0.01) / DPI)
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


if __name__ == "__main__":
    BASELINE.mkdir(exist_ok=True)
    for name in PICTURES:
        print(write(name, BASELINE))
