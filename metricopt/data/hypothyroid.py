"""The real table that comes with the package: UCI Thyroid Disease, the hypothyroid records."""

from __future__ import annotations

from importlib.resources import as_file, files

from metricopt.data.tables import Table, make_table, read_table


def load_hypothyroid() -> Table:
    """Return 3163 patients with 25 features, 151 of them hypothyroid (4.8 %).

    Age, sex, yes/no findings and six blood tests; 8 to 22 % of the values of a test are missing, of the sixth (TBG)
    92 %. Source and licence (CC BY 4.0): ``hypothyroid.txt`` beside the data file.

    Returns
    -------
    Table
        Label column ``diagnosis``, positive value ``hypothyroid``.

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
