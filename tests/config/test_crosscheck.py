"""Values that are valid alone but not together."""

import pytest

from reembed.errors import ConfigError

CASES = [
    ("chunking.text.max_tokens=9000", "chunking.text.max_tokens", "9000", "give at most 8192"),
    ("chunking.audio.max_seconds=181", "chunking.audio.max_seconds", "181.0", "at most 180"),
    ("chunking.video.max_seconds=121", "chunking.video.max_seconds", "121.0", "at most 120"),
    ("chunking.pdf.max_pages=7", "chunking.pdf.max_pages", "7", "at most 6"),
    ("batch.max_tokens=1000", "batch.max_tokens", "1000", "give at least 1024"),
    ("batch.enqueued_tokens=1000", "batch.enqueued_tokens", "1000", "give at least 1024"),
]


@pytest.mark.parametrize(("override", "key", "value", "remedy"), CASES, ids=[c[0] for c in CASES])
def test_one_wrong_key(one_wrong_key, override: str, key: str, value: str, remedy: str) -> None:
    one_wrong_key(override, key, value, remedy)


def test_a_modality_that_the_model_lacks_has_no_limit(load, error) -> None:
    model = {"name": "gemini-embedding-001"}
    assert load("chunking.audio.max_seconds=9000", model=model).config.model.name == model["name"]
    assert error("chunking.text.max_tokens=2049", model=model).key == "chunking.text.max_tokens"


def test_problems_across_sections_are_all_found(error) -> None:
    found = error("chunking.text.max_tokens=9000", "chunking.pdf.max_pages=9")
    assert found.remedy.endswith("(also wrong: chunking.pdf.max_pages)")


def test_a_default_gives_way_to_a_lower_limit_of_the_model(load) -> None:
    config = load("model.limits.audio={max_seconds: 80}").config
    assert config.chunking.audio.max_seconds == 180
    with pytest.raises(ConfigError, match="at most 80"):
        load("model.limits.audio={max_seconds: 80}", "chunking.audio.max_seconds=180")
