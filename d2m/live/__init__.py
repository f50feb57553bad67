"""Live: a body that moves now is followed, and music is made ahead of its next beats."""
