"""docs/fidelity.md: no step, table or figure of the papers without a verdict, and every place that it names exists."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "fidelity.md").read_text()
VERDICTS = ("faithful", "Ours:", "not offered", "no computation", "RGB faithful", "Kinetics, and lists")


def rows_of(paper):
    """(step, where, verdict) of each row below the heading that begins with ``paper``."""
    section = PAGE.split(f"## {paper}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]


def numbers_of(kind, paper):
    """Numbers of the tables or figures that the steps name: "Table 5-7" are three."""
    found = set()
    for step, *_ in rows_of(paper):
        for text in re.findall(rf"{kind}s? ((?:\d+(?:-\d+)?(?:, | and )?)+)", step):
            for first, _, last in (part.partition("-") for part in re.split(", | and ", text) if part):
                found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize(
    ("paper", "num_tables", "num_figures"), [("OmniSource", 10, 8), ("IG-65M", 17, 4)]
)  # fmt: skip
def test_every_table_and_figure_has_a_row(paper, num_tables, num_figures):
    assert numbers_of("Table", paper) >= set(range(1, num_tables + 1))
    assert numbers_of("Fig.", paper) >= set(range(1, num_figures + 1))


@pytest.mark.parametrize("paper", ["OmniSource", "IG-65M"])
def test_every_row_says_whether_it_is_as_written(paper):
    for row in rows_of(paper):
        assert len(row) == 3, row
        assert row[2].startswith(VERDICTS), row


def test_named_places_exist():
    places = re.findall(r"`((?:stages|training|models|motion|data|media|inference)/[\w./]*)`", PAGE)
    assert len(places) > 20
    assert not [place for place in places if not (REPOSITORY / "omnicli" / place).exists()]
    for page in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (REPOSITORY / "docs" / page).exists(), page
