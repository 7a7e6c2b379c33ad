"""What docs/ has of the till service, from its tables: docs/openapi-till.json, and the errors of docs/till-service.md.

`python -m joren.commands.till_docs` in the project's root writes both anew.
"""

import json
from pathlib import Path

from joren.host.service.openapi import document
from joren.host.service.problems import CODES

__all__ = ["errors_into", "main", "openapi_text"]

BEGIN, END = "<!-- errors: made from joren.host.service.problems -->\n", "<!-- end of errors -->\n"


def openapi_text() -> str:
    """The OpenAPI document as it stands in docs/."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def errors_into(page: str) -> str:
    """The guide with the table of errors in its place."""
    rows = "".join(f"| `{name}` | {code.status} | {code.when} | {code.what_to_do} |\n" for name, code in CODES.items())
    head, _, rest = page.partition(BEGIN)
    return f"{head}{BEGIN}\n| error | status | when | what to do |\n|---|---|---|---|\n{rows}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Writes both files."""
    Path("docs/openapi-till.json").write_text(openapi_text(), encoding="utf-8")
    guide = Path("docs/till-service.md")
    guide.write_text(errors_into(guide.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
