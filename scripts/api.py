"""The public API as text, read off the source: `scripts/api.py > docs/api.txt`. A test compares the two (docs/embedding.md)."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PUBLIC", "public_api"]

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = ("apdu", "host")
"""The packages whose names are public: those in `__all__` of each."""
SPECIAL = ("__init__", "__call__", "__enter__", "__exit__")


def public_api() -> str:
    """Every public name with its signature, a block for each, by package and name."""
    blocks = [f"joren.{room}.{told}" for room in PUBLIC for told in _package(room)]
    return "\n".join(blocks) + "\n"


def _package(room: str) -> Iterator[str]:
    tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    where = {alias.name: node.module or "" for node in imports for alias in node.names}
    (names,) = (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and "__all__" in ast.unparse(node))
    for name in sorted(names):
        module = where[name]
        if module.startswith("joren."):
            yield f"{name} is {module}.{name}"
        elif not module:
            yield f"{name}: a module"
        else:
            yield _told(name, ast.parse((ROOT / room / f"{module}.py").read_text(encoding="utf-8")))


def _told(name: str, tree: ast.Module) -> str:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return "\n".join([f"{name}({', '.join(map(ast.unparse, node.bases))})", *(f"    {line}" for line in _members(node))])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return _signature(node)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return name if name.isupper() else f"{name} = {ast.unparse(node.value)}"
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value is not None:
            return f"{name} = {ast.unparse(node.value)}"
    raise LookupError(f"{name}: not defined where it is imported from")


def _members(node: ast.ClassDef) -> Iterator[str]:
    """Fields of a dataclass or members of an enum as they stand, methods and properties by their signature."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            yield from _attributes(member)
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
            if not member.name.startswith("_") or member.name in SPECIAL:
                decorators = {ast.unparse(decorator) for decorator in member.decorator_list}
                if "property" in decorators:
                    yield f"{member.name} -> {ast.unparse(member.returns) if member.returns else ''}"
                else:
                    yield _signature(member)
        elif (isinstance(member, ast.AnnAssign) and not ast.unparse(member.target).startswith("_")) or isinstance(member, ast.Assign):
            yield ast.unparse(member)


def _attributes(init: ast.FunctionDef) -> Iterator[str]:
    """The public attributes that `__init__` gives an object."""
    for node in ast.walk(init):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        names = [target.attr for target in targets if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"]
        yield from (f"self.{name}" for name in names if not name.startswith("_"))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    managed = "contextmanager" in map(ast.unparse, node.decorator_list)
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else "with " if managed else ""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{prefix}{node.name}({ast.unparse(node.args)}){returns}"


if __name__ == "__main__":
    sys.stdout.write(public_api())
