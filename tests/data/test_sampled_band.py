"""The sampled band: SoundFonts are read and played in tune and on time, scores are music, and the mix is where it should be."""

import re
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from d2m.audio.mastering import CEILING, integrated_lufs
from d2m.core.aist_names import GENRES as CODES
from d2m.core.errors import BadInput
from d2m.core.lead_sheet import QUALITIES, SCALES
from d2m.data.synthetic.genres import GENRES
from d2m.data.synthetic.harmony import progression, voicing
from d2m.data.synthetic.mixing import PACK, band_sampler, play
from d2m.data.synthetic.score import SECTIONS, Score, compose
from d2m.data.synthetic.songs import Song, render_song
from d2m.data.synthetic.soundfont import RELEASE, ROOT_KEY, SAMPLE_MODES, Preset, Sample, Sampler, Zone, read_soundfont

RATE = 22050

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import make_band_pack  # noqa: E402


def tone(hz: float, seconds: float = 0.5, rate: int = RATE, silent_s: float = 0.0) -> np.ndarray:
    time_s = np.arange(round(seconds * rate)) / rate
    wave = 0.5 * np.sin(2 * np.pi * hz * time_s)
    return np.concatenate([np.zeros(round(silent_s * rate)), wave])


def recorded(name: str, wave: np.ndarray, loop: tuple[int, int] = (0, 0), rate: int = RATE) -> Sample:
    return Sample(name, (wave * 32767).astype("<i2").tobytes(), False, rate, loop, 69, 0)


def loudest_hz(wave: np.ndarray, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 18))
    return float(np.argmax(spectrum) * rate / (1 << 18))


def sampler(*zones: Zone, bank: int = 0) -> Sampler:
    return Sampler({"it": Preset("it", 0, bank, zones)}, RATE)


EVERY = (0, 127)


@pytest.mark.parametrize("key", [52, 57, 62, 69, 70, 76])
def test_a_note_is_in_tune_and_starts_where_it_is_heard(key: int) -> None:
    zone = Zone(recorded("a", tone(440, silent_s=0.02)), EVERY, EVERY, {})
    note = sampler(zone).note("it", key, 100, 0.4)
    assert loudest_hz(note.wave[0]) == pytest.approx(440 * 2 ** ((key - 69) / 12), rel=1.5e-3)  # 2.6 cents
    heard_s = 0.02 * 440 / (440 * 2 ** ((key - 69) / 12))
    assert note.onset / RATE == pytest.approx(heard_s, abs=1.5e-3)


def test_a_loop_goes_on_as_long_as_the_key_is_held_and_the_release_ends_it() -> None:
    period = 50
    wave = tone(RATE / period, 0.1)
    zone = Zone(recorded("a", wave, (period, 21 * period)), EVERY, EVERY, {SAMPLE_MODES: 1, RELEASE: -2400})
    note = sampler(zone).note("it", 69, 100, 1.0)
    held = note.wave[0, :RATE]
    assert len(held) == RATE and np.abs(held[-2000:]).max() > 0.4
    assert note.wave.shape[1] < 1.2 * RATE and np.abs(note.wave[0, -20:]).max() < 0.05
    plain = sampler(Zone(recorded("a", wave), EVERY, EVERY, {})).note("it", 69, 100, 1.0)
    assert plain.wave.shape[1] <= len(wave) + 2


def test_velocity_and_key_choose_the_zone_and_pan_its_side() -> None:
    soft = Zone(recorded("soft", tone(440)), EVERY, (0, 64), {17: -500})
    hard = Zone(recorded("hard", tone(880)), EVERY, (65, 127), {17: 500})
    played = sampler(soft, hard)
    for velocity, hz, side in ((40, 440, 0), (100, 880, 1)):
        wave = played.note("it", 69, velocity, 0.3).wave
        assert loudest_hz(wave[side]) == pytest.approx(hz, rel=2e-3)
        assert np.abs(wave[1 - side]).max() < 1e-3


def test_keys_out_of_range_are_played_octaves_away() -> None:
    zone = Zone(recorded("a", tone(440)), (60, 71), EVERY, {})
    assert loudest_hz(sampler(zone).note("it", 45, 100, 0.3).wave[0]) == pytest.approx(440, rel=2e-3)


def test_notes_are_kept_within_bounds_and_sound_the_same_again() -> None:
    zone = Zone(recorded("a", tone(440)), EVERY, EVERY, {})
    small = Sampler({"it": Preset("it", 0, 0, (zone,))}, RATE, kept_mb=0)
    first = small.note("it", 60, 100, 0.3).wave.copy()
    small.note("it", 61, 100, 0.3)
    assert np.array_equal(first, small.note("it", 60, 100, 0.3).wave) and len(small._notes) <= 2


@pytest.mark.parametrize("damage", ["missing", "no riff", "cut"])
def test_damaged_soundfonts_are_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.sf3"
    whole = make_band_pack.soundfont_bytes(
        [Preset("it", 0, 0, (Zone(recorded("a", tone(440)), EVERY, EVERY, {}),))], "x", "y"
    )
    if damage != "missing":
        path.write_bytes(b"RIFFxxxxWAVE" if damage == "no riff" else whole[: len(whole) - 90])
    with pytest.raises(BadInput, match=r"a\.sf3.*SoundFont"):
        read_soundfont(path)


# -- the pack and the script that makes it --


def facts(presets: dict[str, Preset]) -> list[tuple]:
    return [
        (name, preset.program, preset.bank, [(z.sample.name, z.sample.content, z.sample.loop, z.sample.sample_rate, z.keys, z.velocities, z.generators) for z in preset.zones])
        for name, preset in presets.items()
    ]  # fmt: skip


def test_the_pack_written_again_has_the_same_presets(tmp_path: Path) -> None:
    presets = read_soundfont(PACK)
    assert len(presets) == 31 and PACK.stat().st_size < 8e6
    again = tmp_path / "again.sf3"
    again.write_bytes(make_band_pack.soundfont_bytes(presets.values(), "again", "nobody"))
    assert facts(read_soundfont(again)) == facts(presets)


def test_every_patch_and_drum_of_every_genre_is_in_the_pack() -> None:
    presets = read_soundfont(PACK)
    for genre in GENRES.values():
        for patch in (*genre.bass, *genre.chords, *genre.stabs, *genre.pad, *genre.lead):
            assert presets[patch.preset].bank == 0
        for kit in genre.kits:
            for preset, key in kit.values():
                assert any(zone.keys[0] <= key <= zone.keys[1] for zone in presets[preset].zones), (preset, key)
    assert set(make_band_pack.MELODIC) | set(make_band_pack.KITS) | set(make_band_pack.SAMPLED_KITS) == set(presets)


def sf2_of(presets: list[tuple[int, int]]) -> bytes:
    """A SoundFont 2 as others write them: raw samples, absolute loops, a global zone, and a preset that adds to its instrument."""
    wave = (tone(440, 0.2) * 32767).astype("<i2")
    pool = wave.tobytes() + bytes(92)
    chunk, listed = make_band_pack._chunk, make_band_pack._list
    name = make_band_pack._name
    phdr = b"".join(
        struct.pack("<20sHHHIII", name(f"p{bank}-{program}"), program, bank, i, 0, 0, 0)
        for i, (bank, program) in enumerate(presets)
    )
    count = len(presets)
    tables = {
        b"phdr": phdr + struct.pack("<20sHHHIII", b"EOP", 0, 0, count, 0, 0, 0),
        b"pbag": b"".join(struct.pack("<HH", 2 * i, 0) for i in range(count + 1)),
        b"pmod": bytes(10),
        b"pgen": struct.pack("<HhHH", 52, 7, 41, 0) * count + bytes(4),
        b"inst": struct.pack("<20sH", b"i", 0) + struct.pack("<20sH", b"EOI", 2),
        b"ibag": struct.pack("<HHHHHH", 0, 0, 1, 0, 4, 0),
        b"imod": bytes(10),
        b"igen": struct.pack("<HhHHHhHH", 38, -1200, 43, 20 | 120 << 8, 52, -3, 53, 0) + bytes(4),
        b"shdr": struct.pack("<20sIIIIIBbHH", b"s", 0, len(wave), 100, 4000, RATE, 69, 0, 0, 1) + struct.pack("<20sIIIIIBbHH", b"EOS", *[0] * 9),
    }  # fmt: skip
    body = (
        b"sfbk" + listed(b"INFO", [chunk(b"ifil", struct.pack("<HH", 2, 4))]) + listed(b"sdta", [chunk(b"smpl", pool)])
    )
    return chunk(b"RIFF", body + listed(b"pdta", [chunk(kind, table) for kind, table in tables.items()]))


def test_the_script_makes_a_pack_of_its_two_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [(0, row[0]) for row in make_band_pack.MELODIC.values()] + [
        (128, row[0]) for row in make_band_pack.KITS.values()
    ]
    (tmp_path / "general.sf2").write_bytes(sf2_of(sources))
    folder = tmp_path / "samples"
    folder.mkdir()
    for stem in {stem for _, files in make_band_pack.SAMPLED_KITS.values() for stem in files.values()}:
        soundfile.write(folder / f"{stem}.flac", np.stack([tone(200, 0.1)] * 2, axis=1), RATE)
    make_band_pack.main([str(tmp_path / "general.sf2"), str(folder), str(tmp_path / "band.sf3")])
    assert "31 presets" in capsys.readouterr().out
    made = read_soundfont(tmp_path / "band.sf3")
    assert list(made) == list(read_soundfont(PACK))
    piano = made["Grand Piano"].zones[0]
    assert piano.keys == (36, 84) and piano.generators == {38: -1200, 52: 4} and piano.sample.loop == (100, 4000)
    assert loudest_hz(Sampler(made, RATE).note("Grand Piano", 69, 100, 0.15).wave[0]) == pytest.approx(440, rel=5e-3)
    assert {zone.generators[ROOT_KEY] for zone in made["Club CC0"].zones} == set(
        make_band_pack.SAMPLED_KITS["Club CC0"][1]
    )
    (folder / "bd_haus.flac").unlink()
    with pytest.raises(SystemExit) as stopped:
        make_band_pack.main([str(tmp_path / "general.sf2"), str(folder), str(tmp_path / "band.sf3")])
    assert "bd_haus" in str(stopped.value.code)


# -- scores --

SEEDS = range(4)


@pytest.fixture(scope="module")
def scores() -> dict[str, list[Score]]:
    return {genre: [compose(genre, 108.0, seed, 24) for seed in SEEDS] for genre in CODES}


def test_tables_are_whole() -> None:
    assert set(GENRES) == set(CODES)
    for code, genre in GENRES.items():
        grooves = [pattern for pair in genre.grooves for groove in pair for pattern in groove.values()]
        for pattern in (*grooves, *genre.bass_lines, *genre.comping, *genre.hits, *genre.rhythms):
            assert len(pattern) == 16 and re.fullmatch(r"[\dxXa.\-]+", pattern), (code, pattern)
        for kit in genre.kits:
            assert {role for pair in genre.grooves for groove in pair for role in groove} <= set(kit)
        for each in genre.progressions:
            assert each.mode in SCALES and {quality for _, quality in each.chords} <= set(QUALITIES)
        for form in genre.forms:
            assert all(re.fullmatch("(" + "|".join(SECTIONS) + ")[248]", word) for word in form.split())
    assert progression("minor", "0m7 10 8maj7 7:7#9").chords == ((0, "m7"), (10, ""), (8, "maj7"), (7, "7#9"))


def test_a_score_is_fixed_by_its_seed_and_a_longer_one_begins_the_same() -> None:
    first, longer = compose("gLO", 104.0, 3, 8), compose("gLO", 104.0, 3, 16)
    assert first.digest() == compose("gLO", 104.0, 3, 8).digest() != compose("gLO", 104.0, 4, 8).digest()
    assert longer.bars[:8] == first.bars
    by_name = {part.name: part for part in longer.parts}
    for part in first.parts:
        early = [hit for hit in by_name[part.name].hits if hit.at_s < 7 * first.bar_s]
        assert early == [hit for hit in part.hits if hit.at_s < 7 * first.bar_s], part.name


def test_songs_of_a_genre_differ_in_key_kit_chords_and_form(scores: dict[str, list[Score]]) -> None:
    for songs in scores.values():
        assert len({song.key for song in songs}) >= 3
        assert len({tuple(bar.section for bar in song.bars) for song in songs}) >= 2
        assert len({tuple((bar.root - song.key) % 12 for bar in song.bars) for song in songs}) >= 3
        assert len({song.digest() for song in songs}) == len(songs)
    modes = Counter(song.mode for songs in scores.values() for song in songs)
    assert len(modes) >= 5


def test_sections_differ_in_energy_and_in_who_plays(scores: dict[str, list[Score]]) -> None:
    for songs in scores.values():
        for song in songs:
            energy = np.array([bar.energy for bar in song.bars])
            assert energy.min() >= 0 and energy.max() <= 1 and np.ptp(energy) >= 0.3
            notes = np.zeros(len(song.bars))
            for hit in (hit for part in song.parts for hit in part.hits):
                notes[min(int(hit.at_s / song.bar_s + 0.02), len(notes) - 1)] += hit.force
            assert notes[energy > 0.85].mean() > 1.1 * notes[energy < 0.65].mean()


def test_chords_sound_the_chord_and_lead_into_each_other(scores: dict[str, list[Score]]) -> None:
    for songs in scores.values():
        for song in songs:
            part = next(part for part in song.parts if part.name == "chords")
            for hit in part.hits:
                bar = song.bars[min(int(hit.at_s / song.bar_s + 0.02), len(song.bars) - 1)]
                assert (hit.key - bar.root) % 12 in {tone % 12 for tone in QUALITIES[bar.quality]}
    moved = []
    for root, quality in ((0, "maj7"), (9, "m7"), (2, "m9"), (7, "13"), (5, ""), (4, "m7b5")):
        before = voicing(0, "maj7", 62)
        after = voicing(root, quality, 62, before)
        moved.append(np.mean([min(abs(key - old) for old in before) for key in after]))
        assert abs(np.mean(after) - 62) < 7
    assert np.mean(moved) < 2.5


def test_the_lead_stays_in_the_scale_and_repeats_itself(scores: dict[str, list[Score]]) -> None:
    for songs in scores.values():
        for song in songs:
            hits = next(part for part in song.parts if part.name == "lead").hits
            bars: dict[int, tuple[int, ...]] = {}
            inside = []
            for hit in hits:
                number = int(hit.at_s / song.bar_s + 0.02)
                bar = song.bars[min(number, len(song.bars) - 1)]
                step = round((hit.at_s / song.bar_s - number) * 16 - 0.25)
                bars[number] = (*bars.get(number, ()), step)
                inside.append(
                    (hit.key - song.key) % 12 in SCALES[song.mode]
                    or (hit.key - bar.root) % 12 in {t % 12 for t in QUALITIES[bar.quality]}
                )
            assert all(inside) and len(hits) >= 4
            assert max(Counter(bars.values()).values()) >= 2, "a motif comes back"


# -- sound --


@pytest.fixture(scope="module")
def played() -> dict[str, np.ndarray]:
    """A bar or four of three genres at a low rate."""
    return {genre: play(compose(genre, 120.0, 1, 5), RATE) for genre in ("gHO", "gJB", "gLH")}


def test_level_peak_width_and_presence(played: dict[str, np.ndarray]) -> None:
    for wave in played.values():
        assert wave.dtype == np.float32 and np.isfinite(wave).all()
        assert integrated_lufs(wave, RATE) == pytest.approx(-14, abs=0.7)
        assert np.abs(wave).max() <= CEILING + 1e-4
        middle, side = wave.mean(axis=0), (wave[0] - wave[1]) / 2
        assert -25 < 10 * np.log10(np.mean(side**2) / np.mean(middle**2)) < -3


def test_a_rendered_song_says_what_is_played() -> None:
    rendered = render_song(Song("mLO1"), 4.0, RATE)
    score = compose("gLO", 90.0, Song("mLO1").seed, 2)
    assert rendered.waveform.shape == (2, 4 * RATE)
    assert rendered.key == (score.key, score.mode) and rendered.chords == tuple(
        (bar.root, bar.quality) for bar in score.bars
    )
    assert rendered.energy is not None and rendered.energy.tolist() == [bar.energy for bar in score.bars]
    old = render_song(Song("mLO1"), 4.0, RATE, band="synthesised")
    assert old.energy is None and len(old.chords) == 2 and old.key[1] in ("major", "minor")


def test_kicks_are_on_the_beat() -> None:
    """The onset of every sample is taken off: what is heard lies within a millisecond of the score."""
    played = band_sampler(RATE)
    for preset, key in {kit["kick"] for genre in GENRES.values() for kit in genre.kits}:
        note = played.note(preset, key)
        level = np.abs(note.wave[0])
        assert np.argmax(level >= 0.1 * level.max()) == note.onset
