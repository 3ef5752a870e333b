"""Validate records: names in them must lie where the layout puts them, or the run fails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar, cast

from reembed.core.names import is_child, part_name, split_shard_id
from reembed.core.records import Outcome, Record, RolledShard, Rollup, Settled
from reembed.errors import RunFailedError
from reembed.ledger.layout import Layout, parse_record

R = TypeVar("R", bound=Record)

_WORK_FILE = re.compile(r"[0-9]+(?:\.[0-9]+)*\.[0-9a-f]{1,64}\.(?:rows|rejects)\.parquet")


def validate_record(record: R, name: str, layout: Layout, commit: int) -> R:
    """Return a record with every file that it names validate_record under the run directory.

    Only the ends of the names are taken, so that a run directory can be moved.

    Args:
        record: as it was decoded.
        name: where it was read: ``…/<partition>/<seq>/<file>``.
        layout: the names of the run directory.
        commit: the number of the commit.

    Raises:
        RunFailedError: it names a file that is none of its shard's, or a child that is not its own.
    """
    if not isinstance(record, Outcome | Settled):
        return record
    files = _files_of(record, name, layout, commit)
    return cast(R, record.model_copy(update=dict(files)))


def validate_rollup(
    rollup: Rollup, partition: str, name: str, layout: Layout, commit: int
) -> Rollup:
    """Return a partition's roll-up with the files of its shards validate_record likewise.

    Raises:
        RunFailedError: it holds another partition's shard, or one of them names a file elsewhere.
    """
    shards: dict[str, RolledShard] = {}
    for shard, rolled in rollup.shards.items():
        if split_shard_id(shard)[0] != partition:
            raise RunFailedError(f"{name} holds the shard {shard}; {_REMEDY}")
        files = _parts_of(rolled.settled, _ShardFiles(layout, commit, shard, name))
        settled = rolled.settled.model_copy(update=files)
        shards[shard] = rolled.model_copy(update={"settled": settled})
    return rollup.model_copy(update={"shards": shards})


def _parts_of(settled: Settled, place: _ShardFiles) -> dict[str, str]:
    return {
        "part": place.part(settled.part, "vectors"),
        "reject_part": place.part(settled.reject_part, "rejects"),
    }


def _files_of(
    record: Outcome | Settled, name: str, layout: Layout, commit: int
) -> Mapping[str, str]:
    _, partition, seq, file = name.rsplit("/", 3)
    place = _ShardFiles(layout, commit, f"{partition}-{seq}", name)
    if isinstance(record, Settled):
        return _parts_of(record, place)
    own = parse_record(file)
    for path in record.children:
        if own is None or not is_child(path, own.attempt):
            raise RunFailedError(f"{name} names {path!r} as its child; {_REMEDY}")
    return {
        "rows_uri": place.work(record.rows_uri) or place.part(record.rows_uri, "vectors"),
        "errors_uri": place.work(record.errors_uri) or place.part(record.errors_uri, "rejects"),
    }


_REMEDY = (
    "the record is damaged or was changed: restore the run directory from a copy, or begin a new "
    "run in another one"
)


class _ShardFiles:
    def __init__(self, layout: Layout, commit: int, shard: str, name: str) -> None:
        self._layout, self._commit, self._shard, self._name = layout, commit, shard, name

    def work(self, uri: str) -> str:
        """Find the file of one attempt that a record names; empty when it names another kind."""
        last = uri.rsplit("/", 1)[-1]
        work = self._layout.work(self._commit, self._shard, last)
        ours = _WORK_FILE.fullmatch(last) and uri.endswith(work.removeprefix(self._layout.run_dir))
        return work if ours else ""

    def part(self, uri: str, folder: str) -> str:
        """Find the shard's file in a folder that a record names; empty where it names none."""
        part = f"/{folder}/{part_name(self._commit, self._shard)}"
        if not uri or uri.endswith(part):
            return uri and self._layout.run_dir + part
        raise RunFailedError(
            f"{self._name} names {uri!r}, which is no file of this shard; {_REMEDY}"
        )
