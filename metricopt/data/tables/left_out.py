"""Columns that are no features: row numbers, identifiers, dates, free text, and columns that never vary.

This file decides by the name and the values of a column why it is left out. A column is a feature where it gives no
reason.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from metricopt.data.tables.cells import Cells

MAX_CATEGORIES = 50
"""How many columns a categorical feature can become. Rarer categories are treated like unseen ones."""

MIN_ROWS = 20
"""In fewer rows, values that are all different say nothing about a column."""

ONE_VALUE = "holds one value alone"
NO_VALUE = "holds no value"
ROW_NUMBERS = "row numbers"
IDENTIFIER = "an identifier"
DATES = "dates or times"
EVERY_ROW = "a different text in nearly every row"
FREE_TEXT = "free text"

_NEARLY = 0.9
_WORDS_OF_FREE_TEXT = 4
_IDS = {"id", "ids", "identifier", "mrn", "uuid", "guid", "ssn", "rowid", "accession"}
_PEOPLE = {"patient", "subject", "person", "participant", "member", "client", "customer", "user", "pat"}
_ENTITIES = {*_PEOPLE, "case", "record", "row", "sample", "study", "encounter", "admission", "account", "order"}
_NUMBERS = {"no", "nr", "num", "number", "key"}
_RUN_TOGETHER = re.compile(rf"^({'|'.join([*sorted(_ENTITIES), 'hadm', 'stay', 'visit', 'image', 'dicom'])})ids?$")
_OF_PEOPLE = {*_PEOPLE, "mrn", "uuid", "guid", "ssn"}
_FIRST_DAY, _LAST_DAY = 19000101, 21001231
_FIRST_SECOND, _LAST_SECOND = 978307200, 2208988800  # of 2001 and of 2040, since 1970
_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?"
_MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_YEAR = r"(19|20)\d{2}"
_WEEKDAY = r"(\p{L}{2,9}\.?,? )?"
_DAYS = (
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}",
    r"\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})",
    rf"\d{{1,2}}[- .]+{_MONTH}[- .,]*\d{{2,4}}",
    rf"{_MONTH} \d{{1,2}},? \d{{4}}",
    rf"\d{{1,2}}[- .]+(de )?\p{{L}}{{3,}}\.?[- ,](de )?{_YEAR}",  # months in other languages
    rf"{_YEAR}[-/](0[1-9]|1[0-2])",
    rf"(0?[1-9]|1[0-2])[-/]{_YEAR}",
    rf"{_MONTH}[- /]{_YEAR}",
    rf"(0[1-9]|[12]\d|3[01])(0[1-9]|[12]\d|3[01]){_YEAR}",  # 31012020, 01312020
    r"\d{4} ?[年년] ?\d{1,2} ?[月월]( ?\d{1,2} ?[日일])?",
)
_DATE = rf"^({_WEEKDAY}({'|'.join(_DAYS)})([ T]+{_CLOCK})?|{_CLOCK})( ?(Z|UTC|[+-]\d{{2}}:?\d{{2}}))?$"


def why_no_numbers(name: str, values: NDArray[np.float64]) -> str | None:
    """Return why a numeric column (NaN: missing) is no feature, None if it is one."""
    missing = np.isnan(values)
    present = values[~missing] if missing.any() else values
    if len(present) == 0:
        return NO_VALUE
    low, high = float(present.min()), float(present.max())
    if low == high:
        return ONE_VALUE if len(present) == len(values) else None
    if not np.isfinite(high - low):
        return None
    may_be_compact = low >= _FIRST_DAY and high <= _LAST_DAY
    is_identifier, is_of_people = is_named_identifier(name), names_people(name)
    are_in_range = any(low >= each * _FIRST_SECOND and high <= each * _LAST_SECOND for each in (1, 1000))
    may_be_seconds = are_in_range and not is_identifier
    may_differ = high - low >= len(present) - 1  # else some value repeats
    is_dense = may_differ and high - low < 3 * len(present) and len(present) >= MIN_ROWS
    if not (may_be_compact or may_be_seconds or is_identifier or is_dense or _names_rows(name)):
        return None
    if (present != np.rint(present)).any():
        return None
    if may_be_seconds or (may_be_compact and _are_compact_dates(present)):
        return DATES
    num_distinct = len(np.unique(present))
    differ = num_distinct == len(present)
    if differ and (is_dense or _names_rows(name)):
        return ROW_NUMBERS
    if is_identifier and (differ or is_of_people or num_distinct > MAX_CATEGORIES):
        return IDENTIFIER
    return None


def why_no_categories(name: str, cells: Cells) -> str | None:
    """Return why a column of text is no feature, None if it is one."""
    import pyarrow.compute as pc

    counts = cells.counts
    num_distinct, num_present = len(cells.texts), int(counts.sum())
    if num_present == 0:
        return NO_VALUE
    if num_distinct == 1:
        return ONE_VALUE if num_present == len(cells.codes) else None
    are_dates = pc.match_substring_regex(cells.texts, _DATE).to_numpy(zero_copy_only=False).astype(bool)
    if counts[are_dates].sum() >= _NEARLY * num_present:
        return DATES
    may_be_identifier = num_distinct == num_present or num_distinct > MAX_CATEGORIES or names_people(name)
    if may_be_identifier and is_named_identifier(name):
        return IDENTIFIER
    words = pc.count_substring_regex(cells.texts, r"\S+").to_numpy(zero_copy_only=False)
    if num_distinct > MAX_CATEGORIES and (words * counts).sum() >= _WORDS_OF_FREE_TEXT * num_present:
        return FREE_TEXT
    if num_present >= MIN_ROWS and num_distinct >= _NEARLY * num_present:
        return EVERY_ROW
    return None


def is_named_identifier(name: str) -> bool:
    """Say whether the name of a column is one that identifiers have: patient_id, MRN, caseNo."""
    words = _words(name)
    return (
        bool(_IDS.intersection(words))
        or any(_RUN_TOGETHER.match(word) for word in words)
        or (len(words) == 1 and words[0] in _ENTITIES)
        or (len(words) > 1 and words[-1] in _NUMBERS and bool(_ENTITIES.intersection(words)))
    )


def names_people(name: str) -> bool:
    """Say whether the name of a column is that of an identifier of people: patient_id, MRN, or id alone."""
    words = _words(name)
    together = [match[1] for match in map(_RUN_TOGETHER.match, words) if match]
    is_of_people = words in (["id"], ["ids"]) or bool(_OF_PEOPLE.intersection([*words, *together]))
    return is_of_people and is_named_identifier(name)


def _names_rows(name: str) -> bool:
    return name.lower() in ("", "index", "row") or name.startswith("Unnamed:")


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _are_compact_dates(values: NDArray[np.float64]) -> bool:
    """Say whether all numbers are days written as 20200131."""
    month, day = values // 100 % 100, values % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())
