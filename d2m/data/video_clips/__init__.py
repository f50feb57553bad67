"""Data sets from clips of dancers."""
