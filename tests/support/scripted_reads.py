"""A Storage Read server on a local port that answers from a script and keeps what it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
STREAM = "projects/pays/locations/us/sessions/s/streams/0"


class Break(Exception):
    """The script's word for a call that ends with a status."""

    def __init__(self, code: grpc.StatusCode, message: str = "it broke") -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


class ScriptedReads:
    """Serves one table as one stream.

    Args:
        batches: what the stream holds.
        calls: for each ReadRows, in order, how many batches come before its `Break`; calls
            beyond the script bring all that is left.
        refusal: what CreateReadSession ends with.
    """

    def __init__(
        self,
        batches: list[pa.RecordBatch],
        calls: list[tuple[int, Break]] | None = None,
        refusal: Break | None = None,
    ) -> None:
        self.batches, self.calls, self.refusal = batches, list(calls or ()), refusal
        self.sessions: list[Any] = []
        self.offsets: list[int] = []

    def session(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.sessions.append(request)
        if self.refusal is not None:
            context.abort(self.refusal.code, self.refusal.message)
        schema = self.batches[0].schema.serialize().to_pybytes()
        return types.ReadSession(
            arrow_schema=types.ArrowSchema(serialized_schema=schema),
            streams=[types.ReadStream(name=STREAM)],
        )

    def rows(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.offsets.append(request.offset)
        most, end = self.calls.pop(0) if self.calls else (len(self.batches), None)
        at = sent = 0
        for batch in self.batches:
            if at >= request.offset and sent < most:
                data = batch.serialize().to_pybytes()
                yield types.ReadRowsResponse(
                    row_count=batch.num_rows,
                    arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=data),
                )
                sent += 1
            at += batch.num_rows
        if end is not None:
            context.abort(end.code, end.message)


@contextmanager
def serve_reads(script: ScriptedReads) -> Iterator[str]:
    """Serve until the block ends; gives ``host:port``."""
    requests = (types.CreateReadSessionRequest, types.ReadRowsRequest)
    opened, read = (
        {
            "request_deserializer": request.deserialize,
            "response_serializer": lambda message: type(message).serialize(message),
        }
        for request in requests
    )
    methods = {
        "CreateReadSession": grpc.unary_unary_rpc_method_handler(script.session, **opened),
        "ReadRows": grpc.unary_stream_rpc_method_handler(script.rows, **read),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
