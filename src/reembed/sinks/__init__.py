"""Where rows and rejects are written."""
