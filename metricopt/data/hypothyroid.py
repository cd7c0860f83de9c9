"""The table of real patients that comes with the package: the hypothyroid records of UCI Thyroid Disease."""

from __future__ import annotations

from importlib.resources import as_file, files

from metricopt.data.tables import Table, make_table, read_table


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
    with as_file(files("metricopt.data") / "hypothyroid.csv.gz") as path:
        return make_table(read_table(path), label="diagnosis", positive="hypothyroid")
