"""Make the embedded band's pack of instruments, d2m/data/synthetic/band.sf3, from its two sources.

They are the Debian packages `musescore-general-soundfont` (MIT, parts public domain or CC0; its file is
usr/share/sounds/sf3/MuseScore_General.sf3 or an .sf2 of the same) and `sonic-pi-samples` (CC0, a folder of .flac files),
unpacked with `dpkg -x`:

    python scripts/make_band_pack.py MuseScore_General.sf3 usr/share/sonic-pi/samples band.sf3

Only the keys that the band plays are kept, long recordings end sooner, and what is cut is encoded anew. The copyright
files of both packages go beside the pack.
"""

import argparse
import io
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from d2m.core.errors import BadInput, UserError
from d2m.core.files import writing
from d2m.data.synthetic.soundfont import (
    KEYS,
    ROOT_KEY,
    SAMPLE,
    SAMPLE_MODES,
    VELOCITIES,
    Preset,
    Sample,
    Zone,
    read_soundfont,
)

MELODIC = {
    # name: (program, lowest key, highest key, longest seconds of a sample)
    "Grand Piano": (0, 36, 84, 2.6), "Tine Electric Piano": (4, 36, 90, 5), "FM Electric Piano": (5, 36, 90, 5), "Clavinet": (7, 36, 84, 3),
    "Vibraphone": (11, 48, 96, 3), "Drawbar Organ": (16, 36, 90, 3), "Rock Organ": (18, 36, 84, 2.5), "Clean Guitar": (27, 40, 84, 4),
    "Palm Muted Guitar": (28, 40, 84, 2), "Acoustic Bass": (32, 24, 60, 3), "Fingered Bass": (33, 24, 60, 4), "Slap Bass": (36, 24, 60, 6),
    "Synth Bass 1": (38, 24, 60, 3), "Synth Bass 2": (39, 24, 60, 3), "Strings Fast": (48, 54, 88, 3), "Synth Strings 1": (50, 48, 88, 5),
    "Orchestra Hit": (55, 36, 84, 2), "Trumpet": (56, 55, 88, 3), "Brass Section": (61, 48, 84, 3), "Synth Brass 1": (62, 36, 84, 3),
    "Tenor Sax": (66, 50, 80, 3), "Flute": (73, 60, 96, 3), "Saw Lead": (81, 48, 96, 3), "Warm Pad": (89, 48, 84, 5),
}  # fmt: skip

KITS = {
    "Standard": (0, 35, 59),
    "Power": (16, 35, 59),
    "TR-808": (25, 35, 75),
    "Jazz": (32, 35, 59),
    "Brush": (40, 35, 59),
}
"""Program in bank 128, lowest and highest key."""

_LONGEST_DRUM_S = 3.0

SAMPLED_KITS = {
    "Club CC0": (100, {36: "bd_haus", 35: "bd_tek", 38: "sn_dub", 39: "perc_snap", 40: "sn_dolf", 37: "elec_tick", 42: "drum_cymbal_closed",
                       44: "drum_cymbal_pedal", 46: "drum_cymbal_open", 49: "drum_splash_hard", 56: "drum_cowbell", 51: "elec_cymbal",
                       43: "elec_fuzz_tom"}),
    "Dusty CC0": (101, {36: "bd_fat", 35: "bd_boom", 38: "drum_snare_hard", 40: "sn_zome", 39: "perc_snap2", 42: "drum_cymbal_closed",
                        46: "drum_cymbal_open", 44: "drum_cymbal_soft", 41: "drum_tom_lo_hard", 45: "drum_tom_mid_hard",
                        48: "drum_tom_hi_hard", 49: "drum_splash_soft", 34: "bd_808"}),
}  # fmt: skip
"""Program in bank 128, and the sample of each key."""

COPYRIGHT = "MIT (MuseScore_General, parts public domain or CC0) and CC0 (Sonic Pi samples)"
_VORBIS = 0x10
_QUALITY = 0.5
"""Of Ogg Vorbis: 0 is the best, 1 the smallest."""

_BLOCK = 1 << 15


def encoded(wave: Float[np.ndarray, " time"], sample_rate: int) -> bytes:
    """Mono samples as an Ogg Vorbis stream."""
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", sample_rate, 1, "VORBIS", format="OGG", compression_level=_QUALITY) as file:
        for start in range(0, len(wave), _BLOCK):  # libsndfile's Vorbis takes no long blocks
            file.write(wave[start : start + _BLOCK])
    return stream.getvalue()


class Cutter:
    """Cuts samples, each once, however many zones play it."""

    def __init__(self) -> None:
        self._cut: dict[tuple[int, int], Sample] = {}

    def cut(self, sample: Sample, longest_s: float | int, looped: bool) -> Sample:
        """A sample as Ogg Vorbis, no longer than its loop or `longest_s`; one that is neither cut nor raw stays as it is."""
        keep = sample.loop[1] if looped and sample.loop[1] > 0 else round(longest_s * sample.sample_rate)
        if sample.vorbis and len(sample.wave) <= keep:
            return sample
        if (id(sample), keep) not in self._cut:
            wave = sample.wave[:keep].copy()
            fade = (
                min(round(0.02 * sample.sample_rate), len(wave)) if not looped and len(wave) < len(sample.wave) else 0
            )
            wave[len(wave) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
            content = encoded(wave, sample.sample_rate)
            self._cut[id(sample), keep] = replace(sample, content=content, vorbis=True)
        return self._cut[id(sample), keep]


def take(source: Preset, name: str, keys: tuple[int, int], longest_s: float | int, cutter: Cutter) -> Preset:
    """The zones of a preset that play some of `keys`, under a name of ours."""
    zones = []
    for zone in source.zones:
        common = max(zone.keys[0], keys[0]), min(zone.keys[1], keys[1])
        if common[0] <= common[1]:
            looped = bool(zone[SAMPLE_MODES] & 1)
            zones.append(replace(zone, sample=cutter.cut(zone.sample, longest_s, looped), keys=common))
    return Preset(name, source.program, source.bank, tuple(zones))


def kit_of_files(folder: Path, name: str, program: int, files: Mapping[int, str]) -> Preset:
    """A drum kit of audio files, one a key.

    Raises:
        BadInput: when one is missing.
    """
    zones = []
    for key, stem in files.items():
        found = [path for path in sorted(folder.glob(f"{stem}.*")) if path.suffix in (".flac", ".wav", ".ogg")]
        if not found:
            raise BadInput(
                f"{folder}: found no {stem}.flac, expected the samples of the package sonic-pi-samples; give their folder."
            )
        wave, rate = soundfile.read(found[0], dtype="float32", always_2d=True)
        wave = wave.mean(axis=1)[: round(_LONGEST_DRUM_S * rate)]
        sample = Sample(stem, encoded(wave, rate), True, rate, (0, 0), 60, 0)
        zones.append(Zone(sample, (key, key), (0, 127), {ROOT_KEY: key}))
    return Preset(name, program, 128, tuple(zones))


def band_presets(soundfont: Path, samples: Path) -> list[Preset]:
    """What the band plays, from the two sources.

    Raises:
        BadInput: when a preset or a sample is missing.
    """
    found = {(preset.bank, preset.program): preset for preset in read_soundfont(soundfont).values()}
    wanted = [(name, 0, *row) for name, row in MELODIC.items()]
    wanted += [(name, 128, *row, _LONGEST_DRUM_S) for name, row in KITS.items()]
    cutter, presets = Cutter(), []
    for name, bank, program, low, high, longest_s in wanted:
        if (bank, program) not in found:
            raise BadInput(
                f"{soundfont}: found no preset {program} in bank {bank} ({name}), expected MuseScore_General; give its file."
            )
        presets.append(take(found[bank, program], name, (low, high), longest_s, cutter))
    return presets + [kit_of_files(samples, name, program, files) for name, (program, files) in SAMPLED_KITS.items()]


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _list(kind: bytes, chunks: Iterable[bytes]) -> bytes:
    return _chunk(b"LIST", kind + b"".join(chunks))


def _name(text: str) -> bytes:
    return text.encode("latin-1", "replace")[:19].ljust(20, b"\0")


def soundfont_bytes(presets: Iterable[Preset], name: str, copyright_text: str) -> bytes:
    """An SF3 file: one instrument a preset, generators as the zones have them, no modulators."""
    presets = list(presets)
    samples = list({id(zone.sample): zone.sample for preset in presets for zone in preset.zones}.values())
    number = {id(sample): index for index, sample in enumerate(samples)}
    pool, headers = b"", b""
    for sample in samples:
        content = sample.content if sample.vorbis else encoded(sample.wave, sample.sample_rate)
        headers += struct.pack(
            "<20sIIIIIBbHH", _name(sample.name), len(pool), len(pool) + len(content), *sample.loop, sample.sample_rate,
            sample.root_key, sample.correction_cents, 0, 1 | _VORBIS,
        )  # fmt: skip
        pool += content
    tables = {kind: b"" for kind in ("phdr", "pbag", "pgen", "inst", "ibag", "igen")}
    zones = generators = 0
    for index, preset in enumerate(presets):
        tables["phdr"] += struct.pack("<20sHHHIII", _name(preset.name), preset.program, preset.bank, index, 0, 0, 0)
        tables["pbag"] += struct.pack("<HH", index, 0)
        tables["pgen"] += struct.pack("<HH", 41, index)
        tables["inst"] += struct.pack("<20sH", _name(preset.name), zones)
        for zone in preset.zones:
            rows = [
                (KEYS, zone.keys[0] | zone.keys[1] << 8),
                (VELOCITIES, zone.velocities[0] | zone.velocities[1] << 8),
            ]
            rows += [(generator, amount & 0xFFFF) for generator, amount in zone.generators.items()]
            rows.append((SAMPLE, number[id(zone.sample)]))
            tables["ibag"] += struct.pack("<HH", generators, 0)
            tables["igen"] += b"".join(struct.pack("<HH", *row) for row in rows)
            generators, zones = generators + len(rows), zones + 1
    tables["phdr"] += struct.pack("<20sHHHIII", b"EOP", 0, 0, len(presets), 0, 0, 0)
    tables["pbag"] += struct.pack("<HH", len(presets), 0)
    tables["inst"] += struct.pack("<20sH", b"EOI", zones)
    tables["ibag"] += struct.pack("<HH", generators, 0)
    tables |= {
        "pgen": tables["pgen"] + bytes(4),
        "igen": tables["igen"] + bytes(4),
        "pmod": bytes(10),
        "imod": bytes(10),
    }
    tables["shdr"] = headers + struct.pack("<20sIIIIIBbHH", b"EOS", *[0] * 9)
    order = ("phdr", "pbag", "pmod", "pgen", "inst", "ibag", "imod", "igen", "shdr")
    text = lambda words: words.encode("latin-1", "replace") + b"\0"  # noqa: E731
    about = [
        (b"ifil", struct.pack("<HH", 3, 1)),
        (b"isng", text("EMU8000")),
        (b"INAM", text(name)),
        (b"ICOP", text(copyright_text)),
    ]
    content = b"sfbk" + _list(b"INFO", [_chunk(*row) for row in about]) + _list(b"sdta", [_chunk(b"smpl", pool)])
    return _chunk(b"RIFF", content + _list(b"pdta", [_chunk(kind.encode(), tables[kind]) for kind in order]))


def main(arguments: list[str] | None = None) -> None:
    """Make a pack: soundfont, folder of samples, output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("soundfont", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args(arguments)
    try:
        presets = band_presets(given.soundfont, given.samples)
        content = soundfont_bytes(presets, "d2m band", COPYRIGHT)
        with writing(given.out) as temporary:
            temporary.write_bytes(content)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"{given.out}: {len(presets)} presets, {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
