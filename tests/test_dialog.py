"""Dialogs and their drivers: one dialog, carried by a loop, by asyncio, step by step, or from a transcript."""

import asyncio
from collections.abc import Iterable

import pytest

from joren.apdu import SW, Command, LinkLost, Response
from joren.host import Ask, CardFault, CardRefused, Dialog, Done, HostError, Slot, feed, resume, run, run_async, start
from joren.host.dialog import answered, ask, data_of

OK = Response(b"\x01", SW.OK)
LOST = LinkLost("gone")


def command(number: int) -> Command:
    return Command(0x80, 0x36, number, 0)


def two_asks(ended: list[str] | None = None) -> Dialog[list[bytes]]:
    try:
        first = yield Ask(Slot.CUSTOMER, command(1))
        second = yield Ask(Slot.SHOP, command(2))
        return [first.data, second.data]
    except LinkLost:
        return [b"lost"]
    finally:
        if ended is not None:
            ended.append("ended")


def card(answers: Iterable[Response | Exception]) -> "Scripted":
    return Scripted(list(answers))


class Scripted:
    """A card that answers, or raises, what it was told."""

    def __init__(self, answers: list[Response | Exception]) -> None:
        self.answers = answers
        self.heard: list[Command] = []

    def __call__(self, heard: Command) -> Response:
        self.heard.append(heard)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def later(self, heard: Command) -> Response:
        await asyncio.sleep(0)
        return self(heard)


def test_run_carries_each_ask_to_its_slot() -> None:
    customer, shop = card([Response(b"a", SW.OK)]), card([Response(b"b", SW.OK)])
    assert run(two_asks(), {Slot.CUSTOMER: customer, Slot.SHOP: shop}) == [b"a", b"b"]
    assert (customer.heard, shop.heard) == ([command(1)], [command(2)])


def test_run_async_does_the_same() -> None:
    customer, shop = card([Response(b"a", SW.OK)]), card([Response(b"b", SW.OK)])
    links = {Slot.CUSTOMER: customer.later, Slot.SHOP: shop.later}
    assert asyncio.run(run_async(two_asks(), links)) == [b"a", b"b"]
    assert (customer.heard, shop.heard) == ([command(1)], [command(2)])


@pytest.mark.parametrize("answers", [[LOST], [OK, LOST]])
def test_a_lost_link_is_raised_inside_the_dialog(answers: list[Response | Exception]) -> None:
    one = card(list(answers))
    assert run(two_asks(), {Slot.CUSTOMER: one, Slot.SHOP: one}) == [b"lost"]
    other = card(list(answers))
    assert asyncio.run(run_async(two_asks(), {Slot.CUSTOMER: other.later, Slot.SHOP: other.later})) == [b"lost"]


def test_a_stop_iteration_of_a_link_is_not_taken_for_the_end() -> None:
    ended: list[str] = []
    with pytest.raises(StopIteration):
        run(two_asks(ended), {Slot.CUSTOMER: card([StopIteration("an empty script")])})
    assert ended == ["ended"]


def test_the_dialog_is_closed_when_the_driver_fails() -> None:
    ended: list[str] = []
    with pytest.raises(ZeroDivisionError):
        run(two_asks(ended), {Slot.CUSTOMER: card([ZeroDivisionError()])})
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_async(two_asks(ended), {Slot.CUSTOMER: card([ZeroDivisionError()]).later}))
    assert ended == ["ended", "ended"]


def test_a_cancelled_task_closes_its_dialog() -> None:
    ended: list[str] = []

    async def forever(_: Command) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def main() -> None:
        task = asyncio.create_task(run_async(two_asks(ended), {Slot.CUSTOMER: forever}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["ended"]


def test_a_slot_without_a_link_is_the_callers_fault() -> None:
    with pytest.raises(HostError, match="no link to the shop card"):
        run(two_asks(), {Slot.CUSTOMER: card([OK])})


def test_step_by_step() -> None:
    dialog = two_asks()
    assert start(dialog) == Ask(Slot.CUSTOMER, command(1))
    assert feed(dialog, OK) == Ask(Slot.SHOP, command(2))
    assert feed(dialog, OK) == Done([b"\x01", b"\x01"])


def test_a_dialog_may_ask_nothing() -> None:
    assert start(answered(5)) == Done(5)
    assert run(answered(5), {}) == 5


def test_replay_leads_to_where_the_transcript_ends() -> None:
    assert resume(two_asks(), []) == Ask(Slot.CUSTOMER, command(1))
    assert resume(two_asks(), [OK]) == Ask(Slot.SHOP, command(2))
    assert resume(two_asks(), [OK, OK]) == Done([b"\x01", b"\x01"])
    assert resume(two_asks(), [OK, LOST]) == Done([b"lost"])


def test_replay_refuses_answers_after_the_end() -> None:
    with pytest.raises(HostError, match="ended after 2 answers"):
        resume(two_asks(), [OK, OK, OK])


def test_data_of_takes_the_lengths_it_was_given() -> None:
    prove = command(0)
    assert data_of(Slot.CUSTOMER, prove, Response(bytes(19), SW.OK), (19, 63)) == bytes(19)
    with pytest.raises(CardFault, match=r"customer card answered PROVE wrongly: 19 or 63 bytes expected, 20 came"):
        data_of(Slot.CUSTOMER, prove, Response(bytes(20), SW.OK), (19, 63))


def test_a_refusal_has_the_name_the_meaning_and_the_advice() -> None:
    with pytest.raises(CardRefused) as refused:
        run(ask(Slot.SHOP, command(0), 19), {Slot.SHOP: card([Response(b"", 0x6A83)])})
    assert str(refused.value).startswith("shop card refused PROVE: 6A83 RECORD_NOT_FOUND: no such record; ")
    assert (refused.value.card, refused.value.command, refused.value.sw) == ("shop card", "PROVE", 0x6A83)
