"""Loading a package and installing from it, on a security domain that takes load files, written here from GlobalPlatform's tables."""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from joren.apdu import SW, Command, Key, Response
from joren.apdu.gp import MANAGER_AID, PACKAGE_AID
from joren.apdu.scp03 import CardSession, CardSettings, Parameter, ScpKeys
from joren.cli import main
from joren.host import CardRefused, Dialog, HostError, Slot, run
from joren.host.channel import Channel, open_channel
from joren.host.loading import has_instance, has_package, install_instance, load_package

ENC, MAC, DEK = (Key(bytes((number,)) * 15 + b"x", f"key {number}") for number in (1, 2, 3))
KEYS = ScpKeys(ENC, MAC, DEK, 1)
INSTANCE = PACKAGE_AID + b"\x01\x00\x01"


@dataclass
class Domain:
    """A security domain that loads: what it has, what it is being given, how many blocks it takes before it is pulled."""

    packages: list[bytes] = field(default_factory=list)
    instances: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)
    loaded: bytes = b""
    lengths: list[int] = field(default_factory=list)
    expected: tuple[bytes, bytes] | None = None
    received: bytes = b""
    next: int = 0
    loads: bool = True
    tells: bool = True

    def __post_init__(self) -> None:
        settings = CardSettings((KEYS,), Parameter(pseudo_random=False), bytes(10), MANAGER_AID)
        self.session = CardSession(settings, lambda size: bytes(range(size)), {1: 0})

    def transmit(self, command: Command) -> Response:
        outcome = self.session.process(command)
        return outcome if isinstance(outcome, Response) else self.session.wrap_response(self.act(outcome))

    def act(self, command: Command) -> Response:
        handler = {0xE6: self.install, 0xE8: self.load, 0xF2: self.status}[command.ins]
        return handler(command)

    def install(self, command: Command) -> Response:
        values, rest = [], command.data
        while rest:
            values.append(rest[1 : 1 + rest[0]])
            rest = rest[1 + rest[0] :]
        if command.p1 == 0x02 and not self.loads:
            return Response(b"", SW.FUNCTION_NOT_SUPPORTED)
        if command.p1 == 0x02:
            package, domain, digest, parameters, token = values
            assert (domain, parameters, token) == (b"", b"", b"")
            self.expected, self.received, self.next = (package, digest), b"", 0
        else:
            package, module, instance, privileges, parameters, token = values
            assert package in self.packages
            assert (privileges, token) == (b"\x00", b"")
            self.instances[instance] = (module, parameters)
        return Response(b"\x00", SW.OK)

    def load(self, command: Command) -> Response:
        if self.expected is None or command.p2 != self.next:
            return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        self.received += command.data
        self.lengths.append(len(command.data))
        self.next += 1
        if command.p1 & 0x80:
            assert self.received[0] == 0xC4
            extra = max(0, self.received[1] - 0x80)
            self.loaded = self.received[2 + extra :]
            assert len(self.loaded) == int.from_bytes(self.received[2 : 2 + extra] if extra else self.received[1:2])
            package, digest = self.expected
            if sha256(self.loaded).digest() != digest:
                return Response(b"", SW.WRONG_DATA)
            self.packages.append(package)
            self.expected = None
        return Response(b"\x00", SW.OK)

    def status(self, command: Command) -> Response:
        if not self.tells:
            return Response(b"", SW.CONDITIONS_NOT_SATISFIED)
        wanted = command.data[2 : 2 + command.data[1]]
        found = [one for one in (self.packages if command.p1 == 0x20 else self.instances) if one.startswith(wanted)]
        if not found:
            return Response(b"", SW.REFERENCED_DATA_NOT_FOUND)
        entries = [bytes((0x4F, len(one))) + one + bytes.fromhex("9F700101C5010000")[:-1] for one in found]
        return Response(b"".join(bytes((0xE3, len(entry))) + entry for entry in entries), SW.OK)


def opened() -> Dialog[Channel]:
    return (yield from open_channel(Slot.CUSTOMER, lambda _answer: KEYS, random=bytes))


def put(components: bytes) -> Dialog[int]:
    channel = yield from opened()
    assert not (yield from has_package(channel, PACKAGE_AID))
    blocks = yield from load_package(channel, PACKAGE_AID, components)
    assert (yield from has_package(channel, PACKAGE_AID))
    assert not (yield from has_instance(channel, INSTANCE))
    yield from install_instance(channel, PACKAGE_AID, INSTANCE[:-2], INSTANCE, b"\x07")
    assert (yield from has_instance(channel, INSTANCE))
    return blocks


@pytest.mark.parametrize("size", [1, 100, 127, 128, 300, 19_598])
def test_a_package_arrives_as_it_is(size: int) -> None:
    domain, components = Domain(), bytes(number * 7 % 251 for number in range(size))
    blocks = run(put(components), {Slot.CUSTOMER: domain.transmit})
    assert domain.loaded == components
    assert blocks == len(domain.lengths)
    assert len(set(domain.lengths[:-1])) <= 1, "blocks as large as the channel takes"
    assert domain.instances == {INSTANCE: (INSTANCE[:-2], b"\xc9\x01\x07")}


def test_a_load_that_was_cut_off_is_begun_again() -> None:
    domain, components = Domain(), bytes(2_000)

    def half() -> Dialog[None]:
        channel = yield from opened()
        yield from load_package(channel, PACKAGE_AID, components)

    dialog = half()
    ask = next(dialog)
    for _ in range(5):
        ask = dialog.send(domain.transmit(ask.command))
    dialog.close()
    assert domain.packages == []
    assert run(put(components), {Slot.CUSTOMER: domain.transmit}) > 5


def test_a_card_that_takes_no_load_files_says_so() -> None:
    domain = Domain()
    domain.loads = False
    with pytest.raises(CardRefused, match="6A81"):
        run(put(b"x"), {Slot.CUSTOMER: domain.transmit})


def test_a_package_of_too_many_blocks_is_refused_before_the_first() -> None:
    domain = Domain()
    with pytest.raises(HostError, match="at most 256 blocks"):
        run(put(bytes(65_000)), {Slot.CUSTOMER: domain.transmit})
    assert domain.expected is None


def test_a_registry_that_is_not_told_is_an_error() -> None:
    domain = Domain()
    domain.tells = False
    with pytest.raises(CardRefused, match="GET_STATUS"):
        run(put(b"x"), {Slot.CUSTOMER: domain.transmit})


def test_an_instance_on_our_card_manager(tmp_path: Path) -> None:
    """REQ-MAN-6, REQ-MAN-13: the package is there; the instance is made once, and a second one beside it."""

    def joren(*words: str) -> str:
        result = CliRunner().invoke(main, ["--home", str(tmp_path), *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    joren("personalize", "blanks", "1", "--cards", str(tmp_path / "box"))
    (image,) = (tmp_path / "box").glob("*.json")
    assert "010001 installed" in joren("applet", "install", str(image))
    assert "was there already" in joren("applet", "install", str(image))
    assert '"installed": true' in joren("applet", "install", str(image), "--shop", "--json")
