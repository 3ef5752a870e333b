"""One thin PTransform per step."""
