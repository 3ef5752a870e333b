"""Embed the texts of your own Beam pipeline, and write the vectors as lines of JSON.

    python examples/embed_in_pipeline.py CONFIG.yaml NOTES.jsonl VECTORS.jsonl [options of Beam]

The configuration has `run_dir` and `budget.max_usd`, and no inputs; each line of the notes has
`key` and `text`. Run it again after a crash: it goes on, and buys nothing twice.
"""

from __future__ import annotations

import argparse
import json

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from reembed.beam import Embed, EmbedInput


def main() -> None:
    """Read lines, embed them, write vectors; write rejects to a file of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("config", "notes", "vectors"):
        parser.add_argument(name)
    places, beam_arguments = parser.parse_known_args()
    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        embedded = (
            pipeline
            | "Read" >> beam.io.ReadFromText(places.notes)
            | "Parse" >> beam.Map(json.loads)
            | "ToInput" >> beam.Map(lambda note: EmbedInput(note["key"], note["text"]))
            | "Embed" >> Embed(places.config)
        )
        for rows, path in (
            (embedded.vectors, places.vectors),
            (embedded.rejects, f"{places.vectors}.rejects"),
        ):
            _ = (
                rows
                | f"ToJson {path}" >> beam.Map(lambda row: json.dumps(row._asdict()))
                | f"Write {path}" >> beam.io.WriteToText(path, shard_name_template="")
            )


if __name__ == "__main__":
    main()
