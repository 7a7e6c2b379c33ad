"""Recording: every APDU that goes over a link is written to a trace, whatever reader is behind the link (docs/traces.md).

How it works. `Recorder` makes of a `transmit` another one that writes what goes by. Secrets are masked in the file. A file that can not be
written any more never ends a sale: the recorder stops writing, and tells so once.
"""

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Self

from joren.apdu import Command, Response, Transmit
from joren.apdu.explain import decoded
from joren.apdu.trace import TraceWriter

from .dialog import AsyncTransmit, Slot

__all__ = ["BestEffortFile", "Recorder"]


class BestEffortFile:
    """A text file whose disk may fill up: `told` is called once with what is wrong, and nothing is written from then on."""

    def __init__(self, path: str | PathLike[str], told: Callable[[OSError], None] | None = None) -> None:
        """Raises OSError for a file that can not be made."""
        self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - closed by close()
        self._told = told
        self.error: OSError | None = None

    def write(self, text: str) -> None:
        """Text to the file, as long as that goes; it is there when this returns."""
        if self.error is not None or self._file.closed:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Ends the file, whatever becomes of what is left to write."""
        try:
            self._file.close()
        except OSError as error:
            if self.error is None:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.error = error
        if self._told is not None:
            self._told(error)


class Recorder:
    """A trace in a file. Links of any thread may be recorded in it; `error` is what ended the writing, None while it goes on.

    `clock` gives seconds, or is None for a trace that is the same each time.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        clock: Callable[[], float] | None = monotonic,
        told: Callable[[OSError], None] | None = None,
    ) -> None:
        """Makes the file anew. Raises OSError for one that can not be made."""
        self._file = BestEffortFile(path, told)
        self._lock = Lock()
        self.writer = TraceWriter(self._file, clock, decoded)

    @property
    def error(self) -> OSError | None:
        """What ended the writing."""
        return self._file.error

    def links(self, links: Mapping[Slot, Transmit]) -> dict[Slot, Transmit]:
        """The same links, recorded: for `run`. In the trace a reader has the name of its slot."""
        return {slot: self.link(transmit, slot.value) for slot, transmit in links.items()}

    def async_links(self, links: Mapping[Slot, AsyncTransmit]) -> dict[Slot, AsyncTransmit]:
        """The same links, recorded: for `run_async`."""
        return {slot: self.async_link(transmit, slot.value) for slot, transmit in links.items()}

    def link(self, transmit: Transmit, reader: str) -> Transmit:
        """A link that is recorded under the name of a reader. A command whose answer never came stands in the trace without one."""

        def recorded(command: Command) -> Response:
            response = None
            try:
                response = transmit(command)
                return response
            finally:
                self.event(reader, "apdu", command, response)

        return recorded

    def async_link(self, transmit: AsyncTransmit, reader: str) -> AsyncTransmit:
        """A link that is awaited, likewise. What was asked and then cancelled has no answer in the trace."""

        async def recorded(command: Command) -> Response:
            response = None
            try:
                response = await transmit(command)
                return response
            finally:
                self.event(reader, "apdu", command, response)

        return recorded

    def event(self, reader: str, event: str, command: Command | None = None, response: Response | None = None) -> None:
        """What else a reader tells: `insert`, `remove`, `reset`."""
        with self._lock:
            self.writer.observe(reader, event, command, response)

    def close(self) -> None:
        """Ends the file; the links go on, unrecorded."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
