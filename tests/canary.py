"""No key gets out, in the whole suite: every key that any test makes is remembered, and all that leaves is looked through for it.

How it works. A pytest plugin (conftest.py takes it in). It listens where keys are made, at Key and at the simulated chip's key cells. What
leaves is: logs at DEBUG, captured output, what the command line prints, the arguments of the project's exceptions, a trace of every reader,
reports of tests that failed, and every file under the test's tmp_path. Raw bytes and hexadecimal are both found. Tokens of SoftHSM are such
files: a key that a test puts there was a Key before, so it is known here, and would be found if the token kept it in the clear (one that
was made inside is known to nobody). Left out by design: files that say they hold keys, which are key files and images made `with_secrets`.
"""

import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from pkcs11.exceptions import PKCS11Error

from joren.apdu import Key, MacMismatch, MalformedCommand, MalformedResponse
from joren.apdu.explain import decoded
from joren.apdu.record import MalformedRecord
from joren.apdu.scp03 import ChannelError
from joren.apdu.tlv import MalformedTlv
from joren.apdu.trace import BadTrace, TraceWriter
from joren.applet.applet import Refused
from joren.host import DialogError
from joren.host.replay.log import BadLog
from joren.simulator.image import BadImage
from joren.simulator.profile import BadProfile
from joren.simulator.reader import Reader
from joren.simulator.seat import StoredKey

__all__ = ["Canary", "leaks", "watch"]

HEX = re.compile(rb"[0-9A-Fa-f]{32,}")
KEY_SIZE = 16
DIFFERENT_BYTES_MIN = 4
HOLDS_KEYS = (b'"joren-development-keys"', b'"secrets": {')
EXCEPTIONS: tuple[type[Exception], ...] = (
    DialogError, Refused, MacMismatch, MalformedCommand, MalformedResponse, MalformedRecord, MalformedTlv, BadLog, BadImage, BadTrace,
    BadProfile, ChannelError, PKCS11Error,
)  # fmt: skip


def leaks(data: bytes, keys: set[bytes]) -> set[bytes]:
    """The keys that stand in data, as bytes or in hexadecimal. A key is known by its first 16 bytes."""
    found = {data[at : at + KEY_SIZE] for at in range(len(data) - KEY_SIZE + 1)} & keys
    for run in HEX.findall(data):
        for odd in (0, 1):
            digits = run[odd : len(run) - (len(run) - odd) % 2]
            raw = bytes.fromhex(digits.decode())
            found |= {raw[at : at + KEY_SIZE] for at in range(len(raw) - KEY_SIZE + 1)} & keys
    return found


class Canary:
    """Keys made so far, and what has left since the last look."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.left: list[str] = []

    def key(self, key: bytes) -> None:
        """A key was made. One of very few different bytes is no canary: zeros, and all but zeros, stand everywhere."""
        if len(set(key)) >= DIFFERENT_BYTES_MIN:
            self.keys.add(bytes(key[:KEY_SIZE]))

    def look(self, folder: Path | None) -> list[str]:
        """Where keys stand, in what has left since the last look and in the files of a folder."""
        text, self.left = "\n".join(self.left), []
        problems = ["output, log, exception or trace"] if leaks(text.encode("utf-8", "replace"), self.keys) else []
        if folder is None or not folder.is_dir():
            return problems
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                if not any(sign in data for sign in HOLDS_KEYS) and leaks(data, self.keys):
                    problems.append(str(path.relative_to(folder)))
        return problems


class Handler(logging.Handler):
    """All log records, with their exceptions."""

    def __init__(self, canary: Canary) -> None:
        super().__init__(logging.DEBUG)
        self.canary = canary

    def emit(self, record: logging.LogRecord) -> None:
        self.canary.left.append(logging.Formatter().format(record))


def _after(owner: type, name: str, then: Callable[..., None]) -> None:
    """Calls `then` with the arguments of a method, after it."""
    method = getattr(owner, name)

    def both(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        then(self, result, *args, **kwargs)
        return result

    setattr(owner, name, both)


def watch(canary: Canary) -> None:
    """Listens everywhere, for the rest of this process."""
    _after(Key, "__init__", lambda self, *_args, **_kwargs: canary.key(self.reveal()))
    _after(StoredKey, "store", lambda _self, _result, key: canary.key(key))
    _after(Reader, "__init__", lambda self, *_args, **_kwargs: _trace(canary, self))
    _after(CliRunner, "invoke", lambda _self, result, *_args, **_kwargs: canary.left.append(_said(result)))
    for kind in EXCEPTIONS:
        _after(kind, "__init__", lambda self, *_args, **_kwargs: canary.left.append(repr(self) + str(self)))
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    root.addHandler(Handler(canary))


def _trace(canary: Canary, reader: Reader) -> None:
    class Out(io.StringIO):
        def write(self, text: str) -> int:
            canary.left.append(text)
            return len(text)

    TraceWriter(Out(), decoder=decoded).attach(reader)


def _said(result: Result) -> str:
    return result.output + repr(result.exception)


class Plugin:
    """Looks after every test; what is found fails it."""

    def __init__(self, canary: Canary) -> None:
        self.canary = canary

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = cast(pytest.TestReport, (yield))
        self.canary.left += [content for _, content in report.sections]
        self.canary.left.append(report.longreprtext)
        if report.when == "call":
            problems = self.canary.look(cast(Path | None, cast(pytest.Function, item).funcargs.get("tmp_path")))
            if problems:
                report.outcome = "failed"
                report.longrepr = f"a key got out: {', '.join(problems)}"
        return report  # type: ignore[return-value]
