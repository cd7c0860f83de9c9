"""Every data set of the benchmarks by name, in groups: what is positive, and which rows and columns are kept.

Left out, though a package has them: sets whose terms allow no use beyond a course or a contest (stroke records of
unnamed origin, RSNA pneumonia), simulated ones (prostateSurvival, twonorm) and those that share patients with a set
below (right heart catheterization with SUPPORT). The tasks of CheXpert have no patient in common either, but for those
of the label context, which take all patients each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.data.bundled import load_breast_cancer, load_hypothyroid
from benchmarks.data.chexpert_labels import load_chexpert_labels
from benchmarks.data.digits import load_digit
from benchmarks.data.fashion import load_clothes
from benchmarks.data.keel import load_keel
from benchmarks.data.newsgroups import load_posts
from benchmarks.data.nih_labels import load_nih_labels
from benchmarks.data.problem import BenchmarkData
from benchmarks.data.solar_cells import load_solar_cells
from benchmarks.data.spam import load_spam
from benchmarks.data.survival import load_survival
from benchmarks.packages import MINILM, WORDLLAMA

_Loaders = dict[str, Callable[[str], BenchmarkData]]
_PATIENTS = 12_000

BENCHMARK: _Loaders = {
    "hypothyroid": load_hypothyroid,
    "chexpert_pneumonia": partial(load_chexpert_labels, finding="Pneumonia", part=0, num_patients=_PATIENTS),
    "chexpert_fracture": partial(load_chexpert_labels, finding="Fracture", part=1, num_patients=_PATIENTS),
    "chexpert_pleural_other": partial(load_chexpert_labels, finding="Pleural Other", part=2, num_patients=_PATIENTS),
    "chexpert_lung_lesion": partial(load_chexpert_labels, finding="Lung Lesion", part=3, num_patients=_PATIENTS),
    "support": partial(
        load_survival,
        file="support2",
        horizon=7.0,  # days
        # Not here: scores of models fitted to these deaths (surv2m, surv6m, sps); do-not-resuscitate orders, which may
        # come later; the state after two months; what an interview told, which the dying gave more seldom.
        features=(
            *("num_age", "fac_sex", "fac_race", "fac_dzgroup", "num_num_co", "fac_diabetes", "fac_dementia", "fac_ca"),
            *("num_scoma", "num_hday", "num_meanbp", "num_wblc", "num_hrt", "num_resp", "num_temp", "num_pafi"),
            *("num_alb", "num_bili", "num_crea", "num_sod", "num_ph", "num_glucose", "num_bun", "num_urine"),
        ),
        # The first two lines as SUPPORT's authors advise, the rest midpoints of reference ranges.
        normal={
            **{"num_pafi": 333.3, "num_alb": 3.5, "num_bili": 1.01, "num_crea": 1.01, "num_wblc": 9.0},
            **{"num_bun": 6.51, "num_urine": 2502.0},
            **{"num_ph": 7.4, "num_glucose": 100.0, "num_scoma": 0.0, "num_meanbp": 90.0, "num_hrt": 75.0},
            **{"num_resp": 16.0, "num_temp": 37.0, "num_sod": 140.0},
        },
        task="death of seriously ill patients by day 7 in the study, from findings up to day 3",
        source="SUPPORT2 (Vanderbilt, UCI), as in SurvSet",
        licence="CC BY 4.0",
    ),
    "wilms_tumour": partial(
        load_survival,
        file="nwtco",
        horizon=730.0,  # days
        features=("num_age", "num_stage", "fac_histol", "fac_instit", "fac_study"),
        task="relapse of a Wilms tumour within 2 years of diagnosis",
        source="nwtco of R's survival, as in SurvSet",
        licence="LGPL (>= 2)",
    ),
    "light_chains": partial(
        load_survival,
        file="flchain",
        horizon=730.0,  # days
        # Not here: the cause of death, and a diagnosis (mgus) whose date is not told.
        features=("num_age", "fac_sex", "num_sample_yr", "num_kappa", "num_lambda", "num_creatinine"),
        normal={"num_creatinine": 1.0},
        task="death within 2 years of a blood sample (free light chains)",
        source="flchain of R's survival, as in SurvSet",
        licence="LGPL (>= 2)",
    ),
    "rotterdam": partial(
        load_survival,
        file="rott2",
        horizon=30.0,  # months
        features=(
            *("num_age", "num_year", "fac_meno", "fac_tsize", "fac_grade", "num_nodes", "num_progesterone"),
            *("num_estrogen", "fac_hormon", "fac_chemo"),
        ),
        task="death within 30 months of surgery for breast cancer",
        source="rotterdam of R's survival (rott2 of AF), as in SurvSet",
        licence="LGPL (>= 2)",
    ),
    "page_blocks": partial(
        load_keel, file="imbalanced/raw/page-blocks0", positive="positive", task="blocks of a page that are not text"
    ),
    "yeast3": partial(load_keel, file="imbalanced/raw/yeast3", positive="positive", task="membrane proteins ME3"),
    "satimage": partial(load_keel, file="balanced/raw/satimage", positive="4", task="damp grey soil"),
    "spambase": partial(
        load_keel,
        file="balanced/raw/spambase",
        positive="1",
        task="spam, thinned to 300 mails",
        num_positives=300,
    ),
    "magic": partial(
        load_keel,
        file="balanced/raw/magic",
        positive="h",
        task="hadron showers, thinned to 1,500 among 8,500 gamma showers",
        num_positives=1_500,
        num_negatives=8_500,
    ),
}

FEW_POSITIVES: _Loaders = {
    "abalone19": partial(
        load_keel, file="imbalanced/raw/abalone19", positive="positive", task="abalones with 19 rings"
    ),
    "yeast_me2": partial(load_keel, file="imbalanced/raw/yeast4", positive="positive", task="membrane proteins ME2"),
    "red_wine": partial(
        load_keel, file="imbalanced/raw/winequality-red-4", positive="positive", task="red wines of quality 4"
    ),
    "breast_cancer": partial(load_breast_cancer, num_positives=40),
    "colon_cancer": partial(
        load_survival,
        file="colon",
        horizon=365.0,  # days
        features=(
            *("num_age", "fac_sex", "fac_rx", "fac_obstruct", "fac_perfor", "fac_adhere", "num_nodes", "fac_node4"),
            "fac_differ",
        ),
        normal={"num_nodes": 1.0},
        task="death within a year of joining a trial of chemotherapy for colon cancer",
        source="colon of R's survival, as in SurvSet",
        licence="LGPL (>= 2)",
    ),
    "aids": partial(
        load_survival,
        file="actg",
        horizon=180.0,  # days
        features=(
            *("num_age", "fac_sex", "fac_raceth", "fac_ivdrug", "fac_hemophil", "fac_tx", "fac_strat2"),
            *("num_karnof", "num_cd4", "num_priorzdv"),
        ),
        task="AIDS or death within 180 days in the trial ACTG 320",
        source="actg of R's mlr3proba, as in SurvSet",
        licence="LGPL-3",
    ),
}

FOR_DEVELOPMENT: _Loaders = {
    "letter": partial(
        load_keel,
        file="balanced/raw/letter",
        positive="H",
        task="the letter H, with 8,000 other letters",
        num_negatives=8_000,
    ),
    "infarction": partial(
        load_survival,
        file="TRACE",
        horizon=30 / 365.25,  # years
        features=("num_age", "num_wmi", "fac_sex", "fac_chf", "fac_diabetes", "fac_vf"),
        task="death within 30 days of a myocardial infarction",
        source="TRACE of R's timereg, as in SurvSet",
        licence="GPL (>= 2)",
    ),
    "phoneme": partial(
        load_keel,
        file="balanced/raw/phoneme",
        positive="1",
        task="oral vowels, thinned to 300",
        num_positives=300,
        source="ELENA, as in the KEEL repository",
        licence="none stated",
    ),
    "optical_digits": partial(
        load_keel, file="balanced/raw/optdigits", positive="8", task="the digit 8 in bitmaps of 8 x 8"
    ),
    "pen_digits": partial(
        load_keel, file="balanced/raw/penbased", positive="9", task="the digit 9 from the strokes of a pen"
    ),
    "segment": partial(load_keel, file="balanced/raw/segment", positive="3", task="windows of an outdoor image"),
    "vehicle": partial(
        load_keel,
        file="balanced/raw/vehicle",
        positive="saab",
        task="the silhouette of a Saab, thinned to 100",
        num_positives=100,
    ),
    "german_credit": partial(
        load_keel, file="balanced/raw/german", positive="2", task="bad credits, thinned to 100", num_positives=100
    ),
    "pima": partial(
        load_keel,
        file="balanced/raw/pima",
        positive="tested_positive",
        task="diabetes, thinned to 100 women",
        num_positives=100,
        source="NIDDK, as in the KEEL repository",
        licence="CC0, as published on Kaggle",
        medical=True,
    ),
    "mammographic": partial(
        load_keel,
        file="balanced/raw/mammographic",
        positive="1",
        task="malignant masses, thinned to 100",
        num_positives=100,
        medical=True,
    ),
    "nih_effusion": partial(load_nih_labels, finding="Effusion", part=0),
    "nih_atelectasis": partial(load_nih_labels, finding="Atelectasis", part=1),
}

ALL_PATIENTS: _Loaders = {
    "pneumonia_context": partial(load_chexpert_labels, finding="Pneumonia"),
    "fracture_context": partial(load_chexpert_labels, finding="Fracture"),
    "pleural_other_context": partial(load_chexpert_labels, finding="Pleural Other"),
    "lung_lesion_context": partial(load_chexpert_labels, finding="Lung Lesion"),
}

FROZEN_FEATURES: _Loaders = {
    "posts": partial(load_posts, topic="sci.med", encoder=MINILM),
    "posts_1": partial(load_posts, topic="sci.med", encoder=MINILM, prevalence=0.01),
    "posts_words": partial(load_posts, topic="sci.med", encoder=WORDLLAMA),
    "coats": partial(load_clothes, kind="coat", num_positives=300, num_negatives=5_700),
    "coats_1": partial(load_clothes, kind="coat", num_positives=100, num_negatives=9_900),
    "eights": partial(load_digit, prevalence=0.05),
    "solar_cells": partial(load_solar_cells, prevalence=0.05),
}
"""Not among the tables: the encoders take minutes, once."""

_load_clothes_5 = partial(load_clothes, num_positives=300, num_negatives=5_700)
_load_clothes_1 = partial(load_clothes, num_positives=100, num_negatives=9_900)

OTHER_FROZEN_FEATURES: _Loaders = {
    "autos": partial(load_posts, topic="rec.autos", encoder=MINILM),
    "space": partial(load_posts, topic="sci.space", encoder=MINILM),
    "guns": partial(load_posts, topic="talk.politics.guns", encoder=MINILM),
    "graphics": partial(load_posts, topic="comp.graphics", encoder=MINILM),
    "electronics": partial(load_posts, topic="sci.electronics", encoder=MINILM),
    "hockey_words": partial(load_posts, topic="rec.sport.hockey", encoder=WORDLLAMA),
    "forsale_words": partial(load_posts, topic="misc.forsale", encoder=WORDLLAMA),
    "mideast_words": partial(load_posts, topic="talk.politics.mideast", encoder=WORDLLAMA),
    "autos_1": partial(load_posts, topic="rec.autos", encoder=MINILM, prevalence=0.01),
    "space_1": partial(load_posts, topic="sci.space", encoder=MINILM, prevalence=0.01),
    "guns_1": partial(load_posts, topic="talk.politics.guns", encoder=MINILM, prevalence=0.01),
    "graphics_1": partial(load_posts, topic="comp.graphics", encoder=MINILM, prevalence=0.01),
    "electronics_1": partial(load_posts, topic="sci.electronics", encoder=MINILM, prevalence=0.01),
    "crypt_1": partial(load_posts, topic="sci.crypt", encoder=MINILM, prevalence=0.01),
    "forsale_words_1": partial(load_posts, topic="misc.forsale", encoder=WORDLLAMA, prevalence=0.01),
    "space_words_1": partial(load_posts, topic="sci.space", encoder=WORDLLAMA, prevalence=0.01),
    "pullovers": partial(_load_clothes_5, kind="pullover"),
    "shirts": partial(_load_clothes_5, kind="shirt"),
    "dresses": partial(_load_clothes_5, kind="dress"),
    "threes": partial(load_digit, digit=3, prevalence=0.05),
    "fours": partial(load_digit, digit=4, prevalence=0.05),
    "nines": partial(load_digit, digit=9, prevalence=0.05),
    "pullovers_1": partial(_load_clothes_1, kind="pullover"),
    "shirts_1": partial(_load_clothes_1, kind="shirt"),
    "dresses_1": partial(_load_clothes_1, kind="dress"),
    "fives_1": partial(load_digit, digit=5, prevalence=0.01),
}
"""Other topics, clothes and digits from the same files, on which defaults for wide linear models are chosen."""

FROM_A_FOLDER: dict[str, Callable[[str, Path], BenchmarkData]] = {
    "spam": partial(load_spam, encoder=WORDLLAMA, prevalence=0.05),
}
"""More of them, whose files lie in no package of Python; the caller says in which folder."""
