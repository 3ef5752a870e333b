"""The table of formats says each fact once, and says all of them."""

import ast
import re
from pathlib import Path

import pytest

from reembed.formats.table import FORMATS

ROOT = Path(__file__).parents[2]
# Codes that any format may have.
SHARED = {"blank_text", "empty_file", "limit_too_small", "media_changed", "media_too_large"}
SHARED |= {"modality_unsupported", "not_text", "text_not_unicode", "too_large"}


def test_a_suffix_belongs_to_one_format():
    suffixes = [suffix for each in FORMATS for suffix in each.suffixes]
    assert len(suffixes) == len(set(suffixes))
    for each in FORMATS:
        assert set(each.also) <= set(suffixes) - set(each.suffixes), each.name


def test_names_and_labels_tell_formats_apart():
    assert len({each.name for each in FORMATS}) == len(FORMATS)
    assert len({each.label for each in FORMATS}) == len(FORMATS)
    for each in FORMATS:
        assert re.fullmatch(r"(text|image|audio|video|application)/[\w.+-]+", each.mime_type)


def test_every_format_is_told_by_something():
    for each in FORMATS:
        assert each.signatures or each.matches, each.name


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
def test_the_codes_of_a_format_are_explained(each):
    text = (ROOT / "docs" / "rejects.md").read_text()
    assert [code for code in each.codes if f"`{code}`" not in text] == []


def test_the_codes_that_reading_a_format_raises_are_in_its_entry():
    named = {code for each in FORMATS for code in each.codes}
    raised = set()
    for path in (ROOT / "src" / "reembed" / "formats").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "RejectError":
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    raised.add(code.value)
                elif isinstance(code, ast.JoinedStr):  # f"{kind}_unreadable", of a medium
                    end = str(ast.literal_eval(code.values[-1]))
                    raised |= {f"{kind}{end}" for kind in ("audio", "video")}
    assert len(raised) > 20, "the search for codes finds too few: this test looks at little"
    assert raised - named == SHARED
    assert named <= raised
