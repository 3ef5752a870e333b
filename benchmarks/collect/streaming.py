"""The plain streaming loop: chunked HTTP, simdjson's typed buffer, numpy, a Parquet writer."""

from __future__ import annotations

import httpx
from common import Stopwatch, task_from_arguments

from plain import lines, write_vectors


def main() -> None:
    task = task_from_arguments()
    part = task.folder / "streaming.parquet"
    url = f"{task.url}/v1beta/files/whole-{task.shards}:download?alt=media"
    watch = Stopwatch()
    with httpx.Client(timeout=60) as client, client.stream("GET", url) as response:
        count = write_vectors(lines(response.iter_raw()), task.dimensions, part)
    watch.report(count, output_bytes=part.stat().st_size)


if __name__ == "__main__":
    main()
