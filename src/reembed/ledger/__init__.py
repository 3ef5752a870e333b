"""Write-once records of a run: what was claimed, created, spent, ended, settled."""
