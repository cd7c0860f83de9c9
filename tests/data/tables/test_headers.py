"""A first line that holds values is no header."""

import pandas as pd
import pytest

from metricopt import InvalidInputError
from metricopt.data import read_pieces, read_table

ROWS = ["61,F,0.7,1", "47,M,-1.25,0", "50,F,2.5,0", "61,M,0.5,1"]


@pytest.mark.parametrize(
    "lines",
    [
        ROWS,
        [row.replace(",", ";").replace(".", ",") for row in ROWS],
        ["0.5,1.25,0", "0.25,-3.5,1", "1.5,2.5,0"],
        ["0,1,0,0,1", "1,1,0,0,1", "0,0,1,0,1"],
        ["5.1,3.5,1.4,0.2,setosa", "4.9,3.0,1.4,0.2,setosa", "7.0,3.2,4.7,1.4,versicolor"],
        ["sick,F,high", "well,M,low", "sick,M,high", "well,F,low"],
    ],
)
def test_files_without_a_header(tmp_path, lines):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    for read in (read_table, lambda path: list(read_pieces(path))):
        with pytest.raises(InvalidInputError, match="first line holds values .*; write a line with their names above"):
            read(path)
    separator = ";" if ";" in lines[0] else ","
    names = separator.join("abcde"[: lines[0].count(separator) + 1])
    path.write_text("\n".join([names, *lines]) + "\n")
    assert len(read_table(path)) == len(lines)


@pytest.mark.parametrize(
    "header",
    [
        "0,1,2,3,4",
        ",0,1,2,3",
        "1,0,3,2,4",
        "2021,2019,2020,country,y",
        "400.5,402.3,404.1,405.9,407.7",
        "age,sex,dose,0,1",
        "0.5 mg,1 mg,2 mg,4 mg,y",
        "2020-01-01,2020-01-02,2020-01-03,a,b",
    ],
)
def test_names_that_look_like_numbers(tmp_path, header):
    path = tmp_path / "table.csv"
    path.write_text(f"{header}\n1,0,1,0,2\n0,1,0,1,1\n1,1,0,0,0\n")
    assert [name.strip() for name in header.split(",")] == list(read_table(path).columns)


@pytest.mark.parametrize(
    "lines",
    [["x y", "1 0.5 0", "2 0.7 1"], ["x  b y", "1 2  0", "3 4 1"], ['"x" "b c" "y"', '"a b" 1 0', '"d" 2 1']],
)
def test_columns_with_nothing_but_blanks_between_them(tmp_path, lines):
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InvalidInputError, match="nothing but blanks between the columns .*; separate them by commas"):
        read_table(path)
    for cells in (["Anna Maria Smith", "Bo"], ["1 234", "2 000"], ["a, b", "c, d"]):
        pd.DataFrame({"full name": cells}).to_csv(path, index=False)
        assert read_table(path)["full name"].tolist() == cells
