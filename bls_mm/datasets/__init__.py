"""Which sample is behind an index of a dataset."""
