"""Where rows end for good: what is there already, and how a settled run is put beside it."""
