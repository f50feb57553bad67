"""A user's own songs: what is heard in them, the index of a folder, the passage for a dance, and its warp onto the beats."""
