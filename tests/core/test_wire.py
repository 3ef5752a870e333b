"""The contents of a request, in order."""

from __future__ import annotations

from reembed.core.wire import MediaPart, MixedPart, TextPart, contents_of


def test_a_content_alone_is_the_only_one() -> None:
    text = TextPart("words")
    assert contents_of(text) == (text,)


def test_several_contents_keep_their_order() -> None:
    parts = (TextPart("words"), MediaPart(b"x", "image/png"), TextPart("more"))
    assert contents_of(MixedPart(parts)) == parts
