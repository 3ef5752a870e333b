"""The two Beam pipelines, and the run that joins them."""
