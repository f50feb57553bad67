"""Shards for streaming: `python scripts/shard.py root=data/procedural dmae=demo` (train with data.streaming=true)."""

from d2m.commands import run

if __name__ == "__main__":
    run("shard")
