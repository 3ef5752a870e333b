"""Every wrong key gives one line: the key, the value, the remedy."""

import pytest
from pydantic import ValidationError

from reembed.config.base import Problem
from reembed.config.messages import config_error, known_keys, problems_of
from reembed.config.schema import Config

CASES = [
    ("batch.max_requets=5", "batch.max_requets", "5", "did you mean max_requests?"),
    ("max_usd=5", "max_usd", "5", "not a known key here; did you mean budget.max_usd?"),
    ("zzz=5", "zzz", "5", "known here are name, run_dir, extensions, source, model, chunking"),
    ("chunking.text.size=5", "chunking.text.size", "5", "known here are max_tokens"),
    ("model.limits.adio={}", "model.limits.adio", "{}", "did you mean audio?"),
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
]


@pytest.mark.parametrize(("override", "key", "value", "remedy"), CASES, ids=[c[0] for c in CASES])
def test_one_wrong_key(one_wrong_key, override: str, key: str, value: str, remedy: str) -> None:
    one_wrong_key(override, key, value, remedy)


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


@pytest.mark.parametrize("name", ["api_key", "apikey", "API-KEY", "key", "secret"])
def test_a_secret_in_the_file_is_not_shown(error, name: str) -> None:
    found = error(service={name: "very-secret-words"})
    assert "very-secret-words" not in str(found)
    assert "set GEMINI_API_KEY" in found.remedy


@pytest.mark.parametrize("section", [{"api_key": "hush"}, {"x": [{"dbPassword": "hush"}]}])
def test_a_secret_below_an_unknown_section_is_not_shown(error, section: dict) -> None:
    assert "hush" not in str(error(service={"auth": section}))


@pytest.mark.parametrize("url", ["http://me:hush@127.0.0.1:8901", "ftp://me:hush@host"])
def test_a_secret_in_an_address_is_not_shown(error, url: str) -> None:
    assert "hush" not in str(error(service={"base_url": url}))


def test_all_problems_are_named_in_one_line(error) -> None:
    found = error("batch.input=x", "batch.priority=x", "model.dimensions=1", "nme=5")
    assert found.key == "model.dimensions"
    assert found.remedy.endswith("(also wrong: batch.input, batch.priority, nme)")


def test_further_problems_are_ten_at_most() -> None:
    found = config_error([Problem(f"k{i}", "1", "give 2") for i in range(14)])
    assert found.key == "k0"
    assert found.remedy.endswith("k9, k10 and 3 more)")


def test_known_keys_are_dotted() -> None:
    keys = known_keys(Config)
    assert {"name", "batch", "batch.poll_seconds", "destination.parquet.compression"} <= set(keys)
    assert len(keys) == len(set(keys))
