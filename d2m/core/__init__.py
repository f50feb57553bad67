"""What every room stands on: errors, timeline, names, files, music, checkpoints."""
