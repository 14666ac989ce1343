"""What the scores of a work dir tell."""
