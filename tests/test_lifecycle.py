"""The life cycle tables: transitions, what each state allows, and the generated part of the spec (REQ-LIFE-1, REQ-LIFE-2, REQ-LIFE-3)."""

from itertools import product
from pathlib import Path

import pytest

from joren.apdu import SW, Ins, LifeCycle
from joren.applet.applet import Refused
from joren.applet.lifecycle import ALLOWED_CUSTOMER, ALLOWED_SHOP, SELECT_STATUS, next_state, to_markdown

COMMON = Path(__file__).resolve().parent.parent / "docs" / "spec" / "common.md"
LEGAL = {
    (LifeCycle.ISSUED, LifeCycle.BLOCKED),
    (LifeCycle.BLOCKED, LifeCycle.ISSUED),
    (LifeCycle.ISSUED, LifeCycle.TERMINATED),
    (LifeCycle.BLOCKED, LifeCycle.TERMINATED),
}


@pytest.mark.parametrize(("state", "wanted"), list(product(LifeCycle, [LifeCycle.ISSUED, LifeCycle.BLOCKED, LifeCycle.TERMINATED])))
def test_set_status_moves_along_the_diagram_only(state: LifeCycle, wanted: LifeCycle) -> None:
    """REQ-LIFE-1, REQ-ADM-1."""
    if (state, wanted) in LEGAL:
        assert next_state(state, wanted) == wanted
    else:
        with pytest.raises(Refused) as refused:
            next_state(state, wanted)
        assert refused.value.sw == SW.CONDITIONS_NOT_SATISFIED


def test_every_state_says_what_it_allows() -> None:
    """REQ-LIFE-2, REQ-LIFE-3."""
    for table in (ALLOWED_CUSTOMER, ALLOWED_SHOP, SELECT_STATUS):
        assert set(table) == set(LifeCycle)
    for table in (ALLOWED_CUSTOMER, ALLOWED_SHOP):
        assert table[LifeCycle.SELECTABLE] == {Ins.STORE_DATA}
        assert Ins.STORE_DATA not in table[LifeCycle.TERMINATED]


def test_the_spec_shows_these_tables() -> None:
    """The part of common.md between the markers is what to_markdown() gives."""
    text = COMMON.read_text(encoding="utf-8")
    generated = text.split("<!-- generated: lifecycle -->\n", 1)[1].split("\n<!-- end -->", 1)[0]
    assert generated == to_markdown(), "run ./run docs"
