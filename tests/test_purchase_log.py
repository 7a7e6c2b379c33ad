"""Reading purchase logs: what a good one gives, and how each fault is named."""

import csv
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joren.host.replay.log import BadLog, BadRow, Row, parse_log, read_log

CDNOW = Path(__file__).resolve().parent.parent / "examples" / "cdnow"
HEAD = "card,time,amount,category\n"
GOOD = "A,2024-05-01,1.00,0\n"


def bad_rows(text: str | bytes, minor_digits: int = 2) -> tuple[BadRow, ...]:
    with pytest.raises(BadLog) as caught:
        parse_log(text.encode() if isinstance(text, str) else text, minor_digits=minor_digits)
    return caught.value.bad


class TestGoodLogs:
    def test_rows(self) -> None:
        log = parse_log((HEAD + "A,2024-05-01,12.50,3\nB 7,2024-05-01 18:05,0,15\nA,2024-05-01T18:05:59,7.5,\n").encode())
        assert log.bad == ()
        assert log.rows == (
            Row(2, "A", datetime(2024, 5, 1), 1250, 3),
            Row(3, "B 7", datetime(2024, 5, 1, 18, 5), 0, 15),
            Row(4, "A", datetime(2024, 5, 1, 18, 5, 59), 750, 0),
        )

    @pytest.mark.parametrize(
        "data",
        [
            b"\xef\xbb\xbfcard,time,amount,category\nA,2024-05-01,1.00,0\n",  # byte order mark
            b"card,time,amount\nA,2024-05-01,1.00",  # no category, no line end
            b"amount,shop,TIME, Card\r\n1.00,x,2024-05-01,A\r\n",  # any order, other columns, Windows line ends
            b'card,time,amount,category\r"A"," 2024-05-01 ","1.00","0"\r',  # quoted, padded, old Macintosh line ends
            b"card,time,amount,shop\nA,2024-05-01,1.00,\xe9\n",  # what is wrong in a column nobody reads does not matter
        ],
    )
    def test_forms_of_the_same_log(self, data: bytes) -> None:
        assert parse_log(data).rows == (Row(2, "A", datetime(2024, 5, 1), 100, 0),)

    def test_blank_lines_do_not_count(self) -> None:
        assert [row.line_no for row in parse_log(("\n" + HEAD + "\n" + GOOD + "  \n" + GOOD).encode()).rows] == [4, 6]

    def test_quotes_and_other_scripts(self) -> None:
        (row,) = parse_log((HEAD + '"常連, no. ""1""",2024-05-01,1,0\n').encode()).rows
        assert row.card == '常連, no. "1"'

    @pytest.mark.parametrize(
        ("digits", "text", "minor"),
        [(0, "1234", 1234), (1, "0.5", 5), (2, "0.05", 5), (2, "42949672.95", 0xFFFFFFFF), (3, "1.5", 1500), (9, "0.000000001", 1)],
    )
    def test_minor_digits(self, digits: int, text: str, minor: int) -> None:
        assert parse_log((HEAD + f"A,2024-05-01,{text},0\n").encode(), minor_digits=digits).rows[0].amount_minor == minor

    @given(minor=st.integers(0, 0xFFFFFFFF))
    def test_amounts_are_exact(self, minor: int) -> None:
        text = f"{minor // 100}.{minor % 100:02}"
        assert parse_log((HEAD + f"A,2024-05-01,{text},0\n").encode()).rows[0].amount_minor == minor

    def test_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text(HEAD + GOOD, encoding="utf-8")
        assert read_log(str(tmp_path / "log.csv")) == parse_log((HEAD + GOOD).encode())
        with pytest.raises(FileNotFoundError):
            read_log(tmp_path / "none.csv")


class TestBadRows:
    @pytest.mark.parametrize(
        ("line", "column", "came"),
        [
            (",2024-05-01,1,0", "card", "''"),
            ("A\x07,2024-05-01,1,0", "card", r"'A\x07'"),
            ("A,01.05.2024,1,0", "time", "'01.05.2024'"),
            ("A,2024-02-30,1,0", "time", "'2024-02-30'"),
            ("A,2024-05-01T24:00,1,0", "time", "'2024-05-01T24:00'"),
            ("A,2024-05-01T10:00Z,1,0", "time", "'2024-05-01T10:00Z'"),
            ("A,20240501,1,0", "time", "'20240501'"),
            ("A,2024-05-01,-1.00,0", "amount", "'-1.00'"),
            ("A,2024-05-01,1.005,0", "amount", "'1.005'"),
            ("A,2024-05-01,1.,0", "amount", "'1.'"),
            ("A,2024-05-01,1e3,0", "amount", "'1e3'"),
            ("A,2024-05-01,,0", "amount", "''"),
            ("A,2024-05-01,\u0661,0", "amount", r"'\u0661'"),
            ("A,2024-05-01,42949672.96,0", "amount", "'42949672.96'"),
            ("A,2024-05-01," + "9" * 50 + ",0", "amount", "'" + "9" * 40 + "...'"),
            ("A,2024-05-01,1,16", "category", "'16'"),
            ("A,2024-05-01,1,-1", "category", "'-1'"),
            ("A,2024-05-01,1,books", "category", "'books'"),
            ("A,2024-05-01,1", "", "3"),
            ('A,2024-05-01,"1,000",0,5', "", "5"),
            ('"A,2024-05-01,1,0', "", "'\"A,2024-05-01,1,0'"),
            ('"A"B,2024-05-01,1,0', "", "'\"A\"B,2024-05-01,1,0'"),
            ("A,2024-04-30 23:59,1,0", "time", "2024-04-30 23:59:00"),
        ],
    )
    def test_each_fault(self, line: str, column: str, came: str) -> None:
        text = HEAD + GOOD + line + "\n" + GOOD
        (bad,) = bad_rows(text)
        assert (bad.line, bad.column, bad.came) == (3, column, came)
        log = parse_log(text.encode(), skip_bad=True)
        assert ([row.line_no for row in log.rows], log.bad) == ([2, 4], (bad,))

    def test_no_decimals(self) -> None:
        (bad,) = bad_rows(HEAD + "A,2024-05-01,1.0,0\n", minor_digits=0)
        assert str(bad) == "line 2, amount: a number from 0 with at most 0 decimals expected, '1.0' came"

    def test_bytes_that_are_not_utf8(self) -> None:
        (bad,) = bad_rows(HEAD.encode() + b"caf\xe9,2024-05-01,1,0\n")
        assert str(bad) == r"line 2, card: printable UTF-8 text expected, 'caf\udce9' came"

    def test_time_is_compared_with_the_last_good_row(self) -> None:
        text = HEAD + "A,2024-05-03,1,0\nA,2024-05-01,1,0\nA,2024-05-02,1,0\nA,2024-05-09,x,0\nA,2024-05-03,1,0\n"
        log = parse_log(text.encode(), skip_bad=True)
        assert [row.line_no for row in log.rows] == [2, 6]
        assert [(bad.line, bad.column) for bad in log.bad] == [(3, "time"), (4, "time"), (5, "amount")]

    def test_all_are_carried_ten_are_shown(self) -> None:
        with pytest.raises(BadLog) as caught:
            parse_log((HEAD + "A,2024-05-01,x,0\n" * 25).encode())
        assert [bad.line for bad in caught.value.bad] == list(range(2, 27))
        lines = str(caught.value).splitlines()
        assert lines[0] == "25 bad lines in the purchase log"
        assert lines[1] == "  line 2, amount: a number from 0 with at most 2 decimals expected, 'x' came"
        assert lines[11:] == ["  and 15 more"]

    @given(data=st.binary(max_size=200) | st.text(alphabet='card,time,amount"\n01-. ').map(str.encode))
    def test_any_bytes(self, data: bytes) -> None:
        """Nothing but BadLog comes out, and its message can be printed."""
        for prefix in (b"", HEAD.encode()):
            try:
                parse_log(prefix + data)
            except BadLog as bad:
                str(bad).encode("ascii")


class TestBadFiles:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "line 1: a line with the column names card, time, amount expected, an empty file came"),
            (b"\xef\xbb\xbf \n\n", "line 1: a line with the column names card, time, amount expected, an empty file came"),
            (HEAD.encode(), "line 1: purchases after the column names expected, the end of the file came"),
            (HEAD.encode("utf-16"), "line 1: UTF-8 text expected, the byte order mark of UTF-16 came"),
            (b"card,date,amount\nA,2024-05-01,1\n", "line 1, time: a column of this name expected, 'card,date,amount' came"),
            (b"card;time;amount\n", "line 1, card: a column of this name expected, 'card;time;amount' came"),
            (b"card,time,card,amount\n", "line 1, card: one column of this name expected, 2 came"),
            (b"card,time,amount,category,category\n", "line 1, category: one column of this name expected, 2 came"),
            (b'"card,time\n', "line 1: comma-separated values with quotes that close expected, '\"card,time' came"),
        ],
    )
    def test_each_fault(self, data: bytes, message: str) -> None:
        for skip_bad in (False, True):
            with pytest.raises(BadLog) as caught:
                parse_log(data, skip_bad=skip_bad)
            assert str(caught.value.bad[0]) == message

    @pytest.mark.parametrize("digits", [-1, 10])
    def test_minor_digits_of_no_currency(self, digits: int) -> None:
        with pytest.raises(ValueError, match=r"^minor_digits: "):
            parse_log(HEAD.encode(), minor_digits=digits)


class TestCdnow:
    def test_is_what_its_readme_says(self) -> None:
        log = read_log(CDNOW / "purchases.csv")
        readme = (CDNOW / "README.md").read_text(encoding="utf-8")
        cards = {row.card for row in log.rows}
        firsts = {row.card: row.time for row in reversed(log.rows)}
        total = sum(row.amount_minor for row in log.rows)
        assert f"{len(log.rows):,} purchases of {len(cards):,} cards, {total // 100:,}.{total % 100:02} dollars" in readme
        assert (len(log.rows), len(cards), sum(row.amount_minor == 0 for row in log.rows)) == (69_659, 23_570, 80)
        assert (log.rows[0].time.date(), log.rows[-1].time.date()) == (date(1997, 1, 1), date(1998, 6, 30))
        assert max(firsts.values()) <= datetime(1997, 3, 31)
        assert {row.category for row in log.rows} == {0}

    def test_is_read_as_a_plain_csv_reader_reads_it(self) -> None:
        with (CDNOW / "purchases.csv").open(encoding="utf-8", newline="") as file:
            plain = [(row["card"], row["time"], row["amount"]) for row in csv.DictReader(file)]
        ours = [(row.card, f"{row.time:%Y-%m-%d}", f"{row.amount_minor / 100:.2f}") for row in read_log(CDNOW / "purchases.csv").rows]
        assert ours == plain
