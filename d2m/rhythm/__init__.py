"""The beat of a dance: read from its motion, tracked over the whole of it, and written down where a person can correct it."""
