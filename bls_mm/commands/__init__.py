"""What `python -m bls_mm` and the scripts in `tools/` run.

Each command is a module with `parse_args` and `main`, and imports what it
needs once it runs, so that `--help` does not wait for torch.
"""
