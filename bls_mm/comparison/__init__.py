"""Runs with and without pruning, side by side."""
