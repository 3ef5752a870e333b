"""Command line: options, output, exit codes."""
