"""docs/add-a-venue.md shows the toy venue as it is, all of it. `python tests/test_add_a_venue.py` puts its files into the page.

A comment on the page names the file that the block after it shows. A file that is shown in parts says where each begins; a part
ends where the next one begins.
"""

import re
from pathlib import Path

from attrs import fields_dict

from router.testing.conformance import CASES
from router.venue import Spec

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "add-a-venue.md"
TOY = ROOT / "examples" / "toyvenue"
SHOWN = re.compile(r"<!-- (?P<path>[\w./]+)(?:, from: (?P<start>[^\n]+))? -->\n(?:\n```\w+\n.*?\n```\n)?", re.DOTALL)
PLUMBING = {"title", "docs_url", "url", "http_url", "bearer"}


def refreshed(page):
    """The page, with the files as they are."""
    marks = [(found["path"], found["start"] or "") for found in SHOWN.finditer(page)]
    blocks = iter([f"\n```{_language(path)}\n{_part(path, start, marks)}\n```\n" for path, start in marks])
    return SHOWN.sub(lambda found: found[0].partition("\n")[0] + "\n" + next(blocks), page)


def _part(path, start, marks):
    """The lines of a file from where this part begins to where the next one does."""
    lines = (TOY / path).read_text().splitlines()
    begins = sorted(_line(lines, each) for other, each in marks if other == path)
    end = next((line for line in begins if line > _line(lines, start)), len(lines))
    return "\n".join(lines[_line(lines, start) : end]).strip("\n")


def _line(lines, start):
    return next(number for number, line in enumerate(lines) if line.strip().startswith(start))


def _language(path):
    return "toml" if path.endswith("toml") else "python"


def test_the_page_shows_the_files_as_they_are():
    page = PAGE.read_text()
    assert page == refreshed(page), "the files have changed; refresh the page: python tests/test_add_a_venue.py"


def test_every_line_of_the_toy_venue_is_on_the_page():
    blocks = "\n".join(re.findall(r"```(?:python|toml)\n(.*?)```", PAGE.read_text(), re.DOTALL)).splitlines()
    files = [TOY / "pyproject.toml", *(TOY / "toyvenue").glob("*.py")]
    assert len(files) == 4
    assert {TOY / found["path"] for found in SHOWN.finditer(PAGE.read_text())} == set(files)
    for path in files:
        assert [line for line in path.read_text().splitlines() if line.strip() and line not in blocks] == []


def test_a_change_of_a_file_is_noticed_and_mended():
    page = PAGE.read_text()
    spoilt = page.replace('"already filled"', '"already gone"')
    assert spoilt != page
    assert refreshed(spoilt) != spoilt
    emptied = re.sub(r"( -->\n)\n```\w+\n.*?\n```\n", r"\1", page, flags=re.DOTALL)
    assert len(emptied) < len(page) / 1.5
    assert refreshed(emptied) == page


def test_it_explains_every_claim_of_a_spec():
    named = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    assert set(fields_dict(Spec)) - PLUMBING - named == set()


def test_the_failure_that_it_shows_is_one_of_the_cases():
    page = PAGE.read_text()
    assert str(CASES[24]) in page
    assert CASES[24].rule in page
    assert str(CASES[1]) in page


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text()))
