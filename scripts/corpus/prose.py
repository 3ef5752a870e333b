"""Read the written passages that stand beside this module and turn them into text files."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>body {{ font-family: Georgia, serif; color: #223344; }} .menu {{ float: left; }}</style>
<script>var trackerId = "not-a-word-of-the-article"; function open() {{}}</script>
</head>
<body>
<nav class="menu"><ul>
<li><a href="/">Startpage</a></li><li><a href="/basket">Basket</a></li>
<li><a href="/login">Login</a></li>
</ul></nav>
<main><article>
<h1>{title}</h1>
{body}
</article></main>
<footer><p>Imprint | Cookie settings</p></footer>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """One text as it was written: its file name, its encoding, what it says."""

    name: str
    encoding: str
    text: str

    @property
    def subject(self) -> str:
        """Return the first word of the name, which all the passages of a subject share."""
        return re.split(r"[-_ ,]", self.name, maxsplit=1)[0]


def sections(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (heading, text) for each section of a file; each begins with a line "@ heading"."""
    for part in re.split(r"^@ ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        yield heading.strip(), text.strip() + "\n"


def passages() -> list[Passage]:
    """Return every written passage, in the order of the files and of the sections in them."""
    found = []
    for path in sorted((HERE / "passages").glob("*.txt")):
        for heading, text in sections(path):
            name, _, encoding = heading.partition(" | ")
            found.append(Passage(name, encoding or "utf-8", text))
    return found


def web_page(text: str) -> str:
    """Wrap a passage, a heading and its paragraphs, in a page with a menu, a script and a style."""
    heading, *paragraphs = text.strip().split("\n\n")
    body = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    return PAGE.format(title=html.escape(heading.removeprefix("# ")), body=body)


def encode(text: str, encoding: str) -> bytes:
    """Encode a text; "utf-16" means little-endian with its mark, whatever the machine prefers."""
    if encoding == "utf-16":
        return b"\xff\xfe" + text.encode("utf-16-le")
    return text.encode(encoding)


def text_files() -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of each passage as a file of its kind and encoding."""
    for passage in passages():
        text = web_page(passage.text) if passage.name.endswith(".html") else passage.text
        yield f"texts/{passage.name}", encode(text, passage.encoding)
