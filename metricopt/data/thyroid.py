"""The tables of real patients that come with the package: two of UCI Thyroid Disease, by Quinlan (1987)."""

from __future__ import annotations

from importlib.resources import as_file, files

from metricopt.data.tables import Table, make_table, read_table
from metricopt.data.tables.numbers import read_plain


def load_thyroid() -> Table:
    """Return 9172 records of patients with 29 features, of whom 659 (7.2 %) are hypothyroid.

    The features are age, sex, the source of the referral, yes/no findings and six blood tests. Of five tests 5 to 28 %
    of the values are missing, of the sixth (TBG) 96 %. The file ``thyroid.txt`` beside the data names the source, the
    licence (CC BY 4.0) and what was changed.

    Returns
    -------
    Table
        The label column is ``diagnosis``, and its positive value is ``hypothyroid``.

    References
    ----------
    J. R. Quinlan (1987). Thyroid Disease. UCI Machine Learning Repository.
    https://archive.ics.uci.edu/dataset/102/thyroid+disease

    Examples
    --------
    >>> load_thyroid()
    Table(9172 rows, 29 features, diagnosis = hypothyroid in 659)
    """
    return _bundled("thyroid.csv.gz")


def load_hypothyroid() -> Table:
    """Return 3163 patients with 25 features, of whom 151 (4.8 %) are hypothyroid.

    The features are age, sex, yes/no findings and six blood tests. Of five tests 8 to 22 % of the values are missing,
    of the sixth (TBG) 92 %. The file ``hypothyroid.txt`` beside the data names the source and the licence (CC BY 4.0).

    Returns
    -------
    Table
        The label column is ``diagnosis``, and its positive value is ``hypothyroid``.

    References
    ----------
    J. R. Quinlan (1987). Thyroid Disease. UCI Machine Learning Repository.
    https://archive.ics.uci.edu/dataset/102/thyroid+disease

    Examples
    --------
    >>> load_hypothyroid()
    Table(3163 rows, 25 features, diagnosis = hypothyroid in 151)
    """
    return _bundled("hypothyroid.csv.gz")


def _bundled(name: str) -> Table:
    with as_file(files("metricopt.data") / name) as path:
        frame = read_table(path)
    for column in frame.columns:
        numbers = read_plain(frame[column])
        frame[column] = frame[column].astype(object) if numbers is None else numbers
    return make_table(frame, label="diagnosis", positive="hypothyroid")
