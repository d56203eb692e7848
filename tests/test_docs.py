"""The generated page of the docs says what the Specs say."""

from pathlib import Path

import attrs
import pytest

from adapters.dmex import Dmex
from adapters.qfex import Qfex
from router import IdKind, OrderType
from router.venue import Budget, Spec
from router.venuetable import PLUMBING, REFRESH, built_in, facts, markdown

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "venues.md"
ANOTHER = {
    "title": "another",
    "docs_url": "https://another.invalid",
    "deadline": 7.5,
    "quiet_period": 77.0,
    "budget": Budget(7, 1),
    "cancel_budget": Budget(8, 1),
    "cancel_kinds": frozenset({IdKind.TWAP}),
    "set_kinds": frozenset({IdKind.TWAP}),
    "needs_symbol": frozenset({IdKind.TWAP}),
    "order_types": frozenset({OrderType.TWAP}),
    "lists": frozenset({IdKind.TWAP}),
    "replaces": frozenset({IdKind.TWAP}),
    "replace_is_new": False,
    "mass_cancels": frozenset({IdKind.TWAP}),
    "tells_trades": True,
    "docs": {"stops": "another word"},
}


def test_the_page_of_venues_is_what_the_specs_say():
    assert PAGE.read_text() == markdown(built_in()), f"docs/venues.md is not what the Specs say; refresh it: {REFRESH}"


def test_the_readme_links_it():
    assert "(docs/venues.md)" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("field", [each.name for each in attrs.fields(Spec) if each.name not in PLUMBING])
def test_whatever_a_venue_can_do_is_in_the_table(field):
    """A new field of Spec has a row, or is named in PLUMBING."""
    assert rows(venue=Dmex.declared) != rows(venue=attrs.evolve(Dmex.declared, **{field: ANOTHER[field]}))


def test_each_venue_is_a_column_and_each_sentence_a_cell():
    table = rows(dmex=Dmex.declared, qfex=Qfex.declared)
    assert table[0] == "|  | dmex | qfex |"
    assert "| tells every trade | no | yes |" in table
    assert "| native cancel-all takes | - | `order` |" in table
    assert "| rate budget of cancels | the same | 12000 in 60 s |" in table
    assert f"| in words: cancel all | - | {Qfex.declared.docs['cancel all']} |" in table
    assert len({row.count(" | ") for row in table}) == 1


def test_a_cell_holds_whatever_a_sentence_has_in_it():
    spec = attrs.evolve(Dmex.declared, docs={"cancel": "one | the\nother"})
    assert r"| in words: cancel | one \| the other |" in rows(dmex=spec)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cancel_kinds", None),
        ("lists", "order"),
        ("docs", []),
        ("deadline", "soon"),
        ("budget", 10),
        ("docs_url", None),
    ],
)
def test_a_spec_of_other_things_is_refused_naming_the_field(field, value):
    with pytest.raises(TypeError, match=f"^{field} was "):
        facts(attrs.evolve(Dmex.declared, **{field: value}))


def rows(**specs):
    """The lines of the table."""
    page = markdown({name: facts(spec) for name, spec in specs.items()})
    return [line for line in page.splitlines() if line.startswith("| ")]
