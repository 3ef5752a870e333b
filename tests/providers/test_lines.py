from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.providers.lines import LineSplitter


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b".")), max_size=8),
    st.integers(1, 20),
)
def test_lines_are_passed_on_or_named_by_their_length(texts: list[bytes], piece: int) -> None:
    cap = 6
    data = b"\n".join(texts)
    splitter = LineSplitter(cap)
    found = [line for at in range(0, len(data), piece) for line in splitter.feed(data[at:][:piece])]
    found += splitter.end()
    whole = [text + b"\n" for text in texts[:-1]] + texts[-1:]
    named = [text if len(text) <= cap else None for text in whole]
    assert found == [text for text in named if text is None or text.strip()]
