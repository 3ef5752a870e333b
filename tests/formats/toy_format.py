"""A format from another package: poems, whose lines after a semicolon are remarks and not read."""

from reembed.errors import RejectError
from reembed.formats.base import Extracted, Format
from reembed.formats.table import register_format


def extract_poem(data: bytes) -> Extracted:
    title, _, verses = data.decode().removeprefix("%POEM ").partition("\n")
    lines = [line for line in verses.splitlines() if not line.startswith(";")]
    if not any(line.strip() for line in lines):
        raise RejectError("poem_without_verses", "it has a title only; write verses below it")
    return Extracted("\n".join(lines), title=title)


register_format(
    Format(
        "poem",
        "a poem",
        "text/x-poem",
        modalities=("text",),
        signatures=(b"%POEM ",),
        suffixes=(".poem",),
        extract=extract_poem,
        codes=("poem_without_verses",),
    )
)
