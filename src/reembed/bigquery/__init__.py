"""All of BigQuery: client, SQL, source, destination."""
