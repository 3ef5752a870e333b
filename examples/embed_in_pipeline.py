"""Embed the texts of your own Beam pipeline, and write the vectors as lines of JSON.

    python examples/embed_in_pipeline.py NOTES.jsonl VECTORS.jsonl --base-url http://127.0.0.1:8901

Each line of the input has `key` and `text`. Run it again after a crash: it goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import apache_beam as beam

from reembed.beam import Embed, EmbedInput


def main() -> None:
    """Read lines, embed them, write vectors; what cannot be embedded goes beside them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notes", help="JSON lines with key and text")
    parser.add_argument("vectors", help="where the vectors go")
    parser.add_argument("--base-url", help="an emulator; without it, the real service")
    given, beam_arguments = parser.parse_known_args()
    config = {
        "name": "notes",
        "run_dir": str(Path(given.vectors).absolute().with_suffix(".run")),
        "budget": {"max_usd": 0.50},
        "service": {"base_url": given.base_url},
    }
    options = beam.options.pipeline_options.PipelineOptions(beam_arguments)
    with beam.Pipeline(options=options) as pipeline:
        embedded = (
            pipeline
            | "ReadNotes" >> beam.io.ReadFromText(given.notes)
            | "Parse" >> beam.Map(json.loads)
            | "ToInput" >> beam.Map(lambda note: EmbedInput(note["key"], note["text"]))
            | "Embed" >> Embed(config)
        )
        for name, rows in embedded._asdict().items():
            path = given.vectors if name == "vectors" else f"{given.vectors}.{name}"
            _ = (
                rows
                | f"{name}ToJson" >> beam.Map(lambda row: json.dumps(row._asdict()))
                | f"Write_{name}" >> beam.io.WriteToText(path, shard_name_template="")
            )


if __name__ == "__main__":
    main()
