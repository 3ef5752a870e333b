"""Frozen keys bind within a commit; free ones do not."""

from typing import Any

import orjson
import pytest

from reembed.config.frozen import (
    check_frozen,
    frozen_digest,
    frozen_view,
    key_hash,
)
from reembed.errors import ConfigError, UsageError

FREE = [
    "budget.max_usd=7",
    "batch.poll_seconds=[1,2]",
    "batch.concurrent_jobs=3",
    "batch.enqueued_tokens=5000000",
    "batch.file_storage_gb=5",
    "batch.priority=9",
    "batch.max_attempts=2",
    "batch.stuck_hours=2",
    "batch.lease_seconds=60",
    "batch.list_lag_seconds=5",
    "batch.job_list_days=30",
    "batch.max_wait_hours=48",
    "batch.lanes=2",
    "batch.on_stuck=resubmit",
    "service.timeout_seconds=9",
    "service.api_key_secret=projects/demo/secrets/key/versions/2",
    "destination.parquet.compression=snappy",
    "run_dir=./elsewhere",
]
FROZEN = [
    ('source.files=["./other/**"]', "source.files", '["./other/**"]', '["./corpus/**"]'),
    ("source.sidecar=json", "source.sidecar", "json", "null"),
    ("source.https=true", "source.https", "true", "null"),
    ("source.max_https_mb=5", "source.max_https_mb", "5.0", "null"),
    ("source.on_missing=delete", "source.on_missing", "delete", "null"),
    ("source.sample=5", "source.sample", "5", "null"),
    ("model.name=gemini-embedding-001", "model.name", "gemini-embedding-001", "gemini-embedding-2"),
    ("model.dimensions=1536", "model.dimensions", "1536", "768"),
    ("model.task=clustering", "model.task", "clustering", "retrieval_document"),
    ("model.limits.pdf.max_pages=6", "model.limits.pdf", '{"max_pages":6}', "null"),
    ("chunking.text.max_tokens=512", "chunking.text.max_tokens", "512", "1024"),
    ("chunking.text.title=false", "chunking.text.title", "false", "true"),
    ("chunking.video.soundtrack=separate", "chunking.video.soundtrack", "separate", "drop"),
    ("batch.input=file", "batch.input", "file", "auto"),
    ("batch.max_requests=7", "batch.max_requests", "7", "10000"),
    ("batch.max_tokens=30000", "batch.max_tokens", "30000", "25000"),
    ("batch.max_input_mb=5", "batch.max_input_mb", "5.0", "512.0"),
    ("batch.max_result_mb=5", "batch.max_result_mb", "5.0", "256.0"),
    ("service.provider=other", "service.provider", "other", "null"),
    ("service.base_url=http://h:1", "service.base_url", "http://h:1", '""'),
    ("service.api_version=v1", "service.api_version", "v1", "v1beta"),
    ("destination.text=true", "destination.text", "true", "false"),
]


def view(load, *overrides: str, key: str = "") -> dict[str, Any]:
    return frozen_view(load(*overrides).config, key)


@pytest.mark.parametrize("override", FREE)
def test_a_free_key_may_change(load, override: str) -> None:
    check_frozen(view(load), view(load, override))


@pytest.mark.parametrize(("override", "key", "now", "before"), FROZEN, ids=[f[1] for f in FROZEN])
def test_a_frozen_key_may_not_change(load, override: str, key: str, now: str, before: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_frozen(view(load), view(load, override))
    assert (caught.value.key, caught.value.value) == (key, now)
    assert f"committed with {before} " in caught.value.remedy
    assert "change it back, finish the run first, or give another run_dir" in caught.value.remedy


def test_a_frozen_key_that_was_taken_out(load) -> None:
    with pytest.raises(ConfigError) as caught:
        check_frozen(view(load, "batch.max_requests=7"), view(load))
    assert caught.value.key == "batch.max_requests"


def test_every_key_is_known_to_be_frozen_or_free(load) -> None:
    names = {o.partition("=")[0] for o in FREE} | {key for _, key, _, _ in FROZEN}
    dump = load().config.model_dump()
    for section in ("source", "batch", "budget", "service"):
        for name in dump[section]:
            # What inputs are is frozen as a whole; here they are files.
            if name not in ("manifest", "parquet", "bigquery"):
                assert f"{section}.{name}" in names


def test_the_kind_of_source_and_the_destination_are_frozen(load) -> None:
    old = view(load)
    with pytest.raises(ConfigError) as caught:
        check_frozen(old, view(load, "source={manifest: [./a.jsonl]}"))
    assert caught.value.key == "source.files"
    with pytest.raises(ConfigError) as caught:
        check_frozen(old, view(load, "destination.bigquery.table=p.d.t"))
    assert (caught.value.key, caught.value.value) == ("destination.bigquery", "p.d.t")
    columns = "files: [a.parquet], key: id"
    parquet = [view(load, f"source={{parquet: {{{columns}, text: {c}}}}}") for c in ("a", "b")]
    with pytest.raises(ConfigError) as caught:
        check_frozen(*parquet)
    assert caught.value.key == "source.parquet.text"


def test_the_view_survives_json_with_its_digest(load) -> None:
    first = view(load, "model.limits.pdf.max_pages=6", key="abc")
    again = orjson.loads(orjson.dumps(first))
    assert again == first
    assert frozen_digest(again) == frozen_digest(first)
    check_frozen(again, first)


def test_the_digest_follows_frozen_keys_alone(load) -> None:
    assert frozen_digest(view(load)) == frozen_digest(view(load, "budget.max_usd=7"))
    assert frozen_digest(view(load)) != frozen_digest(view(load, "model.dimensions=769"))


def test_the_digest_does_not_depend_on_the_order_of_keys(load) -> None:
    first = view(load)
    assert frozen_digest(dict(reversed(first.items()))) == frozen_digest(first)


def test_auto_is_what_the_commit_made_of_it(load) -> None:
    committed = view(load)
    assert committed["batch"]["max_tokens"] == 25_000
    check_frozen(committed, view(load, "batch.enqueued_tokens=10000000"))
    check_frozen(committed, view(load, "batch.max_tokens=25000"))
    with pytest.raises(ConfigError, match=r"batch\.max_tokens: 500000"):
        check_frozen(
            view(load, "batch.max_tokens=25000"), view(load, "batch.enqueued_tokens=10000000")
        )


def test_a_slash_at_the_end_of_the_address_is_no_change(load) -> None:
    check_frozen(
        view(load, "service.base_url=http://h:1/"), view(load, "service.base_url=http://h:1")
    )


def test_another_key_is_refused_without_showing_it(load) -> None:
    old = view(load, key=key_hash("first-key", "salt"))
    new = view(load, key=key_hash("second-key", "salt"))
    with pytest.raises(ConfigError, match="--key-rotated") as caught:
        check_frozen(old, new)
    assert caught.value.key == "GEMINI_API_KEY"
    for hidden in ("first-key", "second-key", key_hash("first-key", "salt")):
        assert hidden not in str(caught.value)
    check_frozen(old, new, key_rotated=True)


def test_a_rotated_key_excuses_nothing_else(load) -> None:
    old = view(load, key="one")
    with pytest.raises(ConfigError, match=r"destination\.text"):
        check_frozen(old, view(load, "destination.text=true", key="two"), key_rotated=True)


def test_key_hashes_depend_on_key_and_salt() -> None:
    assert key_hash("k", "s") == key_hash("k", "s")
    assert len({key_hash("k", "s"), key_hash("k", "t"), key_hash("l", "s")}) == 3
    assert key_hash("", "s") == ""


def test_a_commit_of_another_version_is_refused(load) -> None:
    with pytest.raises(UsageError, match="schema 99"):
        check_frozen({**view(load), "schema": 99}, view(load))
