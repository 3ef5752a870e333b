"""Rows by the Storage Read API: sessions over one moment, streams resumed at a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from google.api_core import exceptions as api
from google.cloud.bigquery_storage_v1 import types

from reembed.bigquery.base import Read, ReadStream
from reembed.bigquery.connections import Connections, Policy
from reembed.bigquery.errors import TIMEOUT, bigquery_errors, is_transient
from reembed.bigquery.names import TableName, quoted
from reembed.errors import BigQueryError

# One call brings rows for as long as it lasts; a longer read goes on in a new call at the next row.
_CALL_SECONDS: Final = 900.0
# https://cloud.google.com/bigquery/docs/reference/storage/rpc: connections end in these ways too.
_BROKEN: Final = (
    api.Aborted,
    api.Cancelled,
    api.DeadlineExceeded,
    api.InternalServerError,
    api.ServiceUnavailable,
    api.Unknown,
)


@dataclass(frozen=True, slots=True)
class Reads:
    """Reads that one project pays for.

    The library's own reader reconnects at once and for ever; this one pauses, longer each time,
    and gives up after `Policy.breaks` connections that brought no row.
    """

    connect: Callable[[str], Connections]
    project: str
    policy: Policy

    def streams(self, table: TableName, read: Read) -> tuple[ReadStream, ...]:
        """Open a read session and return its streams."""
        request = types.CreateReadSessionRequest(
            parent=f"projects/{self.project}",
            read_session=_session(table, read),
            max_stream_count=read.max_streams,
        )
        with bigquery_errors(str(table), "open a read session"):
            session = self._read.create_read_session(
                request=request, retry=self.policy.retry(), timeout=TIMEOUT
            )
        schema = bytes(session.arrow_schema.serialized_schema)
        return tuple(ReadStream(stream.name, table, schema) for stream in session.streams)

    def stream(self, stream: ReadStream, offset: int) -> Iterator[pa.RecordBatch]:
        """Read a stream from a row on, reconnecting at the row after the last that came."""
        schema = pa.ipc.read_schema(pa.py_buffer(stream.schema))
        at, breaks = offset, 0
        while True:
            try:
                for message in self._call(stream, at):
                    at, breaks = at + message.row_count, 0
                    yield _batch(message, schema)
                return
            except _Broken as broken:
                breaks += 1
                if breaks >= self.policy.breaks:
                    remedy = "check the network, then the same command reads again"
                    raise BigQueryError(
                        f"{stream.table}: reading broke off {breaks} times at row {at} of a "
                        f"stream; {remedy}: {broken.__cause__}"
                    ) from broken
                self.policy.sleep(self.policy.first * 2**breaks)

    def _call(self, stream: ReadStream, offset: int) -> Iterator[Any]:
        request = types.ReadRowsRequest(read_stream=stream.name, offset=offset)
        with bigquery_errors(str(stream.table), "read it"):
            try:
                yield from self._read.read_rows(request=request, retry=None, timeout=_CALL_SECONDS)
            except api.GoogleAPICallError as err:
                if isinstance(err, _BROKEN) or is_transient(err):
                    raise _Broken from err
                raise

    @property
    def _read(self) -> Any:
        return self.connect(self.project).read


class _Broken(Exception):
    """Connection that ended before its stream did."""


def _session(table: TableName, read: Read) -> Any:
    for column in read.columns:
        quoted(column)  # refuses a malformed name with a message that names it
    options = types.ReadSession.TableReadOptions(
        selected_fields=list(read.columns), row_restriction=read.where
    )
    session = types.ReadSession(
        table=f"projects/{table.project}/datasets/{table.dataset}/tables/{table.table}",
        data_format=types.DataFormat.ARROW,
        read_options=options,
    )
    if read.snapshot_ms is not None:
        moment = datetime.fromtimestamp(read.snapshot_ms / 1000, UTC)
        session.table_modifiers = types.ReadSession.TableModifiers(snapshot_time=moment)
    return session


def _batch(message: Any, schema: pa.Schema) -> pa.RecordBatch:
    data = pa.py_buffer(message.arrow_record_batch.serialized_record_batch)
    return pa.ipc.read_record_batch(data, schema)
