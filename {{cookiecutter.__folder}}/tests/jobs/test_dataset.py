"""The data in this repository is complete."""

import csv
from collections import Counter
from pathlib import Path


def test_no_penguin_is_missing(raw: Path) -> None:
    """344 rows, 2 of them without measurements and 11 without a sex.

    Horst, Hill and Gorman (2022), https://doi.org/10.32614/RJ-2022-020
    """
    rows = []
    for table in sorted(raw.iterdir()):
        with table.open(newline="", encoding="utf-8") as stream:
            in_table = list(csv.DictReader(stream))
        assert {row["year"] for row in in_table} == {table.stem}
        rows += in_table
    species = Counter(row["species"] for row in rows)
    assert species == {"Adelie": 152, "Chinstrap": 68, "Gentoo": 124}
    assert sum(row["bill_length_mm"] == "NA" for row in rows) == 2
    assert sum(row["sex"] == "NA" for row in rows) == 11
