"""What a training step tells about the losses of its samples."""
