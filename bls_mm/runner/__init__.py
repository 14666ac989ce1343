"""What has to be set in MMEngine's runners and loops."""
