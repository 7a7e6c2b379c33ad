"""A till service with a card that is slow on order: servicekill.py FOLDER NUMBER.

At the answer to the reader's NUMBER-th APDU it writes "reached", and holds the answer until a line comes in; at its end it waits half a
second for readers that hold one.
"""

import sys
from functools import partial

import joren.commands.till_service
import joren.host.service.server
from joren.apdu import Command, Response
from joren.cli import main
from joren.commands.counter_readers import CounterReader
from joren.commands.seats import Seat
from joren.host.service.door import Limits

__all__ = ["SlowReader"]


class SlowReader(CounterReader):
    """The reader that holds an answer."""

    left = 0

    def _transmit(self, reader: Seat, command: Command) -> Response:
        response = super()._transmit(reader, command)
        SlowReader.left -= 1
        if SlowReader.left == 0:
            print("reached", flush=True)
            sys.stdin.readline()
        return response


if __name__ == "__main__":
    home, number = sys.argv[1:]
    SlowReader.left = int(number)
    joren.commands.till_service.CounterReader = SlowReader  # type: ignore[attr-defined]
    joren.host.service.server.Limits = partial(Limits, stop_s=0.5)  # type: ignore[attr-defined,assignment]
    main(["--home", home, "till", "serve", "--readers", "sim:left", "--port", "0"])
