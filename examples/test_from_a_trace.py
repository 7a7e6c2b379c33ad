"""A regression test made of a trace, with no reader and no card. Run it with `.venv/bin/pytest examples/test_from_a_trace.py`."""

from pathlib import Path

from joren.host import Journal, ShopCardHolder, Till, replaying, run

__all__: list[str] = []


def test_a_purchase_as_it_was_recorded() -> None:
    """Every byte that the till sends is what it sent then."""
    with replaying(Path(__file__).with_name("purchase.jsonl")) as replay, Journal(":memory:") as journal:
        till = Till(ShopCardHolder(programme=1), journal)
        granted = run(till.purchase("receipt 4711", hour=10_000, amount_minor=1250), replay.links)
    assert (granted.points, granted.rank) == (12, 0)
