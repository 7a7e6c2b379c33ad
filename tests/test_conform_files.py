"""Vector files that are damaged, newer, or wrong: told with their place, and never run."""

import json
from pathlib import Path
from typing import Any

import pytest

from joren.apdu import Key
from joren.host.conform import BadVectors, load_suite
from joren.host.conform.fields import BadField, Keys, Scope, literal, names_in, read_field
from joren.host.conform.suite import Kind

Json = dict[str, Any]
TORN: Json = {"send": "00", "tear": {"at": 1, "reads": [], "allowed": ["old"]}}
ID: Json = {"id": "x", "title": "x"}
SELECT: Json = {"send": "00 A4 04 0C", "data": "$customer_aid", "ne": 26, "answer": "*"}


def one_vector(**changes: Any) -> Json:
    """A vector that is right, but for the changes; None leaves a key out."""
    found = {
        "id": "own",
        "title": "a title",
        "why": "a reason",
        "covers": ["REQ-SEL-1"],
        "class": "symbolic",
        "fixture": "customer",
        "steps": [SELECT],
    }
    return {name: value for name, value in {**found, **changes}.items() if value is not None}


def file_of(*vectors: Json, **changes: Any) -> Json:
    return {"format": "joren-vectors", "version": 1, "vectors": list(vectors), **changes}


def of_class(name: str, *steps: Json) -> Json:
    """A vector of a class; of the SELECT of all where no steps are given."""
    return file_of(one_vector(**{"class": name}, steps=list(steps) or [SELECT]))


def step(**fields: Any) -> Json:
    return file_of(one_vector(steps=[fields]))


def load(folder: Path, found: object) -> Any:
    (folder / "own.json").write_text(found if isinstance(found, str) else json.dumps(found), encoding="utf-8")
    return load_suite(folder)


def test_vectors_of_ones_own_stand_in_the_place_of_the_kits(tmp_path: Path) -> None:
    suite = load(tmp_path, file_of(one_vector()))
    assert [(one.id, one.kind, one.file) for one in suite.vectors] == [("own", Kind.SYMBOLIC, "own.json")]
    assert {"select", "buy"} <= suite.procedures.keys()
    assert suite.only(frozenset({"REQ-SEL-1"})) == suite.only(frozenset({"own"})) == suite.only(frozenset()) == suite.vectors
    assert suite.only(frozenset({"REQ-SEL-2"})) == ()


BAD: list[tuple[str, object, str]] = [
    ("no JSON", '{"format": "joren-vectors", "version": 1', "own.json: damaged"),
    ("not UTF-8 to the end", '{"format": "joren-vectors",, }', "damaged"),
    ("deep", "[" * 100_000, "can not be read"),
    ("a list", [], "an object expected"),
    ("a key twice", '{"format": "joren-vectors", "version": 1, "version": 1, "vectors": []}', "a key stands twice"),
    ("another format", file_of(format="joren-cards"), "format: joren-vectors or"),
    ("no format", {"version": 1}, "format is missing"),
    ("a newer version", file_of(version=2), "version 1 expected, 2 came; this joren is too old for it"),
    ("a version of words", file_of(version="1"), 'version: 1..2147483648 expected, "1" came'),
    ("an unknown key", file_of(one_vector(), colour="red"), "own.json: unknown: colour"),
    ("no vectors", file_of(), "no vectors are there"),
    ("an unknown key of a vector", file_of(one_vector(colour="red")), "vectors[1]: unknown: colour"),
    ("no id", file_of(one_vector(id=None)), "id is missing"),
    ("an id twice", file_of(one_vector(), one_vector()), "own stands twice"),
    ("no why", file_of(one_vector(why=" ")), "why: a text expected"),
    ("no requirement", file_of(one_vector(covers=[])), "at least one of each expected"),
    ("no steps", file_of(one_vector(steps=[])), "at least one of each expected"),
    ("a requirement twice", file_of(one_vector(covers=["REQ-SEL-1", "REQ-SEL-1"])), "none twice"),
    ("another class", file_of(one_vector(**{"class": "magic"})), "class: static or bytes or symbolic expected"),
    ("no such fixture", file_of(one_vector(fixture="bank")), "fixture: there is no bank"),
    ("an unknown feature", file_of(one_vector(requires=["wings"])), "requires: unknown: wings"),
    ("requires is a text", file_of(one_vector(requires="tear")), "requires: a list expected"),
    ("steps is an object", file_of(one_vector(steps={})), "steps: a list expected"),
    ("a step is a text", file_of(one_vector(steps=["select"])), "steps[1]: an object expected"),
    ("an unknown key of a step", step(send="00", colour=1), "steps[1]: unknown: colour"),
    ("neither send nor raw", step(name="nothing"), "send is missing"),
    ("no hexadecimal", step(send="0G"), "steps[1]: send: bytes in hexadecimal"),
    ("half a byte", step(send="00 A"), "whole bytes expected, A came"),
    ("X in a command", step(send="00 A4 XX 00"), "X stands in answers alone"),
    ("a number that does not fit", step(send="u16:65536"), "u16:65536: at most 65535 fits"),
    ("too many bytes", step(send="00*65536"), "at most 65535 bytes"),
    ("data is a number", step(send="00", data=7), "data: a text, a list or an object expected, int came"),
    ("half a MAC", step(send="00", data={"mac": "00"}), "mac and key, sealed and under"),
    ("a MAC's key is a number", step(send="00", data={"mac": "00", "key": 1}), "a text expected, int came"),
    ("flip without a number", step(send="00", data={"flip": "00", "at": True}), "flip and at (a number)"),
    ("a key that is not there", step(send="00", data={"mac": "00", "key": "gold"}), "own.json: own: there is no key gold"),
    ("key bytes that are not there", step(send="00", data="@gold"), "there is no key gold"),
    ("a key set that is not there", step(send="00", data={"sealed": "00", "under": "gold"}), "there is no key gold"),
    ("a value that is not there", step(send="00 $nowhere"), "there is no value nowhere"),
    ("a value that is not there, flipped", step(send="00", data={"flip": "$nowhere", "at": 0}), "there is no value nowhere"),
    ("a status that is not there", step(send="00", sw="$nowhere"), "there is no value nowhere"),
    ("no such procedure", step(do="dance"), "do: there is no procedure dance"),
    ("no such key set", step(open="gold", aid="00*5"), "open: there is no key set gold"),
    ("no such level", step(open="manager", level="02", aid="00*5"), "level: 00 or 01"),
    ("a status word of five digits", step(send="00", sw="90000"), "sw: a status word"),
    ("no status word", step(send="00", sw=[]), "sw: a status word"),
    ("Ne of 0", step(send="00", ne=0), "ne: 1..65536 expected"),
    ("Ne true", step(send="00", ne=True), "ne: 1..65536 expected, true came"),
    ("extended is a word", step(send="00", extended="yes"), "extended: true or false expected"),
    ("reset false", step(reset=False), "reset: true expected"),
    ("raw with data", step(raw="00", data="00"), "raw: the whole APDU expected"),
    ("spoiled in the clear", step(send="00", spoiled=True), "spoiled: of a secured command alone"),
    ("a part without a size", step(send="00", answer=[{"bind": "x"}]), "answer: bytes or any, with how many"),
    ("a part of no bytes", step(send="00", answer=[{"any": 0}]), "answer: bytes or any, with how many"),
    ("a part of both", step(send="00", answer=[{"any": 1, "bind": "x"}]), "a field, bind and bytes"),
    ("a tear without reads", step(send="00", tear={"at": 1, "allowed": ["old"]}), "tear: reads is missing"),
    ("a tear that allows all", step(send="00", tear={"at": 1, "reads": [], "allowed": ["mixed"]}), "allowed: old, new or between"),
    ("a tear at no write", step(send="00", tear={"at": 0, "reads": [], "allowed": ["old"]}), "at: 1..10000 expected"),
    ("a tear within", step(repeat=2, steps=[TORN]), "tear: a step of the vector itself"),
    ("a value's name", file_of(one_vector(values={"a b": "00"})), "values: a name of letters"),
    ("a value", file_of(one_vector(values={"a": "0"})), "values: a: whole bytes expected"),
    ("values are a list", file_of(one_vector(values=[])), "values: an object expected"),
    ("a procedure in a static vector", of_class("static", {"do": "select"}), "class static: commands that stand in the file"),
    ("a name in a static vector", of_class("static"), "class static: bytes alone expected"),
    ("anything in a vector of bytes", of_class("bytes", {"send": "00A40000", "answer": "*"}), "every byte of every answer"),
    ("a mask in a vector of bytes", of_class("bytes", {"send": "00A40000", "answer": "XX"}), "every byte of every answer"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_file_is_told_with_its_place(found: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadVectors) as caught:
        load(tmp_path, found)
    assert message in str(caught.value)


def keys(**entries: Any) -> Json:
    return {"format": "joren-vector-keys", "version": 1, "keys": entries}


def key_set(key: str, version: int) -> Json:
    return {**keys(), "sets": {"gold": {"enc": key, "mac": key, "dek": key, "version": version}}}


def fixtures(**fields: Any) -> Json:
    return {"format": "joren-vector-fixtures", "version": 1, **fields}


BAD_OTHERS: list[tuple[str, Json, str]] = [
    ("a key of 15 bytes", keys(gold={"key": "00*15"}), "gold: key: 16 or 32 bytes expected, 15 came"),
    ("a key of a name", keys(gold={"key": "$nonce"}), "$nonce: it has no value here"),
    ("a key from nowhere", keys(gold={"from": "lead", "label": "till", "context": "00"}), "there is no key lead before it"),
    ("an unknown key", keys(gold={"key": "00*16", "colour": 1}), "unknown: colour"),
    ("a set from nowhere", key_set("lead", 1), "there is no key lead"),
    ("a set's version", key_set("till", 0), "version: 1..255 expected"),
    ("a fixture without a base", fixtures(fixtures=[{**ID, "base": "y"}]), "there is no fixture y before it"),
    ("a fixture of another card", fixtures(fixtures=[{**ID, "card": "bank"}]), "card: customer or shop or managed"),
    ("a grouping's tag", fixtures(fixtures=[{**ID, "card": "shop", "groupings": [["01", "00"]]}]), "a tag of 2 bytes"),
    ("a grouping of one", fixtures(fixtures=[{**ID, "card": "shop", "groupings": [["0101"]]}]), "lists of tag and value"),
    ("a grouping's value", fixtures(fixtures=[{**ID, "card": "shop", "groupings": [["0101", "0"]]}]), "whole bytes"),
    ("a grouping's name", fixtures(fixtures=[{**ID, "card": "shop", "groupings": [["0101", "$no"]]}]), "fixture x: there is no value no"),
    ("a procedure's step", fixtures(procedures={"x": [{"send": "$no"}]}), "procedure x: there is no value no"),
    ("a procedure's tear", fixtures(procedures={"x": [TORN]}), "tear: a step of the vector itself"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "message"), [row[1:] for row in BAD_OTHERS], ids=[row[0] for row in BAD_OTHERS])
def test_bad_keys_and_fixtures_are_told(found: Json, message: str, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(BadVectors) as caught:
        load(tmp_path, file_of(one_vector()))
    assert message in str(caught.value)


def test_a_file_that_is_too_long_or_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadVectors, match="at most 4,194,304 bytes"):
        load(tmp_path, " " * (4 * 1024 * 1024 + 1))
    (tmp_path / "own.json").unlink()
    (tmp_path / "own.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadVectors, match="can not be read"):
        load_suite(tmp_path)
    (tmp_path / "own.json").unlink()
    with pytest.raises(BadVectors, match="no vectors are there"):
        load_suite(tmp_path)
    (tmp_path / "own.json").write_bytes(b'{"format": "\xff"}')
    with pytest.raises(BadVectors, match="damaged"):
        load_suite(tmp_path)


KEYS = Keys({"gold": Key(bytes(range(16)), "gold")}, {})


def value(found: object, **values: object) -> str:
    return Scope(KEYS, {name: read_field(one) for name, one in values.items()}).value(read_field(found)).hex()


def test_fields_are_worked_out() -> None:
    assert value("00 0A*2 u8:7 u16:256 u24:1 u32:1") == "000a0a07010000000100000001"
    assert value(["00", "$x"], x="$y", y="0102") == "000102"
    assert value({"flip": "$x", "at": -1}, x="0102") == "0103"
    assert value({"mac": "$x", "key": "gold"}, x="0102") == KEYS.keys["gold"].mac8(b"\1\2").hex()
    assert value("kcv:gold") == KEYS.keys["gold"].kcv().hex()
    assert value("@gold") == bytes(range(16)).hex()
    assert list(names_in(read_field(["$x", {"sealed": "$y", "under": "set"}, "@gold", "00"]))) == [
        ("name", "x"),
        ("keys", "set"),
        ("name", "y"),
        ("key", "gold"),
    ]


def test_a_value_that_names_itself_means_the_one_outside() -> None:
    scope = Scope(KEYS, {"x": read_field("01"), "y": read_field("$x $x")})
    scope.push({"x": read_field({"flip": "$x", "at": 0})})
    assert scope.value(read_field("$y")) == b"\0\0"
    scope.bind("x", b"\x03")
    assert scope.value(read_field("$y")) == b"\2\2"
    scope.pop()
    assert scope.value(read_field("$x")) == b"\3"


@pytest.mark.parametrize(
    ("found", "values", "message"),
    [
        ("$x", {"x": "$x"}, "it has no value here"),
        ("$a", {"a": "$b", "b": "$a"}, "it has no value here"),
        ("$x1", {f"x{number}": f"$x{number + 1}" for number in range(40)}, "values within values"),
        ({"flip": "00", "at": 1}, {}, "1 bytes are there, not one at 1"),
        (["00*60000", "00*60000"], {}, "at most 65535 bytes"),
    ],
)
def test_a_field_that_has_no_value_is_told(found: object, values: dict[str, object], message: str) -> None:
    with pytest.raises(BadField, match=message):
        value(found, **values)


def test_no_key_shows_in_a_suite(tmp_path: Path) -> None:
    suite = load(tmp_path, file_of(one_vector()))
    assert suite.keys.keys["till-master"].reveal().hex() not in repr(suite).lower()
    assert literal(b"\1")[0].mask == b"\xff"  # type: ignore[union-attr]


def test_the_kits_vectors_are_shipped() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["joren.host.conform"] == ["vectors/*.json"]
    assert "joren.host.conform" in project["tool"]["setuptools"]["packages"]
