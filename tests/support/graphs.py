"""What a submitted graph holds, looked for as somebody who steals a key would."""

from __future__ import annotations

import base64
import binascii
import bz2
import zlib

from apache_beam.portability.api import beam_runner_api_pb2


def unfolded(graph: beam_runner_api_pb2.Pipeline) -> bytes:
    """All bytes of a graph, and beside them what its payloads hold under base64 and compression."""
    found = [graph.SerializeToString()]
    specs = [transform.spec for transform in graph.components.transforms.values()]
    specs += [coder.spec for coder in graph.components.coders.values()]
    for spec in specs:
        payloads = [spec.payload]
        if spec.urn == "beam:transform:pardo:v1":
            payloads.append(beam_runner_api_pb2.ParDoPayload.FromString(spec.payload).do_fn.payload)
        found += [opened for payload in payloads if (opened := opened_payload(payload))]
    return b"\n".join(found)


def opened_payload(payload: bytes) -> bytes:
    try:
        packed = base64.b64decode(payload, validate=True)
    except binascii.Error:
        return b""
    for open_it in (bz2.decompress, zlib.decompress):
        try:
            return open_it(packed)
        except (OSError, ValueError, zlib.error):
            continue
    return packed


def forms(secret: str) -> list[bytes]:
    """A secret as it is, in part, and in base64 at each of the three places it can begin."""
    plain = secret.encode()
    shifted = [base64.b64encode(b"x" * n + plain)[4 * bool(n) : -4] for n in range(3)]
    return [plain, plain[8:], plain[:24], plain.hex().encode(), *shifted]


def holds(data: bytes, secret: str) -> bool:
    return any(form in data for form in forms(secret))
