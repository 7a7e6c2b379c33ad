"""From `--target` to a card under test.

A target of another kind is a row of TARGETS: from what stands behind the colon, the profile and the time-out to a Target
(host/conform/target.py). A card with other applets than the model's is `served` with their classes.
"""

import shlex
from collections.abc import Callable, Mapping

import click

from joren.host import HostError
from joren.host.cardline import connect, in_process, spawn
from joren.host.conform import LineTarget, Target
from joren.simulator.cardserver import CardServer, fresh_chip
from joren.simulator.chip import AppletClass
from joren.simulator.profile import load_profile

__all__ = ["TARGETS", "served", "target_of"]

PORT_MAX = 65535
Opener = Callable[[str, str, float], Target]


def target_of(text: str, profile: str, timeout_s: float) -> Target:
    """The card under test. Raises HostError for a target that there is not, LinkLost where it can not be reached, CardFault."""
    kind, _, rest = text.partition(":")
    opener = TARGETS.get(kind)
    if opener is None:
        raise HostError(f"--target: {', '.join(TARGETS)} expected, {text} came")
    return opener(rest, profile, timeout_s)


def served(name: str, classes: Mapping[bytes, AppletClass] | None, profile: str) -> Target:
    """Simulated cards in this process, with other applets than the model's where `classes` has them (by AID without the programme)."""
    chip = load_profile(profile)
    server = CardServer(name=name, maker=lambda kind, seed, _: fresh_chip(kind, seed, chip, classes))
    server.begin()
    return LineTarget(in_process(server.answer, name, server.end)).open()


def _model(rest: str, profile: str, _timeout_s: float) -> Target:
    _nothing("model", rest)
    return served("joren model", None, profile)


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


TARGETS: dict[str, Opener] = {"model": _model, "tcp": _tcp, "exec": _exec}
"""Kinds of targets by the word before the colon."""
