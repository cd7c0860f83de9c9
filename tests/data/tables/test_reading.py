import csv
import gzip
import io

import numpy as np
import pandas as pd
import pytest

from metricopt._validation import InvalidInputError
from metricopt.data import TablePreprocessor, read_pieces, read_table

FRAME = pd.DataFrame(
    {
        "age": [61, 47, 50, 38],
        "dose": [0.5, None, 2.5, 1.0],
        "sex": ["F", "M", None, "F"],
        "outcome": ["sick", "well", None, "well"],
    }
)


def zipped(content):
    """Compressed without the time, which would give tests other names in each worker."""
    return gzip.compress(content, mtime=0)


def read_text(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return read_table(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".parquet", ".CSV"])
def test_reads_each_format_alike(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    read = read_table(path)
    expected = TablePreprocessor.fit(FRAME)
    assert TablePreprocessor.fit(read) == expected
    np.testing.assert_array_equal(expected.transform(read), expected.transform(FRAME))


def test_question_marks_and_blanks_are_missing(tmp_path):
    frame = read_text(tmp_path, "a,b , c\n1, x,?\n?,,  ?\n,y,3\n")
    assert list(frame.columns) == ["a", "b", "c"]
    assert frame.isna().to_numpy().tolist() == [[False, False, True], [True, True, True], [True, False, False]]
    assert frame["b"].dropna().tolist() == ["x", "y"]


@pytest.mark.parametrize("rows", ["1,2\n1,2,3\n", "1,2,3\n4,5,6\n"])
def test_rows_with_too_many_cells_do_not_shift_the_columns(tmp_path, rows):
    with pytest.raises(InvalidInputError, match="path must be a readable table, got .*every row has its columns"):
        read_text(tmp_path, "a,b\n" + rows)
    assert read_text(tmp_path, "a,b\n1,2\n")["a"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("table.json", b"", "path must be a .csv, .tsv or .parquet file, got .*table.json; convert"),
        ("table.xlsx", b"", "path must be a .csv, .tsv or .parquet file, got .*table.xlsx; .* save the sheet as CSV"),
        ("table.XLS", b"", "got .*table.XLS; .* save the sheet as CSV"),
        ("excel.csv", b"PK\x03\x04\x14\x00", "a text file, got .*excel.csv, which is an Excel or zip .* as CSV"),
        ("old.tsv", b"\xd0\xcf\x11\xe0\xa1", "a text file, got .*old.tsv, which is an Excel file; .* as CSV"),
        ("parquet.csv", b"PAR1\x15", "a text file, got .*which is a Parquet file; let its name end in .parquet"),
        ("packed.csv", zipped(b"a,b\n1,2\n"), "which is a file that gzip wrote; let its name end in .gz"),
        ("cut.csv.gz", zipped(b"a,b\n1,2\n" * 99)[:-9], "a readable table, got .*; the file is not whole"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16-le"), "a text file in UTF-8, got .*zero bytes; save it as UTF-8"),
        ("wider.csv", "a,b\n1,2\n".encode("utf-32"), "a text file in UTF-8, got .*zero bytes; save it as UTF-8"),
        ("zero.csv", b"a,b\n1,\x00\n", "a text file in UTF-8, got .*zero bytes; save it as UTF-8"),
        ("table", b"a,b\n1,2\n", "path must be a .csv, .tsv or .parquet file"),
        ("table.gz", b"", "path must be a .csv, .tsv or .parquet file"),
        ("empty.csv", b"", "path must be a readable table, got .*empty.csv .it is empty.; check how"),
        ("mark.csv", b"\xef\xbb\xbf", "path must be a readable table, got .*mark.csv .it is empty.; check how"),
        ("empty.csv.gz", zipped(b""), "path must be a readable table, got .*it is empty.; check how"),
        ("empty.parquet", b"", "path must be a readable table"),
        ("header.csv", b"a,b\n", "path must be a table with at least one row, got no rows in"),
        ("line.csv", b"a,b", "path must be a table with at least one row, got no rows in"),
        ("text.parquet", b"a,b\n1,2\n", "path must be a readable table"),
        ("latin.csv", b"a,b\n\xff,2\n", "path must be a readable table"),
        ("short.csv", b"a,b\n1,2\n1\n", "path must be a readable table, got .*every row has its columns"),
        ("table.csv.gz", b"a,b\n1,2\n", "path must be a readable table, got .*; leave .gz out of its name"),
        ("open.csv", b'a,b\n1,"x\n3,4\n', "a quote is never closed: the last cell begins with .*; close it, or remove"),
        ("open16.csv", 'a,b\n1,"x\n3,4\n'.encode("utf-16"), "a quote is never closed"),
        (
            "title.csv",
            b"Report\n\na,b\n1,2\n",
            "path must be a readable table, got .*check that the header is the first line",
        ),
        ("short.parquet", b"PAR1", "path must be a readable table, got .*; check how the file was written"),
    ],
)
@pytest.mark.parametrize("read", [read_table, lambda path: list(read_pieces(path))])
def test_unreadable_files(tmp_path, name, content, message, read):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize("text", ["sep=;\na;b\n1,5;x\n", 'SEP=;\r\n"a";b\r\n1,5;x\r\n', "\ufeffsep=;\na;b\n1,5;x"])
def test_the_line_in_which_excel_tells_the_separator(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("utf-8"))
    frame = read_table(path)
    assert list(frame.columns) == ["a", "b"] and frame.iloc[0].tolist() == ["1,5", "x"]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_line_may_be_long(tmp_path, separator):
    header = separator.join(f"{place:099d}" for place in range(2_000))
    frame = read_text(tmp_path, f"{header}\n" + separator.join(["1"] * 2_000) + "\n")
    assert frame.shape == (1, 2_000)
    assert read_text(tmp_path, f"a{separator}b\n{'x' * 200_000}{separator}2\n")["b"].tolist() == ["2"]


def test_the_types_of_parquet(tmp_path):
    import decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    price = [decimal.Decimal("1.50"), None, decimal.Decimal("-2.25"), decimal.Decimal("3")]
    site = pa.array(["b", "a", None, "b"]).dictionary_encode()
    frame = pd.DataFrame({"count": pd.array([1, None, 3, 4], "Int64"), "is_old": pd.array([True, None, False, True])})
    table = pa.Table.from_pandas(frame).append_column("price", pa.array(price)).append_column("site", site)
    pq.write_table(table, tmp_path / "table.parquet")
    read = read_table(tmp_path / "table.parquet")
    preprocessor = TablePreprocessor.fit(read)
    names = ["count", "count missing", "is_old", "is_old missing", "price", "price missing"]
    assert preprocessor.feature_names == [*names, "site = a", "site = b", "site missing"]
    assert preprocessor.numeric[2].median == 1.5
    plain = read.assign(price=[1.5, None, -2.25, 3]).astype({"site": object})
    np.testing.assert_array_equal(preprocessor.transform(read), preprocessor.transform(plain))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_text_in_unicode_is_read(tmp_path, encoding, suffix):
    path = tmp_path / f"table.{suffix}"
    content = "name,y\nJosé,1\n".encode(encoding)
    path.write_bytes(gzip.compress(content) if suffix == "csv.gz" else content)
    frame = read_table(path)
    assert list(frame.columns) == ["name", "y"] and frame.iloc[0].tolist() == ["José", "1"]


@pytest.mark.parametrize("text", ["name,y\nJosé,1\n", "naïf,y\n2,1\n"])
def test_text_in_another_encoding(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInputError, match="path must be a readable table, got .*table.csv .*; save it as UTF-8"):
        read_table(path)


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("name", ["table.csv", "table.tsv"])
def test_the_separator_is_seen(tmp_path, separator, name):
    text = 'age,note,y\n1,"x, y; z",0\n2,,1\n3,"a\nb",0\n'
    frame = read_text(tmp_path, "\n".join(separator.join(row) for row in csv_rows(text, separator)) + "\n", name)
    assert list(frame.columns) == ["age", "note", "y"]
    assert frame["note"].fillna("-").tolist() == ["x, y; z", "-", "a\nb"] and frame["y"].tolist() == ["0", "1", "0"]


def csv_rows(text, separator):
    """Return the cells of a text with commas, in quotes where they need them."""
    for row in csv.reader(io.StringIO(text)):
        yield [f'"{cell}"' if set(cell) & set(",;\t|\n") else cell for cell in row]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("age;weight (kg, dry);y\n1;2,5;0\n2;3;1\n", ["age", "weight (kg, dry)", "y"]),
        ("a;b,c\nx;y,1\nz,2\n", ["a;b", "c"]),
        ("age\n1\n2\n", ["age"]),
    ],
)
def test_the_separator_that_fits_all_lines_is_taken(tmp_path, text, columns):
    assert list(read_text(tmp_path, text).columns) == columns


@pytest.mark.parametrize("names", ["outcome,a,outcome", "a,a ,outcome", 'x,"y", y'])
def test_names_that_are_there_twice(tmp_path, names):
    with pytest.raises(InvalidInputError, match="table must be one whose columns have different names, got twice"):
        read_text(tmp_path, f"{names}\n1,2,3\n")
    assert read_text(tmp_path, "a,A,b\n1,2,3\n").shape == (1, 3)


def test_cells_stay_as_they_are_written(tmp_path):
    frame = read_text(tmp_path, "a,b,c\n001, TRUE ,None\n250.00,n/a,NULL\n")
    assert frame.fillna("-").to_numpy().tolist() == [["001", "TRUE", "None"], ["250.00", "-", "-"]]


def test_missing_file(tmp_path):
    with pytest.raises(InvalidInputError, match="path must be an existing file, got .*no.csv; check"):
        read_table(tmp_path / "no.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_last_cell_may_end_in_a_line_of_its_own(encoding, tmp_path):
    path = tmp_path / "notes.csv"
    path.write_bytes('a,b\n1,"x\n"\n2,"y\nz\n"\n'.encode(encoding))
    assert read_table(path)["b"].tolist() == ["x\n", "y\nz\n"]
