"""The evaluation of generated music."""
