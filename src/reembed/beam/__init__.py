"""All of Apache Beam: transforms, engines, workers, Dataflow."""
