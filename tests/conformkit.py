"""How to spoil the model: patches of its program while vectors are run (conformmutants.py has the list)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from joren.apdu import SW, Command, Kind, Response, messages
from joren.apdu.state import State
from joren.apdu.transaction import Order, Transaction
from joren.applet import (
    customer,
    customer_memory,
    rank,
    shop,
    shop_memory,
    transact,
)
from joren.applet.applet import Refused
from joren.host.cardline import in_process
from joren.host.conform import LineTarget, Result, Runner, Suite, Verdict
from joren.simulator.cardserver import CardServer

__all__: list[str] = []

Patch = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Mutant:
    """What is wrong, and a vector or requirement that is tried first; the others come after it."""

    name: str
    first: str
    patch: Patch


def model_target() -> LineTarget:
    """The model, in this process."""
    server = CardServer()
    server.begin()
    return LineTarget(in_process(server.answer, "model", server.end)).open()


def noticed(mutant: Mutant, suite: Suite) -> Result | None:
    """The first vector that the mutant fails; None where it passes them all."""
    first = [one for one in suite.vectors if mutant.first == one.id or mutant.first in one.covers]
    assert first, mutant.first
    with mutant.patch():
        for result in Runner(suite, model_target()).run([*first, *(one for one in suite.vectors if one not in first)]):
            if result.verdict is Verdict.FAILED:
                return result
    return None


def swap(where: object, name: str, new: object) -> Patch:
    """Another thing under a name."""
    return lambda: patch.object(where, name, new)


def around(where: Any, name: str, new: Callable[..., Any]) -> Patch:
    """A function that gets the one it stands for, and its arguments."""
    old = getattr(where, name)
    return lambda: patch.object(where, name, lambda *args, **kwargs: new(old, *args, **kwargs))


def both(*patches: Patch) -> Patch:
    """Several at once."""

    @contextmanager
    def made() -> Iterator[None]:
        with ExitStack() as stack:
            for one in patches:
                stack.enter_context(one())
            yield

    return made


def handler(card: Any, ins: int, new: Callable[..., bytes]) -> Patch:
    """A command's handler; it gets the one it stands for, the card and the command."""
    old = card.HANDLERS[ins]
    return lambda: patch.dict(card.HANDLERS, {ins: lambda self, command: new(old, self, command)})


def skipped(*_args: object, **_kwargs: object) -> None:
    """A check that is not made."""


def status_instead(kind: type[Refused], wrong: SW, other: SW) -> Patch:
    """Another status word for one of the card's."""
    old = kind.__init__

    def init(self: Refused, sw: int) -> None:
        old(self, other if sw == wrong else sw)

    return lambda: patch.object(kind, "__init__", init)


def rank_with(change: Callable[[State, State, int], tuple[State, int]]) -> Patch:
    """The purchase of both cards, its result changed: from the state before, the one after, the points."""
    old = rank.purchase

    def wrong(state: State, rules: Any, bought: Any) -> tuple[State, int]:
        return change(state, *old(state, rules, bought))

    return both(swap(transact, "purchase", wrong), swap(shop, "purchase", wrong))


def message_without(name: str, **fixed: Any) -> Patch:
    """A MAC that does not cover some of its arguments."""
    old = getattr(messages, name)
    names = old.__code__.co_varnames[: old.__code__.co_argcount]

    def wrong(*args: Any, **kwargs: Any) -> bytes:
        found = dict(zip(names, args, strict=False)) | kwargs
        return old(**{**found, **fixed})  # type: ignore[no-any-return]

    return swap(messages, name, wrong)


def mac_compared(size: int) -> Patch:
    """Only some bytes of a MAC are compared."""

    def wrong(expected: bytes, mac: bytes) -> None:
        if expected[:size] != mac[:size]:
            raise Refused(SW.MAC_INCORRECT)

    return both(swap(transact, "check_mac", wrong), swap(customer, "check_mac", wrong), swap(shop, "check_mac", wrong))


def no_transaction(seat: Any) -> Patch:
    """Writes stand at once."""
    return swap(seat, "transaction", lambda _self: ExitStack())


def verify_without_count(old: Any, self: Any, which: int, secret: bytes, guess: bytes, all_tries: int) -> None:
    tries = self.tries.get(which, 1)[0]
    self.forget()
    if not tries:
        raise Refused(SW.AUTHENTICATION_METHOD_BLOCKED)
    if secret != guess:
        raise Refused(SW.VERIFY_FAILED | tries - 1)
    self.tries.put(which, bytes((all_tries,)))


def count_after(old: Any, self: Any, which: int, secret: bytes, guess: bytes, all_tries: int) -> None:
    tries = self.tries.get(which, 1)[0]
    self.forget()
    if not tries:
        raise Refused(SW.AUTHENTICATION_METHOD_BLOCKED)
    if secret != guess:
        self.tries.put(which, bytes((tries - 1,)))
        raise Refused(SW.VERIFY_FAILED | tries - 1)
    self.tries.put(which, bytes((all_tries,)))


def keeps_verified(old: Any, self: Any, *args: Any) -> None:
    verified = self.flag.get()
    try:
        old(self, *args)
    except Refused:
        self.flag.put(0, verified)
        raise


def void_of_any(old: Any, memory: Any, kind: int, key_ref: int, order: Any) -> bytes:
    last = Transaction.decode(memory.log_record(max(memory.counter - 1, 0)))
    done = Order.decode(last.order)
    return old(memory, kind, key_ref, replace(order, shop=done.shop))  # type: ignore[no-any-return]


def unrefused_balance(old: Any, self: Any, amount: int) -> Any:
    return replace(self, purse_minor=max(0, self.purse_minor - amount))


def drops_le(command: Command, answer: int) -> None:
    """No word about Ne that is too small."""


def keeps_nonce(memory_class: Any) -> Patch:
    return around(memory_class, "draw_nonce", lambda old, self: None if any(self.nonce.get()) else old(self))


def constant_nonce(old: Any, self: Any) -> None:
    self.nonce.put(0, b"\x01\x02\x03\x04\x05\x06\x07\x08")


def prove_keeps_nonce(old: Any, card: Any, command: Command) -> bytes:
    with patch.object(type(card.memory), "draw_nonce", skipped):
        return old(card, command)  # type: ignore[no-any-return]


def log_bytes(size: int) -> Patch:
    return both(swap(customer_memory, "LOG_SIZE", size), swap(customer, "LOG_SIZE", size))


def slot_zero(old: Any, self: Any, count: int) -> int:
    return old(self, 0)  # type: ignore[no-any-return]


def _no_saturation(old: Any, self: Any) -> int:
    return (self.points_now + self.points_before) & 0xFFFFFFFF  # type: ignore[no-any-return]


def challenge_stays(old: Any, self: Any, slot: int, entry: Any, sheet: Any, points: int, money: int) -> None:
    challenge = self.challenge.get()
    old(self, slot, entry, sheet, points, money)
    self.challenge.put(0, challenge)


def close_with(change: Callable[..., tuple[Any, ...]]) -> Patch:
    def wrong(
        old: Any, self: Any, slot: int, entry: Any, ending: int, changes: Any, points: int = 0, money: int = 0, sale: Any = None
    ) -> None:
        old(self, slot, entry, ending, *change(changes, points, money, sale))

    return around(shop_memory.ShopMemory, "close", wrong)


def ratify_absent_twice(old: Any, card: Any, slot: int, entry: Any, data: bytes) -> None:
    challenge = card.memory.challenge.get()
    try:
        old(card, slot, entry, data)
    finally:
        card.memory.challenge.put(0, challenge)


def store_partly(old: Any, platform: Any, card: Any, next_block: Any, command: Command) -> None:
    with patch.object(type(platform), "transaction", lambda _self: ExitStack()):
        old(platform, card, next_block, command)


def block_not_reset(old: Any, platform: Any, card: Any, next_block: Any, command: Command) -> None:
    expected = next_block.get()
    try:
        old(platform, card, next_block, command)
    except Refused:
        next_block.put(0, expected)
        raise


def earning(new: Callable[..., Any]) -> Patch:
    """The check of category and factor on both cards."""
    return both(*(around(where, "check_category_and_factor", new) for where in (transact, shop)))


def rules_with(**changed: Any) -> Patch:
    """Purchases under other rules than the card's."""
    old = rank.purchase
    return both(
        *(swap(where, "purchase", lambda state, rules, bought: old(state, replace(rules, **changed), bought)) for where in (transact, shop))
    )


class AnyHour(int):
    """An hour that is no other."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


class Less(int):
    """Points that look like one less."""

    def __gt__(self, other: int) -> bool:
        return int(self) > other + 1


def points_that_look_less(old: Any, *args: Any) -> tuple[State, int]:
    after, points = old(*args)
    return after, Less(points)


def void_of_a_void(old: Any, *args: Any) -> bytes:
    with patch.object(transact, "is_void", always(False)):
        return old(*args)  # type: ignore[no-any-return]


def commit_without_cap(old: Any, memory: Any, pin_: Any, command: Command) -> bytes:
    rules = replace(memory.rules, points_cap=0xFFFF)
    with patch.object(type(memory), "rules", rules):
        return old(memory, pin_, command)  # type: ignore[no-any-return]


def compute_with_own_version(old: Any, card: Any, command: Command) -> bytes:
    own = bytes((card.memory.rules.rules_version,))
    return old(card, replace(command, data=command.data[:18] + own + command.data[19:]))  # type: ignore[no-any-return]


def authorize_under_shop(old: Any, card: Any, command: Command) -> bytes:
    with patch.object(shop, "base_kind", always(Kind.PAY)):
        return old(card, command)  # type: ignore[no-any-return]


def sync_with_locked(old: Any, self: Any) -> None:
    old(self)
    if self.manager is not None:
        self.applets |= {entry.aid: self.placed[entry.aid] for _, entry in self.manager.memory.entries()}


def always(value: object) -> Callable[..., object]:
    return lambda *_args, **_kwargs: value


def first_slot_points(state: State, after: State, points: int) -> tuple[State, int]:
    return after, points + 1 if points else points


def not_aged(old: Any, state: State, rules: Any, hour: int) -> Any:
    return state.values


def select_any(old: Any, self: Any, command: Command, number: int) -> Response:
    return old(self, replace(command, p2=command.p2 & ~0x02), number)  # type: ignore[no-any-return]


def shared_selection(old: Any, self: Any, command: Command, number: int) -> Response:
    kept = dict(self._channels)
    self._channels = {number: kept.get(number)}
    answer = old(self, command, number)
    self._channels = {**kept, **self._channels}
    return answer  # type: ignore[no-any-return]


def deselect_keeps(old: Any, self: Any) -> None:
    """RAM is not cleared."""


def developing(old: Callable[..., None]) -> Callable[..., None]:
    def init(self: object, *args: object, **kwargs: object) -> None:
        old(self, *args, **{**kwargs, "development": True})

    return init


class NoKinds:
    PURCHASE = PAY_AND_EARN = -1


def compared_in_steps(expected: bytes, mac: bytes) -> None:
    """A comparison whose time tells how much of a MAC is right."""
    for one, other in zip(expected, mac, strict=True):
        if one != other:
            raise Refused(SW.MAC_INCORRECT)


def redeemed_from_the_new(old: Any, self: Any, points: int) -> Any:
    """The newer bucket goes first."""
    done = old(replace(self, points_now=self.points_before, points_before=self.points_now), points)
    return replace(done, points_now=done.points_before, points_before=done.points_now)
