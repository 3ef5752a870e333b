"""Records come back whole with their offsets, from any of them on, and none fills the memory."""

from __future__ import annotations

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.sources.entries import Record, read_records

CELL = st.lists(st.sampled_from(["a", '"', ",", "\n", "\r\n", " ", "é"]), max_size=6).map("".join)
UNTIMED = settings(deadline=None)
ENDS = st.sampled_from(["\n", "\r\n"])


@UNTIMED
@given(st.lists(st.text(st.characters(exclude_characters="\n\r"), max_size=9)), ENDS, st.booleans())
def test_lines_come_back_with_their_places(lines: list[str], end: str, last: bool) -> None:
    text = end.join(lines) + (end if last else "")
    data = text.encode(errors="surrogatepass")
    found = list(read_records(io.BytesIO(data)))
    wanted = [line.encode(errors="surrogatepass") for line in lines]
    blank = [not line.strip() for line in wanted]
    assert [r.data for r in found] == [w for w, b in zip(wanted, blank, strict=True) if not b]
    assert [r.line for r in found] == [n for n, b in enumerate(blank, 1) if not b]
    for record in found:
        assert record.data is not None
        assert data[record.offset : record.end].rstrip(b"\r\n") == record.data


@UNTIMED
@given(st.lists(st.lists(CELL, min_size=2, max_size=3), max_size=6), ENDS)
def test_rows_of_csv_are_split_as_csv_splits_them(rows: list[list[str]], end: str) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows(rows)
    data = out.getvalue().encode()
    found = list(read_records(io.BytesIO(data), quoted=True))
    read = [next(csv.reader([(r.data or b"").decode()])) for r in found]
    assert read == rows
    assert [r.line for r in found] == [data[: r.offset].count(b"\n") + 1 for r in found]
    for at, record in enumerate(found):
        again = list(read_records(io.BytesIO(data), record.offset, record.line, quoted=True))
        assert again == found[at:]


def test_what_is_too_long_is_passed_over() -> None:
    data = b"short\n" + b"x" * 5000 + b"\nnext\n" + b"y" * 3_000_000
    found = list(read_records(io.BytesIO(data), most=1000))
    assert [(r.line, r.data) for r in found] == [(1, b"short"), (2, None), (3, b"next"), (4, None)]
    assert found[-1].end == len(data)
    open_quote = b'a,"never closed\n' + b"b,c\n" * 400
    rows = list(read_records(io.BytesIO(open_quote), quoted=True, most=1000))
    assert rows[0].data is None
    assert rows[-1] == Record(len(open_quote) - 4, len(open_quote), 401, b"b,c")
