"""Wrong values of the sections: ranges, overlaps, addresses."""

import pytest

CASES = [
    ("batch.max_requests=0", "batch.max_requests", "0", "give more than 0"),
    ("batch.max_input_mb=2001", "batch.max_input_mb", "2001", "give at most 2000"),
    ("chunking.text.max_tokens=15", "chunking.text.max_tokens", "15", "give at least 16"),
    ("chunking.pdf.overlap_pages=-1", "chunking.pdf.overlap_pages", "-1", "give at least 0"),
    ("batch.input=fle", "batch.input", "fle", "give inline, file or auto"),
    ("chunking.video.soundtrack=x", "chunking.video.soundtrack", "x", "give drop or separate"),
    ("name=", "name", "null", "give text"),
    ("name=''", "name", '""', "a letter or digit first"),
    ("name=a b", "name", "a b", "give 1 to 64 letters"),
    ("name=" + "x" * 65, "name", "x" * 59 + "…", "give 1 to 64 letters"),
    ("batch.poll_seconds=[5]", "batch.poll_seconds", "[5]", "too short"),
    ("batch.poll_seconds=[1,2,3]", "batch.poll_seconds", "[1,2,3]", "give at most 2"),
    ("batch.poll_seconds=[0,2]", "batch.poll_seconds[0]", "0", "give more than 0"),
    ("batch.poll_seconds=[9,2]", "batch.poll_seconds", "[9.0,2.0]", "give the shortest first"),
    ("model.dimensions=0", "model.dimensions", "0", "give 128 to 3072"),
    ("model.dimensions=5000", "model.dimensions", "5000", "give 128 to 3072"),
    ("model.task=poetry", "model.task", "poetry", "give retrieval_document, "),
    ("model.name=gemini-9", "model.name", "gemini-9", "give gemini-embedding-001 or gemini-"),
    ("model.name=embedding-001", "model.name", "embedding-001", "switched off on 2025-10-30"),
    ("chunking.text.overlap_tokens=1024", "chunking.text.overlap_tokens", "1024", "than 1024"),
    ("chunking.audio.overlap_seconds=180", "chunking.audio.overlap_seconds", "180.0", "than 180"),
    ("chunking.video.max_seconds=4", "chunking.video.overlap_seconds", "4.0", "less than 4"),
    ("chunking.pdf.overlap_pages=6", "chunking.pdf.overlap_pages", "6", "less than 6"),
    ("batch.max_tokens=600000", "batch.max_tokens", "600000", "give auto, or 1 to 500000"),
    ("service.base_url=ftp://x", "service.base_url", "ftp://x", "leave it out for the real"),
    ("service.base_url=http://", "service.base_url", "http://", "not an http(s) address"),
    ("service.base_url=http://x:99999", "service.base_url", "http://x:99999", "not an http(s)"),
    ("service.base_url=http://x/?key=1", "service.base_url", "(not shown)", "no user, query"),
]


@pytest.mark.parametrize(("override", "key", "value", "remedy"), CASES, ids=[c[0] for c in CASES])
def test_one_wrong_key(one_wrong_key, override: str, key: str, value: str, remedy: str) -> None:
    one_wrong_key(override, key, value, remedy)
