"""Re-embed a corpus through asynchronous batch embedding jobs."""
