"""Music for dances: `python scripts/sample.py checkpoint=demo dance=FILE|FOLDER|GLOB out=DIR`."""

from d2m.commands import run

if __name__ == "__main__":
    run("sample")
