"""How a run of passes over the data is planned."""
