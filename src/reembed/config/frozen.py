"""Frozen keys: those that may not change between a plan's commit and the end of its run."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from reembed.config.base import show_value
from reembed.config.job_limits import resolve_max_tokens as resolve_max_tokens
from reembed.config.schema import Config
from reembed.errors import ConfigError, UsageError

SCHEMA = 1

# Keys of `batch` that decide how chunks are packed. The others are free: quotas, polling, priority,
# attempts, waiting. The sections budget and notify are free as a whole. Of `service`, the timeout
# is free. Of `destination` two keys are frozen: whether rows carry their text, since all parts of
# a run should be alike, and the table, since by its rows it was decided what is new.
_PACKING = ("input", "max_requests", "max_input_mb", "max_result_mb")
_KEY = "api_key"


def key_hash(api_key: str, salt: str) -> str:
    """Hash an API key with a salt: tells keys apart without revealing them (HMAC-SHA-256).

    Args:
        api_key: the secret; an empty one (a service without keys) hashes to an empty text.
        salt: random text, kept with the hash.
    """
    if not api_key:
        return ""
    return hmac.new(salt.encode(), api_key.encode(), hashlib.sha256).hexdigest()


def frozen_view(config: Config, api_key_hash: str = "") -> dict[str, Any]:
    """Collect all frozen keys with their values, as JSON has them.

    `max_tokens` is the resolved number, since the quota that it came from is free;
    `max_tokens_auto` says whether it was resolved.
    """
    dump = config.model_dump(mode="json")
    batch: dict[str, Any] = {name: dump["batch"][name] for name in _PACKING}
    batch["max_tokens"] = resolve_max_tokens(config)
    batch["max_tokens_auto"] = config.batch.max_tokens == "auto"
    return {
        "schema": SCHEMA,
        "source": {
            "files": dump["source"]["files"],
            "sample": dump["source"]["sample"],
            **config.source.model_dump(mode="json", exclude_defaults=True),
            **config.source.frozen_added(),
        },
        "model": dump["model"],
        "chunking": dump["chunking"],
        "batch": batch,
        "service": {
            # Left out where it is the default, which is what commits without it mean.
            **config.service.model_dump(include={"provider"}, exclude_defaults=True),
            "base_url": (config.service.base_url or "").rstrip("/"),
            "api_version": config.service.api_version,
            _KEY: api_key_hash,
        },
        "destination": {
            "text": config.destination.text,
            "bigquery": config.destination.bigquery.table if config.destination.bigquery else None,
            **config.destination.frozen_added(),
        },
    }


def frozen_digest(view: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON (sorted keys) of a frozen view, in hex."""
    return hashlib.sha256(orjson.dumps(view, option=orjson.OPT_SORT_KEYS)).hexdigest()


def check_frozen(
    old: Mapping[str, Any], new: Mapping[str, Any], *, key_rotated: bool = False
) -> None:
    """Refuse a configuration that differs from the committed one in a frozen key.

    Half a run with other dimensions, another model or another key (another project's jobs, which
    cannot be found) would be paid twice or not fit together.

    Args:
        old: the frozen view in the commit.
        new: the frozen view of the configuration at hand, its key hashed with the commit's salt.
        key_rotated: the user says that another API key of the same project is meant.

    Raises:
        ConfigError: the first key that differs, with both values.
        UsageError: the commit was written by a version with other frozen keys.
    """
    # Views of two versions cannot be compared key by key: a key that is new would look changed.
    if old.get("schema") != SCHEMA:
        raise UsageError(
            f"the run was committed with configuration schema {old.get('schema')}, this version "
            f"reads {SCHEMA}; finish the run with the version that began it"
        )
    for key, before, after in _differences(_settle_auto(old, new), new):
        if key == f"service.{_KEY}":
            if key_rotated:
                continue
            raise ConfigError(
                "GEMINI_API_KEY",
                "(not shown)",
                "another key than this run was committed with; set that one again, or say with "
                "--key-rotated that this is a new key of the same project",
            )
        raise ConfigError(
            key,
            show_value(after),
            f"this run was committed with {show_value(before)} and is not settled; change it "
            "back, finish the run first, or give another run_dir",
        )


def _settle_auto(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Take the new resolved number into the old view where both sides left it to the quota."""
    before, after = dict(old["batch"]), new["batch"]
    if before["max_tokens_auto"] and after["max_tokens_auto"]:
        before["max_tokens"] = after["max_tokens"]
    before["max_tokens_auto"] = after["max_tokens_auto"]
    return {**old, "batch": before}


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    for name in [*old, *(n for n in new if n not in old)]:
        before, after = old.get(name), new.get(name)
        key = f"{path}.{name}" if path else name
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(before, after, key)
        elif before != after:
            yield key, before, after
