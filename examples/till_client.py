"""A client of the till service (docs/till-service.md), with Python's standard library alone. On the command line:

    till_client.py get /v1/readers
    till_client.py post /v1/purchase reference=S-1 amount_minor:=1250
    till_client.py events 2                   the next two events, and what happened before
    till_client.py wait S-1 committed         until the sale has that state

FIELD=TEXT is a text, FIELD:=VALUE a number or true or false. The service is found by the folder $JOREN_HOME, or .joren.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

__all__ = ["Refused", "TillClient", "main"]


class Refused(Exception):
    """The service said no: `problem` has `error`, `message` and `what_to_do`."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem['error']}: {problem['message']}; {problem['what_to_do']}")
        self.problem = problem


class TillClient:
    """Calls of one service."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._opener = build_opener(ProxyHandler({}))  # no proxy on the way to this machine

    @classmethod
    def find(cls, folder: Path) -> "TillClient":
        """The service that runs for a joren folder."""
        read = [(folder / "till" / name).read_text(encoding="ascii").strip() for name in ("address", "token")]
        return cls(*read)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call. Raises Refused, and OSError where nobody answers: then ask again, with the same reference."""
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = Request(self._url + path, data, {**self._headers, "Content-Type": "application/json"}, method=method)
        try:
            with self._opener.open(request) as response:
                told: dict[str, Any] = json.load(response)
                return told
        except HTTPError as error:
            raise Refused(json.load(error)) from None

    def events(self, after: str = "") -> Iterator[dict[str, Any]]:
        """What happens at the readers, as it happens, and what happened after the event of that id."""
        with self._opener.open(Request(f"{self._url}/v1/events?after={after}", headers=self._headers)) as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))


def fields(words: list[str]) -> dict[str, Any]:
    """FIELD=TEXT and FIELD:=VALUE."""
    told: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        told[name.removesuffix(":")] = json.loads(text) if name.endswith(":") else text
    return told


def wait(client: TillClient, reference: str, state: str) -> str:
    """Asks what became of a sale until it has a state."""
    found = ""
    while found != state:
        try:
            found = client.call("GET", f"/v1/sales/{quote(reference, safe='')}")["state"]
        except Refused as refused:
            if refused.problem["error"] != "unknown_sale":
                raise
        sleep(0.05)
    return found


def main() -> None:
    """The command line."""
    try:
        run(TillClient.find(Path(os.environ.get("JOREN_HOME", ".joren"))), sys.argv[1:])
    except Refused as refused:
        sys.exit(f"{refused}")
    except OSError as error:
        sys.exit(f"no answer from the till service ({error}); once it runs, ask the same again, with the same reference")


def run(client: TillClient, words: list[str]) -> None:
    """What the command line asks for. Raises Refused, and OSError where nobody answers."""
    match words:
        case ["events", number]:
            for _, event in zip(range(int(number)), client.events(), strict=False):
                print(json.dumps(event))
        case ["wait", reference, state]:
            print(wait(client, reference, state))
        case [("get" | "post") as method, path, *given]:
            print(json.dumps(client.call(method.upper(), path, fields(given)), indent=2))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
