"""The plain script: the vendor's SDK, the answer in memory, json.loads, numpy, pyarrow."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import MODEL, Stopwatch, task_from_arguments
from google import genai
from google.genai import types


def main() -> None:
    task = task_from_arguments()
    client = genai.Client(
        api_key="benchmark",
        http_options=types.HttpOptions(base_url=task.url, api_version="v1beta"),
    )
    requests = task.folder / "requests.jsonl"
    with requests.open("w") as file:
        for number in range(task.vectors):
            content = {"parts": [{"text": f"section {number}"}]}
            request = {"content": content, "outputDimensionality": task.dimensions}
            file.write(json.dumps({"key": f"row-{number}", "request": request}) + "\n")

    uploaded = client.files.upload(
        file=str(requests), config=types.UploadFileConfig(mime_type="application/jsonl")
    )
    job = client.batches.create_embeddings(
        model=MODEL,
        src=types.EmbeddingsBatchJobSource(file_name=uploaded.name),
        config=types.CreateEmbeddingsBatchJobConfig(display_name=f"{task.shards}"),
    )
    while job.state.name not in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED"):
        time.sleep(0.05)
        job = client.batches.get(name=job.name)

    # From here on it is collecting, which is what the other sides do too.
    watch = Stopwatch()
    content = client.files.download(file=job.dest.file_name).decode("utf-8")
    answers = [json.loads(line) for line in content.splitlines()]
    keys = [answer["key"] for answer in answers]
    vectors = [answer["response"]["embedding"]["values"] for answer in answers]
    matrix = np.array(vectors, dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    embeddings = pa.array(list(matrix), pa.list_(pa.float32()))
    table = pa.table({"key": keys, "embedding": embeddings})
    part = task.folder / "cookbook.parquet"
    pq.write_table(table, part, compression="zstd")
    watch.report(len(keys), output_bytes=part.stat().st_size)


if __name__ == "__main__":
    main()
