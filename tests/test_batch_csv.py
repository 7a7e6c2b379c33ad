"""Orders from CSV: what a file may say, and that what is wrong is named by row and column."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchkit import PRODUCT
from joren.host import HostError
from joren.host.batch_csv import LINE_MAX, CsvRow, MemberRow, Problem, ShopRow, csv_digest, csv_kind, read_csv


def read(folder: Path, content: str | bytes) -> list[CsvRow | Problem]:
    path = folder / "in.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_csv(path, PRODUCT))


def test_customer_cards(tmp_path: Path) -> None:
    names = ["Alice Ä.", "Bob, the 2nd", 'Carol "C"', "コーリー", "\u0639\u200c\u0631"]
    text = f'\ufeffmember,name\r\na.1,{names[0]}\r\nb_2,"{names[1]}"\r\n{"c" * 32},"Carol ""C"""\r\n4,{names[3]}\r\n-,{names[4]}'
    members = ["a.1", "b_2", "c" * 32, "4", "-"]
    rows = [MemberRow(number, member, name) for number, (member, name) in enumerate(zip(members, names, strict=True), 2)]
    assert read(tmp_path, text) == rows
    assert csv_kind(tmp_path / "in.csv") == "customer"
    assert read(tmp_path, "name,member\nN,m\n") == [MemberRow(2, "m", "N")]
    assert read(tmp_path, "member\nm\n") == [MemberRow(2, "m")]


def test_shop_cards(tmp_path: Path) -> None:
    text = "shop,terminal,points,money,may_load\n1,0,0,0,no\n4294967295,255,4294967295,42949672.95,yes\n"
    assert read(tmp_path, text) == [ShopRow(2, 1, 0, 0, 0, False), ShopRow(3, 0xFFFFFFFF, 255, 0xFFFFFFFF, 0xFFFFFFFF, True)]
    assert csv_kind(tmp_path / "in.csv") == "shop"


MEMBER, NAME = "1 to 32 letters A-Z a-z, digits, '.', '_' and '-' expected, ", "a,"
WRONG: list[tuple[str | bytes, str, str]] = [
    ("a b,N", "member", MEMBER + "'a b' came"),
    (f"{'a' * 33},N", "member", MEMBER),
    ("é,N", "member", MEMBER),
    ("a/b,N", "member", MEMBER),
    (",N", "member", "something expected, an empty field came"),
    ('a," "', "name", "something expected, an empty field came"),
    (NAME + "x" * 65, "name", "at most 64 characters expected, 65 came"),
    (NAME + "x\x07", "name", "character 2, U+0007, can not be used: it is a control character"),
    (NAME + "x\x00y", "name", "character 2, U+0000, can not be used"),
    (NAME + "x\u202ey", "name", "character 2, U+202E, can not be used: it is a formatting character"),
    (NAME + "\ue000", "name", "character 1, U+E000, can not be used: it is for private use"),
    (NAME + "a\u2028b", "name", "character 2, U+2028, can not be used: it is a line separator"),
    (NAME + "a\u0378", "name", "character 2, U+0378, can not be used: it is not assigned"),
    (b"a,caf\xe9", "name", "UTF-8 expected, the byte E9 came, character 4 of the field; the row begins at byte 12"),
    (b"a,\xed\xa0\x80", "name", "UTF-8 expected, the byte ED came, character 1"),
    (b"\xff,N", "member", "UTF-8 expected, the byte FF came"),
    ("a", "", "2 fields expected (member, name), 1 came"),
    ("a,b,c", "", "2 fields expected (member, name), 3 came"),
    ("", "", "fields expected, an empty line came"),
    ('a,"b', "", "fields with commas between them, in double quotes or none, expected: unexpected end of data"),
    ('a,"b"c', "", "fields with commas between them, in double quotes or none, expected: ',' expected"),
]


@pytest.mark.parametrize(("line", "column", "reason"), WRONG)
def test_a_row_that_is_wrong_is_named_and_the_others_are_read(tmp_path: Path, line: str | bytes, column: str, reason: str) -> None:
    raw = line if isinstance(line, bytes) else line.encode()
    found = read(tmp_path, b"member,name\n" + raw + b"\ngood,Good\n")
    (problem, good) = found
    assert good == MemberRow(3, "good", "Good")
    assert isinstance(problem, Problem)
    assert (problem.row, problem.column) == (2, column)
    assert problem.reason.startswith(reason)
    assert str(problem).startswith(f"row 2, column {column}: " if column else "row 2: ")


SHOP = {"shop": "1", "terminal": "1", "points": "1", "money": "1", "may_load": "yes"}


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("shop", "0", "a whole number in 1..4294967295 expected, '0' came"),
        ("shop", "4294967296", "a whole number in 1..4294967295"),
        ("shop", "-1", "a whole number"),
        ("shop", "٣", "a whole number"),
        ("shop", "1" * 11, "a whole number"),
        ("terminal", "256", "a whole number in 0..255 expected, '256' came"),
        ("points", "4294967296", "a whole number in 0..4294967295"),
        ("points", "1.5", "a whole number"),
        ("money", "42949672.96", "at most 42,949,672.95 EUR expected"),
        ("money", "1.234", "amount: a number with at most 2 decimals expected"),
        ("may_load", "true", "yes or no expected, 'true' came"),
        ("may_load", "", "something expected, an empty field came"),
    ],
)
def test_a_number_that_can_not_be(tmp_path: Path, column: str, value: str, reason: str) -> None:
    line = ",".join((SHOP | {column: value}).values())
    (problem,) = read(tmp_path, f"{','.join(SHOP)}\n{line}\n")
    assert isinstance(problem, Problem)
    assert (problem.row, problem.column) == (2, column)
    assert problem.reason.startswith(reason)


def test_all_that_is_wrong_in_a_row_is_told(tmp_path: Path) -> None:
    problems = read(tmp_path, f"{','.join(SHOP)}\n0,x,-,1e3,maybe\n")
    assert [problem.column for problem in problems if isinstance(problem, Problem)] == list(SHOP)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "row 1: the names of the columns expected"),
        ("member,mail", "row 1: columns member, name, or shop, terminal, points, money, may_load, expected, 'mail' came"),
        ("member,shop", "'member' came"),
        ("name", "row 1: column member expected, name came"),
        ("shop,terminal", "row 1: column points expected"),
        ("member,member", "row 1: column member: once expected, it is there 2 times"),
        ('"member', "row 1: the names of the columns expected .*unexpected end of data"),
        ("Member", "'Member' came"),
        ("x" * (LINE_MAX + 1), f"row 1: a line of at most {LINE_MAX} bytes expected"),
    ],
)
def test_a_header_that_is_wrong_ends_it(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(HostError, match=message):
        read(tmp_path, header + "\nm\n" if header else "")
    with pytest.raises(HostError, match=message):
        csv_kind(tmp_path / "in.csv")


def test_a_line_without_end_is_no_csv(tmp_path: Path) -> None:
    """It is not read into memory."""
    with pytest.raises(HostError, match=f"row 3: a line of at most {LINE_MAX} bytes expected, a longer one came; is it CSV"):
        read(tmp_path, "member\nm\n" + "x" * 100_000)
    assert len(read(tmp_path, f"member,name\nm,{'x' * (LINE_MAX - 3)}\n")) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for use in (csv_digest, csv_kind, lambda path: list(read_csv(path, PRODUCT))):
        with pytest.raises(HostError, match=r"^CSV .*none\.csv: No such file or directory$"):
            use(tmp_path / "none.csv")


@given(st.binary(max_size=200))
def test_whatever_bytes_come_each_line_is_a_row_or_a_problem(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    found = read(folder, b"member,name\n" + raw)
    rows = {row.row if isinstance(row, Problem) else row.number for row in found}
    lines = raw.split(b"\n")
    assert rows == set(range(2, 2 + len(lines) - (lines[-1] == b"")))
