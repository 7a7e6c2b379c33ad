"""The house rules, as tests. Every rule is also tried on a small bad example, so that none passes because it sees nothing."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Which room may import which; a room may always import itself. "cli" is cli.py.
ARROWS = {
    "apdu": set[str](),
    "applet": {"apdu"},
    "simulator": {"apdu", "applet"},
    "host": {"apdu"},
    "commands": {"apdu", "applet", "simulator", "host"},
    "cli": {"apdu", "applet", "simulator", "host", "commands"},
}
PURE_ROOMS = {"apdu", "applet"}
UNSHIPPED = {"benchmarks", "build", "dist", "docs", "examples", "scripts", "tests"}
LINE_MAX, FUNCTION_LINES_MAX, MODULE_LINES_MAX, TEST_LINES_MAX = 140, 60, 400, 600

# What a pure room may not import: anything that does input or output, reads a clock, or draws random numbers.
IMPURE = frozenset(
    """
    asyncio builtins click concurrent ctypes datetime dbm fcntl fileinput ftplib getpass glob http imaplib importlib io
    locale logging mmap multiprocessing os pathlib pickle platform poplib random rich sched secrets select selectors shelve
    shutil signal smartcard smtplib socket socketserver sqlite3 ssl subprocess sys syslog tempfile termios threading time
    timeit urllib uuid webbrowser zoneinfo
    """.split()  # noqa: SIM905 - one name a line would hide the list in its own length
)
IMPURE_CALLS = {"breakpoint", "exec", "eval", "input", "open", "print", "__import__"}

REQUIREMENT = re.compile(r"\bREQ-[A-Z]+-\d+\b")
DEFINITION = re.compile(r"\*\*(REQ-[A-Z]+-\d+)\*\*")
WORKPLACE = ("/" + "work/", "/tmp/" + "devenv")


parse = cache(ast.parse)


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the project's root, its text, its tree."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        return cls(PurePosixPath(path), text, parse(text))

    @property
    def room(self) -> str:
        return self.path.parts[0].removesuffix(".py")

    @property
    def package(self) -> list[str]:
        """The dotted name of the package this file belongs to, in parts."""
        return ["joren", *self.path.parts[:-1]]


Rule = Callable[[Source], Iterator[str]]


def rule_all_is_declared(source: Source) -> Iterator[str]:
    targets = [target for node in source.tree.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in source.tree.body if isinstance(node, ast.AnnAssign) and node.value]
    if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
        yield "has no __all__"


def rule_modules_are_short(source: Source) -> Iterator[str]:
    most = TEST_LINES_MAX if source.room == "tests" else MODULE_LINES_MAX
    lines = len(source.text.splitlines())
    if lines > most:
        yield f"has {lines} lines, more than {most}"


def rule_functions_are_short(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name} has {lines} lines, more than {FUNCTION_LINES_MAX}"


def rule_lines_are_short(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if len(line) > LINE_MAX:
            yield f"line {number} has {len(line)} characters, more than {LINE_MAX}"


def imports(source: Source, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The full dotted names that the imports among `nodes` ask for, relative ones resolved."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = source.package[: len(source.package) - node.level + 1] if node.level else []
            module = [*base, *(node.module.split(".") if node.module else [])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def rule_imports_follow_the_arrows(source: Source) -> Iterator[str]:
    for name in imports(source, ast.walk(source.tree)):
        top, _, rest = name.partition(".")
        room = rest.partition(".")[0]
        if top == "joren" and room not in {source.room, *ARROWS.get(source.room, ())}:
            yield f"imports {name}, against the arrows"


def rule_rooms_are_imported_by_their_full_name(source: Source) -> Iterator[str]:
    for name in imports(source, ast.walk(source.tree)):
        if name.partition(".")[0] in ARROWS:
            yield f"imports {name}; write joren.{name}"


def rule_pure_rooms_stay_pure(source: Source) -> Iterator[str]:
    if source.room not in PURE_ROOMS:
        return
    for name in imports(source, ast.walk(source.tree)):
        if name.partition(".")[0] in IMPURE:
            yield f"imports {name}; {source.room} does no input or output and knows no clock and no chance"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            yield f"calls {node.func.id}; {source.room} does no input or output"


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run, or may run, when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def rule_pyscard_waits_until_a_reader_is_asked_for(source: Source) -> Iterator[str]:
    for name in imports(source, outside_functions(source.tree)):
        if name.partition(".")[0] == "smartcard":
            yield f"imports {name} at module level; import it inside the function that opens a reader"


EVERYWHERE: list[Rule] = [
    rule_modules_are_short,
    rule_functions_are_short,
    rule_lines_are_short,
    rule_rooms_are_imported_by_their_full_name,
]
SHIPPED: list[Rule] = [
    rule_all_is_declared,
    rule_imports_follow_the_arrows,
    rule_pure_rooms_stay_pure,
    rule_pyscard_waits_until_a_reader_is_asked_for,
]


def files(root: Path, *suffixes: str) -> list[Path]:
    """The project's files with one of `suffixes` (all files without any), but for what tools made or keep."""
    found = []
    for path in sorted(root.iterdir()):
        if path.is_symlink() or path.name in {"build", "dist", "__pycache__"} or path.name.endswith(".egg-info"):
            continue
        if path.is_dir() and (not path.name.startswith(".") or path.name == ".ci"):
            found += files(path, *suffixes)
        elif path.is_file() and (not suffixes or path.suffix in suffixes):
            found.append(path)
    return found


def sources(root: Path) -> list[Source]:
    return [Source.of(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in files(root, ".py")]


def broken(rules: list[Rule], checked: list[Source]) -> list[str]:
    return [f"{source.path} {problem}" for source in checked for rule in rules for problem in rule(source)]


def shipped(root: Path) -> list[Source]:
    return [source for source in sources(root) if source.room not in UNSHIPPED]


def wrong_packages(root: Path) -> list[str]:
    """Where pyproject.toml's list of packages, the folders with an __init__.py, and the folders with Python files differ."""
    listed = set(tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    folders = {source.path.parent for source in shipped(root) if source.path.parent.parts}
    named = {".".join(["joren", *folder.parts]) for folder in folders if (root / folder / "__init__.py").is_file()}
    problems = [f"{folder} has no __init__.py" for folder in sorted(folders) if not (root / folder / "__init__.py").is_file()]
    problems += [f"{name} is not in pyproject.toml" for name in sorted(named - listed)]
    problems += [f"{name} is in pyproject.toml alone" for name in sorted(listed - named - {"joren"})]
    strays = [source.path.name for source in shipped(root) if len(source.path.parts) == 1 and source.path.name != "cli.py"]
    return problems + [f"{name} at the root would be shipped as a module of joren" for name in strays]


def requirements(pattern: re.Pattern[str], paths: list[Path]) -> list[tuple[str, str]]:
    """Each requirement id that `pattern` finds, with the name of its file."""
    return [(name, path.name) for path in paths for name in pattern.findall(path.read_text(encoding="utf-8"))]


def wrong_requirements(root: Path) -> list[str]:
    """Requirements that are cited but not defined (in bold, in docs/spec), defined twice, or cited by no test."""
    texts = files(root, ".py", ".txt", ".java", ".md")
    definitions = requirements(DEFINITION, [path for path in texts if path.is_relative_to(root / "docs" / "spec")])
    defined, cited = dict(definitions), dict(requirements(REQUIREMENT, texts))
    tested = dict(requirements(REQUIREMENT, [path for path in texts if path.is_relative_to(root / "tests")]))
    names = [name for name, _ in definitions]
    unknown = [f"{name} is cited in {cited[name]} and not defined in docs/spec" for name in sorted(cited.keys() - defined.keys())]
    twice = [f"{name} is defined twice" for name in sorted(defined) if names.count(name) > 1]
    untested = [f"{name} of {defined[name]} is cited by no test" for name in sorted(defined.keys() - tested.keys())]
    return unknown + twice + untested


def workplace_paths(root: Path) -> list[str]:
    texts = {path.relative_to(root): path.read_bytes().decode("utf-8", "replace") for path in files(root)}
    return [f"{path} names {word}" for path, text in texts.items() for word in WORKPLACE if word in text]


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule: Rule) -> None:
    assert broken([rule], sources(ROOT)) == []


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.__name__)
def test_every_shipped_file_keeps(rule: Rule) -> None:
    assert broken([rule], shipped(ROOT)) == []


def test_the_rules_see_the_whole_project() -> None:
    seen = {source.path.as_posix() for source in sources(ROOT)}
    assert {"scripts/bootstrap.py", "tests/test_tidy.py"} <= seen
    assert {source.room for source in shipped(ROOT)} - {"cli"} == ARROWS.keys() - {"cli"}


def test_every_package_is_shipped() -> None:
    assert wrong_packages(ROOT) == []


def test_requirements_specification_and_tests_agree() -> None:
    assert wrong_requirements(ROOT) == []


def test_the_project_speaks_of_no_workplace() -> None:
    assert workplace_paths(ROOT) == []


LONG_FUNCTION = "def long():\n" + "    pass\n" * FUNCTION_LINES_MAX
BAD = [
    (rule_all_is_declared, "apdu/x.py", "all = []", "has no __all__"),
    (rule_all_is_declared, "apdu/x.py", "def f():\n    __all__ = []", "has no __all__"),
    (rule_modules_are_short, "apdu/x.py", "\n" * (MODULE_LINES_MAX + 1), "has 401 lines"),
    (rule_modules_are_short, "tests/x.py", "\n" * (TEST_LINES_MAX + 1), "has 601 lines"),
    (rule_functions_are_short, "apdu/x.py", LONG_FUNCTION, "long has 61 lines"),
    (rule_functions_are_short, "apdu/x.py", f"class C:\n  async {LONG_FUNCTION}".replace("\n    ", "\n      "), "long has 61 lines"),
    (rule_lines_are_short, "apdu/x.py", "#" * (LINE_MAX + 1), "line 1 has 141 characters"),
    (rule_imports_follow_the_arrows, "apdu/x.py", "import joren.host", "imports joren.host,"),
    (rule_imports_follow_the_arrows, "applet/x.py", "from joren import simulator", "imports joren.simulator,"),
    (rule_imports_follow_the_arrows, "simulator/x.py", "from joren.host.replay import x", "imports joren.host.replay.x,"),
    (rule_imports_follow_the_arrows, "host/x.py", "def f():\n    from joren.applet import Card", "imports joren.applet.Card,"),
    (rule_imports_follow_the_arrows, "host/x.py", "if TYPE_CHECKING:\n    import joren.simulator", "imports joren.simulator,"),
    (rule_imports_follow_the_arrows, "host/x.py", "from ..applet import Card", "imports joren.applet.Card,"),
    (rule_imports_follow_the_arrows, "host/replay/x.py", "from ... import applet", "imports joren.applet,"),
    (rule_imports_follow_the_arrows, "commands/x.py", "from joren.cli import main", "imports joren.cli.main,"),
    (rule_imports_follow_the_arrows, "newroom/x.py", "import joren.apdu", "imports joren.apdu,"),
    (rule_imports_follow_the_arrows, "host/x.py", "import joren", "imports joren,"),
    (rule_rooms_are_imported_by_their_full_name, "tests/x.py", "from host.dialog import run", "write joren.host.dialog.run"),
    (rule_rooms_are_imported_by_their_full_name, "cli.py", "import applet", "write joren.applet"),
    (rule_pure_rooms_stay_pure, "apdu/x.py", "def f():\n    import os.path", "imports os.path;"),
    (rule_pure_rooms_stay_pure, "applet/x.py", "from secrets import token_bytes", "imports secrets.token_bytes;"),
    (rule_pure_rooms_stay_pure, "applet/x.py", "print('seen')", "calls print;"),
    (rule_pyscard_waits_until_a_reader_is_asked_for, "host/x.py", "from smartcard.System import readers", "at module level"),
    (
        rule_pyscard_waits_until_a_reader_is_asked_for,
        "host/x.py",
        "try:\n    import smartcard\nexcept ImportError: pass",
        "at module level",
    ),
    (rule_pyscard_waits_until_a_reader_is_asked_for, "host/x.py", "class C:\n    import smartcard", "at module level"),
]
GOOD = [
    (rule_all_is_declared, "apdu/x.py", "__all__ = ['x']"),
    (rule_all_is_declared, "apdu/__init__.py", "__all__: list[str] = []"),
    (rule_modules_are_short, "apdu/x.py", "\n" * MODULE_LINES_MAX),
    (rule_functions_are_short, "apdu/x.py", LONG_FUNCTION.removesuffix("    pass\n")),
    (rule_lines_are_short, "apdu/x.py", "#" * LINE_MAX),
    (
        rule_imports_follow_the_arrows,
        "applet/x.py",
        "from joren.apdu import Command\nfrom .card import Card\nfrom . import card\nimport os",
    ),
    (rule_imports_follow_the_arrows, "host/replay/x.py", "from .. import dialog\nfrom ..dialog import run\nfrom joren.apdu.sw import OK"),
    (rule_imports_follow_the_arrows, "cli.py", "from joren.commands import demo"),
    (rule_rooms_are_imported_by_their_full_name, "tests/x.py", "import joren.host\nfrom .host import x"),
    (rule_pure_rooms_stay_pure, "apdu/x.py", "import struct\nimport hmac\nfrom cryptography.hazmat.primitives.cmac import CMAC"),
    (rule_pure_rooms_stay_pure, "host/x.py", "import os"),
    (rule_pyscard_waits_until_a_reader_is_asked_for, "host/x.py", "def f():\n    import smartcard"),
]


@pytest.mark.parametrize(("rule", "path", "text", "expected"), BAD)
def test_a_rule_catches(rule: Rule, path: str, text: str, expected: str) -> None:
    assert [expected in problem for problem in rule(Source.of(path, text))] == [True]


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_rule_lets_pass(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source.of(path, text))) == []


def test_every_rule_is_tried_on_both() -> None:
    rules = {rule for name, rule in globals().items() if name.startswith("rule_")}
    assert rules == {*EVERYWHERE, *SHIPPED} == {example[0] for example in BAD} == {example[0] for example in GOOD}


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")


def req(topic: str, number: int) -> str:
    """A requirement id that this file does not itself cite."""
    return f"REQ-{topic}-{number:02}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small project without a fault, to spoil."""
    write(tmp_path, "pyproject.toml", '[tool.setuptools]\npackages = ["joren", "joren.apdu"]\n')
    write(tmp_path, "apdu/__init__.py", "")
    write(tmp_path, "cli.py", "")
    write(tmp_path, "docs/spec/card.md", f"**{req('TAP', 1)}** The card answers. See {req('TAP', 1)}.")
    write(tmp_path, "tests/vectors/tap.txt", req("TAP", 1))
    assert wrong_packages(tmp_path) == wrong_requirements(tmp_path) == workplace_paths(tmp_path) == []
    return tmp_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("conftest.py", "conftest.py at the root would be shipped as a module of joren"),
        ("server/__init__.py", "joren.server is not in pyproject.toml"),
        ("apdu/tables/sw.py", "apdu/tables has no __init__.py"),
    ],
)
def test_a_file_in_the_wrong_place_is_found(tree: Path, path: str, expected: str) -> None:
    write(tree, path, "")
    assert wrong_packages(tree) == [expected]


def test_a_listed_package_that_is_not_there_is_found(tree: Path) -> None:
    (tree / "apdu" / "__init__.py").unlink()
    assert wrong_packages(tree) == ["joren.apdu is in pyproject.toml alone"]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("apdu/x.py", req("XYZ", 7), "{} is cited in x.py and not defined in docs/spec"),
        ("tests/test_x.py", req("XYZ", 7), "{} is cited in test_x.py and not defined in docs/spec"),
        ("applet/javacard/Card.java", req("XYZ", 7), "{} is cited in Card.java and not defined in docs/spec"),
        ("docs/spec/tap.md", f"see {req('XYZ', 7)}", "{} is cited in tap.md and not defined in docs/spec"),
        ("docs/spec/tap.md", f"**{req('XYZ', 7)}**", "{} of tap.md is cited by no test"),
    ],
)
def test_a_requirement_that_hangs_in_the_air_is_found(tree: Path, path: str, text: str, expected: str) -> None:
    write(tree, path, text)
    assert wrong_requirements(tree) == [expected.format(req("XYZ", 7))]


def test_a_requirement_that_is_defined_twice_is_found(tree: Path) -> None:
    write(tree, "docs/spec/tap.md", f"**{req('TAP', 1)}**")
    assert wrong_requirements(tree) == [f"{req('TAP', 1)} is defined twice"]


@pytest.mark.parametrize("word", WORKPLACE)
def test_a_path_of_the_workplace_is_found(tree: Path, word: str) -> None:
    write(tree, "docs/guide.md", f"see {word}x")
    write(tree, ".venv/lib/x.py", word)
    write(tree, "build/x.py", word)
    assert workplace_paths(tree) == [f"docs/guide.md names {word}"]
