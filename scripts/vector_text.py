"""Vectors as the scripts that make them write them: objects, and the text of a file, a step a line."""

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["Json", "send", "text_of", "vector"]

Json = dict[str, Any]


def vector(name: str, title: str, why: str, covers: Sequence[str], kind: str, fixture: str, steps: list[Json], **more: Any) -> Json:
    """A vector's object."""
    found = {"id": name, "title": title, "why": why, "covers": list(covers), "class": kind, "fixture": fixture}
    return {**found, **more, "steps": steps}


def text_of(title: str, vectors: Sequence[Json], **more: Any) -> str:
    """A file's text, a step a line."""
    lines = ["{", '  "format": "joren-vectors",', '  "version": 1,', f'  "title": {json.dumps(title)},']
    lines += [f'  "{name}": {json.dumps(value)},' for name, value in more.items()]
    lines.append('  "vectors": [')
    for number, one in enumerate(vectors, 1):
        lines.append("    {")
        lines += [f"      {json.dumps(key)}: {json.dumps(value)}," for key, value in one.items() if key != "steps"]
        lines.append('      "steps": [')
        lines.append(",\n".join(f"        {json.dumps(step)}" for step in one["steps"]))
        lines += ["      ]", "    }" + ("," if number < len(vectors) else "")]
    return "\n".join([*lines, "  ]", "}"]) + "\n"


def send(name: str, header: str, data: str = "", ne: int | None = None, sw: str = "9000", **more: Any) -> Json:
    """A command's step."""
    found: Json = {"name": name, "send": header}
    if data:
        found["data"] = data
    if ne is not None:
        found["ne"] = ne
    if sw != "9000":
        found["sw"] = sw
    return {**found, **more}
