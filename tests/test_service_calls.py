"""The till service does what it is asked, over HTTP and over WebSocket; every answer is as the OpenAPI document says."""

import asyncio
from pathlib import Path

import pytest

from cardkit import LIMITS, PIN, Customer
from joren.apdu.cards import Limits as CardLimits
from joren.host import Granted, Offers
from joren.simulator.reader import Loss, Losses, When
from servicekit import Kit, serving
from support import card_number, free_of_pin

OFFERS = """
version = 1
languages = ["en", "ja"]
[[offer]]
id = "coffee"
priority = 1
text = { en = "A free coffee", ja = "コーヒー1杯無料" }
"""


def test_a_day_at_the_counter_over_http(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", offers=Offers.parse(OFFERS)) as kit:
            kit.counter.put("left", free_of_pin())
            came = await kit.happens(lambda event: event["event"] == "card_in")
            assert (came["card_id"], came["rank"], came["points_balance"], came["purse_minor"]) == (card_number(1).hex().upper(), 0, 0, 0)
            assert came["offers"] == [{"id": "coffee", "text": {"en": "A free coffee", "ja": "コーヒー1杯無料"}}]
            status, sale = await kit.call("purchase", reference="S-1", amount_minor=1250, category=3, factor_tenths=20)
            assert (status, sale["kind"], sale["points"], sale["recovered"]) == (200, "purchase", 25, False)
            assert (await kit.call("load", reference="L-1", amount_minor=5000))[1]["purse_minor"] == 5000
            assert (await kit.call("pay", reference="P-1", amount_minor=320))[1]["purse_minor"] == 4680
            paid = (await kit.call("purchase", reference="S-2", amount_minor=1000, pay=True))[1]
            assert (paid["kind"], paid["purse_minor"], paid["points_balance"]) == ("pay_and_earn", 3680, 35)
            redeemed = (await kit.call("redeem", reference="R/1 ü", points=30))[1]
            assert (redeemed["points"], redeemed["points_balance"]) == (30, 5)
            voided = (await kit.call("void", reference="V-1", sale="R/1 ü"))[1]
            assert (voided["kind"], voided["points_balance"]) == ("void_redeem", 35)
            assert (await kit.call("settle"))[1]["settled"] == []
            status, told = await kit.call("outcome", reference="R/1 ü")
            assert (status, told["state"], told["sale"]["voided"], told["sale"]["recovered"]) == (200, "committed", True, True)
            kit.counter.remove("left")
            await kit.happens(lambda event: event["event"] == "card_out")
            again = (await kit.call("purchase", reference="S-1", amount_minor=1250, category=3, factor_tenths=20, wait_seconds=0))[1]
            assert again == {**sale, "recovered": True}

    asyncio.run(day())


def test_a_day_at_the_counter_over_websocket(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", "right") as kit, kit.websocket(client="till 1") as client:
            ok, told = await client.call("purchase", reference="S-1", amount_minor=1)
            assert (ok, told["error"], told["field"]) == (False, "bad_request", "reader")
            number = await client.send("purchase", reader="right", reference="S-1", amount_minor=1250)
            await kit.waits("right")
            kit.counter.put("right", free_of_pin())
            answer = await client.receive()
            assert (answer["id"], answer["ok"]["reader"], answer["ok"]["points"]) == (number, "right", 12)
            assert [event["event"] for event in client.events] == ["card_in"], "who came is told before what was sold"
            assert client.events[0]["points_balance"] == 12
            ok, told = await client.call("readers")
            assert [(one["name"], one["card_in"], one["claimed"]) for one in told["readers"]] == [
                ("left", False, None),
                ("right", True, None),
            ]
            ok, told = await client.call("outcome", reference="S-2")
            assert (ok, told["error"]) == (False, "unknown_sale")

    asyncio.run(day())


def test_a_card_with_a_pin_tells_points_to_no_one_and_takes_it_in_the_body(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = CardLimits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__slots__}, "redeem_pin_from": 1})

    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            kit.counter.put("left", Customer(card_number(1), limits, pin=PIN))
            came = await kit.happens(lambda event: event["event"] == "card_in")
            assert (came["rank"], came["points_balance"], came["purse_minor"]) == (0, None, None)
            await kit.call("purchase", reference="S-1", amount_minor=5000)
            status, told = await kit.call("redeem", reference="R-1", points=1)
            assert (status, told["error"], told["sw"]) == (422, "card_refused", "6982")
            status, told = await kit.call("redeem", reference="R-2", points=1, pin="9999")
            assert (status, told["sw"]) == (422, "63C2")
            status, told = await kit.call("redeem", reference="R-3", points=1, pin="1234")
            assert (status, told["points_balance"]) == (200, 49)
            status, told = await kit.call("redeem", reference="R-4", points=1, pin="12a45")
            assert (status, "12a45" in str(told)) == (400, False)
            status, told = await kit.call("redeem", reference="R-4", points=1, pin=123456)
            assert (status, "123456" in str(told)) == (400, False)

    asyncio.run(day())
    assert not any(pin in caplog.text for pin in ("9999", "1234", "12a45"))


async def lost(kit: Kit, customer: Customer, when: When = When.AFTER) -> None:
    """A purchase that is lost before or after the card acted, and the card is pulled."""
    sale = asyncio.create_task(kit.call("purchase", reader="left", reference="S-1", amount_minor=1250))
    await kit.waits("left")
    assert (await kit.call("outcome", reference="S-1"))[1]["state"] == "waiting_for_card"
    kit.counter.put("left", customer, Losses([Loss(2, when)]))
    status, told = await sale
    assert (status, told["error"], told["fate"], told["reference"]) == (502, "card_lost", "pending", "S-1")
    kit.counter.remove("left")


def test_a_lost_sale_is_settled_by_the_next_tap(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", "right") as kit:
            customer = free_of_pin()
            await lost(kit, customer)
            pending = (await kit.call("outcome", reference="S-1"))[1]
            assert (pending["state"], pending["transaction"]["fate"]) == ("pending", "pending")
            status, told = await kit.call("purchase", reader="right", reference="S-1", amount_minor=1250)
            assert (status, told["error"], told["reader"]) == (409, "other_reader", "left")
            kit.counter.put("left", customer)
            came = await kit.happens(lambda event: bool(event.get("settled")))
            assert (came["settled"][0]["fate"], came["points_balance"]) == ("committed", 12)
            assert (await kit.call("outcome", reference="S-1"))[1]["sale"]["points"] == 12
            status, told = await kit.call("void", reader="right", reference="V-1", sale="S-1")
            assert (status, told["error"]) == (409, "other_reader")
            assert (await kit.call("void", reader="left", reference="V-1", sale="S-9"))[0] == 409

    asyncio.run(day())


def test_a_lost_sale_that_did_not_happen_is_told_so_once_the_card_has_said_it(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            customer = free_of_pin()
            await lost(kit, customer, When.BEFORE)
            kit.counter.put("left", customer)
            await kit.happens(lambda event: bool(event.get("settled")))
            told = (await kit.call("outcome", reference="S-1"))[1]
            assert (told["state"], told["problem"]["fate"]) == ("failed", "not_committed")
            assert told["problem"]["message"].endswith("the card has said since that the sale did not happen")
            assert told["problem"]["what_to_do"] == "sell again if it is wanted"
            status, told = await kit.call("purchase", reader="left", reference="S-1", amount_minor=1250)
            assert (status, told["points"], told["recovered"]) == (200, 12, False)

    asyncio.run(day())


def test_settle_says_what_became_of_a_lost_sale(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            customer = free_of_pin()
            await lost(kit, customer)
            settling = asyncio.create_task(kit.call("settle", reader="left"))
            await kit.waits("left")
            kit.counter.put("left", customer)
            _, told = await settling
            assert [(row["reference"], row["fate"]) for row in told["settled"]] == [("S-1", "committed")]

    asyncio.run(day())


def test_a_reference_is_sold_once_whatever_is_asked_twice(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left", "right") as kit:
            first = asyncio.create_task(kit.call("purchase", reader="left", reference="S-1", amount_minor=100))
            await kit.waits("left")
            assert (await kit.call("purchase", reader="left", reference="S-1", amount_minor=100))[1]["error"] == "sale_in_hand"
            assert (await kit.call("purchase", reader="right", reference="S-1", amount_minor=100))[1]["error"] == "other_reader"
            kit.counter.put("left", free_of_pin())
            assert (await first)[0] == 200
            status, told = await kit.call("purchase", reader="left", reference="S-1", amount_minor=200)
            assert (status, told["error"]) == (409, "not_possible")
            found = kit.desk.stations["left"].till.outcome("S-1")
            assert isinstance(found, Granted)
            assert found.points_balance == 1

    asyncio.run(day())


def test_a_sale_that_waits_is_cancelled(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            sale = asyncio.create_task(kit.call("purchase", reference="S-1", amount_minor=100))
            while not (await kit.call("cancel", reference="S-1"))[1].get("cancelled"):
                await asyncio.sleep(0)
            status, told = await sale
            assert (status, told["error"]) == (409, "cancelled")
            assert (await kit.call("outcome", reference="S-1"))[1]["problem"]["error"] == "cancelled"
            kit.counter.put("left", free_of_pin())
            assert (await kit.happens(lambda event: event["event"] == "card_in"))["points_balance"] == 0
            assert (await kit.call("purchase", reference="S-1", amount_minor=100))[0] == 200

    asyncio.run(day())


def test_no_card_comes_in_time(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            status, told = await kit.call("purchase", reference="S-1", amount_minor=100, wait_seconds=0)
            assert (status, told["error"]) == (504, "no_card")
            assert (await kit.call("settle", wait_seconds=0))[0] == 504

    asyncio.run(day())


def test_cards_are_put_in_and_taken_out_on_order(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            kit.counter.cards["alice"] = free_of_pin()
            assert await kit.call("tap", reader="left", card="alice") == (200, {"reader": "left"})
            await kit.happens(lambda event: event["event"] == "card_in")
            assert (await kit.call("remove", reader="left"))[0] == 200
            await kit.happens(lambda event: event["event"] == "card_out")
            status, told = await kit.call("tap", reader="left", card="bob")
            assert (status, told["error"]) == (409, "not_possible")

    asyncio.run(day())


def test_a_foreign_card_is_told_and_disturbs_nothing(tmp_path: Path) -> None:
    async def day() -> None:
        async with serving(tmp_path, "left") as kit:
            foreign = Customer(issue=False)
            kit.counter.put("left", foreign)
            told = await kit.happens(lambda event: event["event"] == "card_error")
            assert told["problem"]["error"] == "not_possible"
            assert (await kit.call("purchase", reference="S-1", amount_minor=100))[0] == 409
            kit.counter.remove("left")
            await kit.happens(lambda event: event["event"] == "card_out")
            kit.counter.put("left", free_of_pin())
            assert (await kit.call("purchase", reference="S-1", amount_minor=100))[0] == 200

    asyncio.run(day())
