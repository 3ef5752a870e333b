"""Write-once records of a run: claims, jobs, reservations, outcomes, settlements."""
