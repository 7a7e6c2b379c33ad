"""From `--target` to a card under test.

A target of another kind is a row of TARGETS: from what stands behind the colon, the profile and the time-out to a Target
(host/conform/target.py). Simulated cards run another program than the model where they are `served` with one.
"""

import shlex
from collections.abc import Callable

import click

from joren.host import HostError
from joren.host.cardline import connect, in_process, spawn
from joren.host.conform import LineTarget, LinkTarget, Target
from joren.host.pcsc import Share, WireProtocol, find_reader
from joren.simulator.cardserver import CardServer, fresh_chip
from joren.simulator.chip import MODEL, Program
from joren.simulator.java_roles import JAVACARD
from joren.simulator.profile import load_profile

__all__ = ["DEFAULT_PROFILE", "TARGETS", "served", "target_of"]

DEFAULT_PROFILE = "ideal"
PORT_MAX = 65535
Opener = Callable[[str, str, float], Target]


def target_of(text: str, profile: str, timeout_s: float) -> Target:
    """The card under test. Raises HostError for a target that there is not, LinkLost where it can not be reached, CardFault."""
    kind, _, rest = text.partition(":")
    opener = TARGETS.get(kind)
    if opener is None:
        raise HostError(f"--target: {', '.join(TARGETS)} expected, {text} came")
    return opener(rest, profile, timeout_s)


def served(name: str, program: Program, profile: str) -> Target:
    """Simulated cards in this process, with a program on them."""
    chip = load_profile(profile)
    server = CardServer(name=name, maker=lambda kind, seed, _: fresh_chip(kind, seed, chip, program))
    server.begin()
    return LineTarget(in_process(server.answer, name, server.end)).open()


def _model(rest: str, profile: str, _timeout_s: float) -> Target:
    _nothing("model", rest)
    return served("joren model", MODEL, profile)


def _javacard(rest: str, profile: str, _timeout_s: float) -> Target:
    _nothing("javacard", rest)
    return served("joren Java Card applet", JAVACARD, profile)


def _pcsc(rest: str, profile: str, _timeout_s: float) -> Target:
    if profile != DEFAULT_PROFILE:
        raise HostError("--profile: of fresh cards alone; a card in a reader is what it is")
    reader = find_reader(rest)
    try:
        card = reader.connect(share=Share.EXCLUSIVE)
    except Exception:
        reader.close()
        raise

    def close() -> None:
        card.close()
        reader.close()

    return LinkTarget(reader.name, card.transmit, card.reset, close, t0=card.protocol is WireProtocol.T0)


def _tcp(rest: str, profile: str, timeout_s: float) -> Target:
    host, _, port = rest.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
        raise HostError(f"--target: tcp:HOST:PORT expected, tcp:{rest} came")
    return _greeted(LineTarget(connect(host.strip("[]"), int(port), timeout_s), profile))


def _exec(rest: str, profile: str, timeout_s: float) -> Target:
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise HostError(f"--target: exec:PROGRAM ARGUMENTS expected: {error}") from None
    if not words:
        raise HostError("--target: exec:PROGRAM ARGUMENTS expected, no program came")
    return _greeted(LineTarget(spawn(words, timeout_s), profile))


def _greeted(target: LineTarget) -> Target:
    """Open, or closed again."""
    try:
        return target.open()
    except Exception:
        target.close()
        raise


def _nothing(kind: str, rest: str) -> None:
    if rest:
        raise click.BadParameter(f"--target: {kind} expected, {kind}:{rest} came")


TARGETS: dict[str, Opener] = {"model": _model, "javacard": _javacard, "pcsc": _pcsc, "tcp": _tcp, "exec": _exec}
"""Kinds of targets by the word before the colon."""
