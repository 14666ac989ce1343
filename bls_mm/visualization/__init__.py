"""Pictures of scores and samples."""
