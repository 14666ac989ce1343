"""Training every config of a package in small."""
