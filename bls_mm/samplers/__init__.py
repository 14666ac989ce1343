"""Which indices a pass visits, and in which batch they are."""
