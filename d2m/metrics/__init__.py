"""Pure metrics, in seconds."""
