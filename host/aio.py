"""Links for asyncio: a reader's driver blocks, so its commands go to a thread of its own, one after the other (docs/embedding.md).

How it works. `run_async` drives a dialog over links that are awaited; `in_thread` makes such a link of a `transmit` that blocks. A task
that is cancelled in the middle of a tap leaves the command that is under way with the card: it is carried out, and its answer is dropped.
The dialog has ended by then, as if the link had been lost: what may have happened stands in the journal, and the next tap settles it. That
tap's commands wait in the same thread until the old one is done, so no two are ever with one card.
"""

from asyncio import get_running_loop
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from joren.apdu import Command, Response, Transmit

from .errors import HostError

__all__ = ["InThread", "in_thread"]


class InThread:
    """A link that is awaited, over one that blocks."""

    def __init__(self, transmit: Transmit, name: str = "reader") -> None:
        self._transmit = transmit
        self._name = name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._closed = False

    async def __call__(self, command: Command) -> Response:
        """As Transmit. Raises HostError once it is closed."""
        if self._closed:
            raise HostError(f"link to {self._name}: closed; make a new one with in_thread")
        return await get_running_loop().run_in_executor(self._thread, self._transmit, command)

    def close(self) -> None:
        """Ends the thread, after the command that is under way."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)


@contextmanager
def in_thread(transmit: Transmit, name: str = "reader") -> Iterator[InThread]:
    """A blocking link, to be awaited; its thread ends with the block."""
    link = InThread(transmit, name)
    try:
        yield link
    finally:
        link.close()
