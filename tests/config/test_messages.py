"""Every wrong key gives one line: the key, the value, the remedy."""

import re

import pytest
from pydantic import ValidationError

from reembed.config.base import Problem, show_value
from reembed.config.messages import config_error, known_keys, problems_of
from reembed.config.schema import Config
from reembed.errors import ConfigError

JARGON = re.compile(r"[Ii]nput should|[Vv]alidation|pydantic|[Vv]alue error|extra_forb|NoneType")


def error(load, *overrides: str, **sections: object) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(*overrides, **sections)
    text = str(caught.value)
    assert "\n" not in text
    assert not JARGON.search(text)
    return caught.value


CASES = [
    # unknown keys
    ("batch.max_requets=5", "batch.max_requets", "5", "did you mean max_requests?"),
    ("max_usd=5", "max_usd", "5", "not a known key here; did you mean budget.max_usd?"),
    ("zzz=5", "zzz", "5", "known here are name, run_dir, extensions, source, model, chunking"),
    ("chunking.text.size=5", "chunking.text.size", "5", "known here are max_tokens"),
    ("model.limits.adio={}", "model.limits.adio", "{}", "did you mean audio?"),
    # wrong types
    ("batch.max_requests=many", "batch.max_requests", "many", "give a whole number"),
    ("batch.max_requests=1.5", "batch.max_requests", "1.5", "give a whole number"),
    ("batch.max_requests=true", "batch.max_requests", "true", "give a whole number"),
    ("batch.max_requests='5'", "batch.max_requests", "5", "give a whole number"),
    ("batch.max_tokens=half", "batch.max_tokens", "half", "give a whole number or auto"),
    ("batch.max_requests=", "batch.max_requests", "null", "or leave the key out"),
    ("budget.max_usd=lots", "budget.max_usd", "lots", "give a number"),
    ("name=5", "name", "5", "give text (put it in quotes"),
    ("chunking.text.title=1", "chunking.text.title", "1", "give true or false"),
    ("source.files=./a", "source.files", "./a", 'give a list, for instance ["./a"]'),
    ("source.files=[5]", "source.files[0]", "5", "give text"),
    ("batch=5", "batch", "5", "this is a section; give keys below it"),
    ("batch=", "batch", "null", "this is a section; give keys below it, or leave it out"),
    ("model.limits=5", "model.limits", "5", "give a mapping"),
    # values out of range
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
    ("source.files=[]", "source.files", "[]", 'empty; give for instance files: ["./corpus/**"]'),
    ("source.files=['']", "source.files[0]", '""', "empty; give a path"),
    ("source.files=['s3://b/x']", "source.files[0]", "s3://b/x", "gs://bucket/prefix/**"),
    ("batch.poll_seconds=[5]", "batch.poll_seconds", "[5]", "too short"),
    ("batch.poll_seconds=[1,2,3]", "batch.poll_seconds", "[1,2,3]", "give at most 2"),
    ("batch.poll_seconds=[0,2]", "batch.poll_seconds[0]", "0", "give more than 0"),
    ("batch.poll_seconds=[9,2]", "batch.poll_seconds", "[9.0,2.0]", "give the shortest first"),
    # what the model lacks
    ("model.dimensions=0", "model.dimensions", "0", "give 128 to 3072"),
    ("model.dimensions=5000", "model.dimensions", "5000", "give 128 to 3072"),
    ("model.task=poetry", "model.task", "poetry", "give retrieval_document, "),
    ("model.name=gemini-9", "model.name", "gemini-9", "give gemini-embedding-001 or gemini-"),
    ("model.name=embedding-001", "model.name", "embedding-001", "switched off on 2025-10-30"),
    ("model.limits.audio.max_seconds=0", "model.limits.audio.max_seconds", "0", "more than 0"),
    ("model.limits.name=x", "model.limits.name", "x", "give model.name"),
    ("model.limits.prices={text: 5}", "model.limits.prices.text", "5", "give keys below it"),
    ("model.limits.min_dimensions=4000", "model.limits.default_dimensions", "3072", "between 4000"),
    # overlap against size
    ("chunking.text.overlap_tokens=1024", "chunking.text.overlap_tokens", "1024", "than 1024"),
    ("chunking.audio.overlap_seconds=180", "chunking.audio.overlap_seconds", "180.0", "than 180"),
    ("chunking.video.max_seconds=4", "chunking.video.overlap_seconds", "4.0", "less than 4"),
    ("chunking.pdf.overlap_pages=6", "chunking.pdf.overlap_pages", "6", "less than 6"),
    # sizes against the model, and against a job
    ("chunking.text.max_tokens=9000", "chunking.text.max_tokens", "9000", "give at most 8192"),
    ("chunking.audio.max_seconds=181", "chunking.audio.max_seconds", "181.0", "at most 180"),
    ("chunking.video.max_seconds=121", "chunking.video.max_seconds", "121.0", "at most 120"),
    ("chunking.pdf.max_pages=7", "chunking.pdf.max_pages", "7", "at most 6"),
    ("batch.max_tokens=1000", "batch.max_tokens", "1000", "give at least 1024"),
    ("batch.enqueued_tokens=1000", "batch.enqueued_tokens", "1000", "give at least 1024"),
    ("batch.max_tokens=600000", "batch.max_tokens", "600000", "give auto, or 1 to 500000"),
    # addresses
    ("service.base_url=ftp://x", "service.base_url", "ftp://x", "leave it out for the real"),
    ("service.base_url=http://", "service.base_url", "http://", "not an http(s) address"),
    ("service.base_url=http://x:99999", "service.base_url", "http://x:99999", "not an http(s)"),
    ("service.base_url=http://x/?key=1", "service.base_url", "(not shown)", "no user, query"),
]


@pytest.mark.parametrize(("override", "key", "value", "remedy"), CASES, ids=[c[0] for c in CASES])
def test_one_wrong_key(load, override: str, key: str, value: str, remedy: str) -> None:
    found = error(load, override)
    assert found.key == key
    assert found.value == value
    assert remedy in found.remedy
    assert str(found).startswith(f"{key}: {value}: ")


@pytest.mark.parametrize(
    ("sections", "key", "example"),
    [
        ({"name": "a"}, "source", 'source: {files: ["./corpus/**"]}'),
        ({"source": {"files": ["x"]}}, "name", "name: handbook-2026"),
        ({"name": "a", "source": {}}, "source.files", 'files: ["./corpus/**"]'),
    ],
)
def test_a_missing_key_shows_an_example(sections: dict, key: str, example: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(sections)
    [problem] = problems_of(caught.value, Config)
    assert (problem.key, problem.value) == (key, "missing")
    assert example in problem.remedy


def test_a_taken_modality_needs_a_price(load) -> None:
    found = error(load, "model.name=gemini-embedding-001", "model.limits.audio={}")
    assert found.key == "model.limits.prices.audio"
    assert "in dollars for a million tokens" in found.remedy


def test_a_modality_that_the_model_lacks_has_no_limit(load) -> None:
    model = {"name": "gemini-embedding-001"}
    assert load("chunking.audio.max_seconds=9000", model=model).config.model.name == model["name"]
    assert (
        error(load, "chunking.text.max_tokens=2049", model=model).key == "chunking.text.max_tokens"
    )


@pytest.mark.parametrize("name", ["api_key", "apikey", "API-KEY", "key", "secret"])
def test_a_secret_in_the_file_is_not_shown(load, name: str) -> None:
    found = error(load, service={name: "very-secret-words"})
    assert "very-secret-words" not in str(found)
    assert "set GEMINI_API_KEY" in found.remedy


@pytest.mark.parametrize("section", [{"api_key": "hush"}, {"x": [{"dbPassword": "hush"}]}])
def test_a_secret_below_an_unknown_section_is_not_shown(load, section: dict) -> None:
    assert "hush" not in str(error(load, service={"auth": section}))


@pytest.mark.parametrize("url", ["http://me:hush@127.0.0.1:8901", "ftp://me:hush@host"])
def test_a_secret_in_an_address_is_not_shown(load, url: str) -> None:
    assert "hush" not in str(error(load, service={"base_url": url}))


def test_all_problems_are_named_in_one_line(load) -> None:
    found = error(load, "batch.input=x", "batch.priority=x", "model.dimensions=1", "nme=5")
    assert found.key == "model.dimensions"
    assert found.remedy.endswith("(also wrong: batch.input, batch.priority, nme)")


def test_problems_across_sections_are_all_found(load) -> None:
    found = error(load, "chunking.text.max_tokens=9000", "chunking.pdf.max_pages=9")
    assert found.remedy.endswith("(also wrong: chunking.pdf.max_pages)")


def test_further_problems_are_ten_at_most() -> None:
    found = config_error([Problem(f"k{i}", "1", "give 2") for i in range(14)])
    assert found.key == "k0"
    assert found.remedy.endswith("k9, k10 and 3 more)")


def test_known_keys_are_dotted() -> None:
    keys = known_keys(Config)
    assert {"name", "batch", "batch.poll_seconds", "destination.parquet.compression"} <= set(keys)
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines", '"two\\nlines"'),
        (" spaced", '" spaced"'),
        ("", '""'),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ("x" * 80, "x" * 59 + "…"),
        ("AIzaSyA1234567890", "(not shown)"),
        ("not\udcffutf8", "not\\udcffutf8"),
    ],
)
def test_values_are_one_short_line(value: object, shown: str) -> None:
    assert show_value(value) == shown


def test_a_default_gives_way_to_a_lower_limit_of_the_model(load) -> None:
    config = load("model.limits.audio={max_seconds: 80}").config
    assert config.chunking.audio.max_seconds == 180
    with pytest.raises(ConfigError, match="at most 80"):
        load("model.limits.audio={max_seconds: 80}", "chunking.audio.max_seconds=180")
