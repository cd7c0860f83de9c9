"""Random tables: a file of any rows in any order gives them the features that they have in memory."""

import gzip

import numpy as np
import pandas as pd
import pytest

from metricopt.data import TablePreprocessor, read_table
from metricopt.data.tables.cells import MISSING_CODES

NUM_TABLES, NUM_PARTS = 500, 4
BLANKS = ("", " ", "  ")
WORDS = ["None", "mild", "SEVERE", "severe", "ünknown", "a, b", "c;d", "tab	here", 'say "so"', "001", "1.50", "-"]


def drawn(random, values, num_rows):
    return [values[place] for place in random.integers(0, len(values), num_rows)]


def numbers(random, num_rows):
    kind = random.integers(4)
    if kind == 0:
        return random.integers(-50, 50, num_rows).astype(float)
    if kind == 1:
        return random.normal(0, 10.0 ** random.integers(-3, 7), num_rows).round(random.integers(0, 4))
    if kind == 2:
        return random.lognormal(0, 3, num_rows)
    return (random.random(num_rows) < 0.3).astype(float)


def written(random, number, style):
    """Return one number as text in the style of its column, and now and then without the mark of thousands."""
    decimal, thousands = style
    if random.random() < 0.2:
        return f"{number:.2f}".replace(".", decimal)
    return f"{number:,.2f}".replace(",", "t").replace(".", decimal).replace("t", thousands)


def column(random, num_rows):
    """Return a random column as cells of text, and as values in memory."""
    kind = random.integers(4)
    if kind == 0:
        words = list(random.choice(WORDS, random.integers(2, 6), replace=False))
        values = np.array(drawn(random, words, num_rows), dtype=object)
        cells = list(values)
    elif kind == 1:
        values = np.array(drawn(random, [True, False, "UNK"][: random.integers(2, 4)], num_rows), dtype=object)
        cells = [random.choice([str(v), str(v).upper(), str(v).lower()]) if v != "UNK" else v for v in values]
    else:
        style = [(".", ""), (",", ""), (".", ","), (",", "."), (".", " ")][random.integers(5)]
        whole = numbers(random, num_rows).round(2)  # with three digits, 1,234 could be either
        cells = [written(random, number, style) for number in whole.tolist()]
        values = np.array([float(number) for number in whole], dtype=object)
        if num_rows >= 30 and random.random() < 0.3:
            strange = np.arange(num_rows) == random.integers(num_rows)
            cells = ["<0.1" if is_strange else cell for cell, is_strange in zip(cells, strange, strict=True)]
            values[strange] = "<0.1"
    if random.random() < 0.6:
        missing = random.random(num_rows) < 0.15
        codes = drawn(random, [*MISSING_CODES, *BLANKS], num_rows)
        cells = [code if absent else cell for cell, code, absent in zip(cells, codes, missing, strict=True)]
        values[missing] = None
    if random.random() < 0.3:
        cells = [f"{random.choice(BLANKS)}{cell}{random.choice(BLANKS)}" for cell in cells]
    return cells, values


def write(path, header, rows, separator, encoding):
    lines = [separator.join(quoted(cell, separator) for cell in row) for row in [header, *rows]]
    content = ("\n".join(lines) + "\n").encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def quoted(cell, separator):
    doubled = cell.replace('"', '""')
    return f'"{doubled}"' if set(cell) & set('"\n,;\t|' + separator) else cell


def check(seed, folder):
    random = np.random.default_rng(seed)
    num_rows, num_columns = int(random.integers(3, 60)), int(random.integers(1, 5))
    header = [f"column {place}" for place in range(num_columns)]
    made = [column(random, num_rows) for _ in header]
    rows = list(zip(*(cells for cells, _ in made), strict=True))
    memory = pd.DataFrame({name: values for name, (_, values) in zip(header, made, strict=True)})
    separator, encoding = random.choice([",", ";", "\t", "|"]), random.choice(["utf-8", "utf-8-sig", "utf-16"])
    path = folder / f"table.{random.choice(['csv', 'tsv', 'csv.gz'])}"

    train = np.sort(random.choice(num_rows, max(2, num_rows * 3 // 4), replace=False))
    frame = read_table(write(path, header, rows, separator, encoding))
    try:
        preprocessor = TablePreprocessor.fit(frame.iloc[train])
    except ValueError as error:
        assert "at least one usable column" in str(error)
        return 0
    features, _ = preprocessor.transform_with_findings(frame)
    weights = random.normal(size=features.shape[1])
    own, _ = TablePreprocessor.fit(memory.iloc[train]).transform_with_findings(memory)
    np.testing.assert_allclose(own, features, rtol=1e-6, atol=1e-6)
    held, _ = preprocessor.transform_with_findings(memory)
    np.testing.assert_array_equal(held, features)
    for size in [1 if seed % 3 == 0 else int(random.integers(1, num_rows + 1))]:
        some = random.choice(num_rows, size)
        again = read_table(write(path, header, [rows[row] for row in some], separator, encoding))
        scored, _ = preprocessor.transform_with_findings(again)
        np.testing.assert_array_equal(scored, features[some])
        np.testing.assert_array_equal(scored @ weights, features[some] @ weights)
    return 1


@pytest.mark.slow
@pytest.mark.parametrize("part", range(NUM_PARTS))  # so that workers share them
def test_a_file_of_any_rows_gives_the_features_in_memory(part, tmp_path):
    used = sum(check(seed, tmp_path) for seed in range(part, NUM_TABLES, NUM_PARTS))
    assert used > 0.9 * NUM_TABLES / NUM_PARTS
