"""A folder tree as a user of AIST++ has it after two downloads: the official annotations, and videos with their sound.

Made from the embedded data set's dances and songs, so that it can be shipped and prepared in seconds.
"""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float

from d2m.core.aist_names import parse_sequence_name
from d2m.core.music import Music
from d2m.data.synthetic.dances import choreograph
from d2m.data.synthetic.songs import Song, render_song

TRAIN = ("gBR_sBM_cAll_d04_mBR1_ch01", "gBR_sBM_cAll_d05_mBR2_ch01", "gHO_sFM_cAll_d19_mHO1_ch01")
VAL = ("gBR_sBM_cAll_d04_mBR0_ch01",)
TEST = ("gBR_sBM_cAll_d04_mBR0_ch02",)
UNLISTED = ("gHO_sBM_cAll_d20_mHO5_ch03",)
IGNORED = ("gBR_sBM_cAll_d06_mBR3_ch01",)
ALL = (*TRAIN, *VAL, *TEST, *UNLISTED, *IGNORED)
SECONDS = 3.0
SAMPLE_RATE = 48000
_AAC_FRAME = 1024


@dataclass(frozen=True)
class OfficialTree:
    """The two folders of a user.

    Args:
        annotations: `motions`, `splits`, `ignore_list.txt` and folders that aren't needed.
        videos: one mp4 of some camera for each sequence.
    """

    annotations: Path
    videos: Path

    def motion(self, name: str) -> Path:
        """Pickle of a sequence."""
        return self.annotations / "motions" / f"{name}.pkl"

    def video(self, name: str, camera: str = "c01") -> Path:
        """Where the video of a camera lies."""
        return self.videos / f"{name.replace('cAll', camera)}.mp4"


def write_official_tree(root: Path, names: Sequence[str] = ALL, seconds: float = SECONDS) -> OfficialTree:
    """Write annotations and videos of `names`; each is in the lists above that name it.

    Args:
        root: gets `aist_plusplus_final` and `videos`.
        names: sequences to make; other names than those above become part of train.
        seconds: length of motion and video.
    """
    tree = OfficialTree(root / "aist_plusplus_final", root / "videos")
    for folder in ("motions", "splits", "cameras", "keypoints2d", "keypoints3d"):
        (tree.annotations / folder).mkdir(parents=True)
    tree.videos.mkdir()
    (tree.annotations / "cameras" / "mapping.txt").write_text("gBR_sBM_cAll_d04_mBR0_ch01 setting1\n")
    elsewhere = {*VAL, *TEST, *UNLISTED, *IGNORED}
    lists = {"train": [n for n in names if n not in elsewhere or n in IGNORED], "val": VAL, "test": TEST}
    for split, of_split in lists.items():
        lines = [name for name in of_split if name in names]
        (tree.annotations / "splits" / f"crossmodal_{split}.txt").write_text("\n".join(lines) + "\n")
    (tree.annotations / "ignore_list.txt").write_text("\n".join(IGNORED) + "\n")
    for number, name in enumerate(names):
        music = _write_motion(tree.motion(name), name, number, seconds)
        write_mp4(tree.video(name), music, seconds)
    return tree


def _write_motion(path: Path, name: str, seed: int, seconds: float) -> Music:
    """Dance to the song in the name; returns the song."""
    parts = parse_sequence_name(name)
    assert parts is not None
    song = render_song(Song(parts.song), seconds)
    dance = choreograph(parts.genre, song.beats_s, 0, seconds, int(parts.dancer[1:]), seed)
    scaling = np.full(1, 93.7)  # AIST++'s motions are in centimetres
    content = {
        "smpl_loss": np.zeros(1), "smpl_poses": dance.poses.astype(np.float64), "smpl_scaling": scaling,
        "smpl_trans": dance.trans.astype(np.float64) * scaling,
    }  # fmt: skip
    path.write_bytes(pickle.dumps(content))
    return Music(song.waveform, song.sample_rate)


def write_mp4(
    path: Path,
    music: Music | None,
    seconds: float,
    fps: int = 60,
    late_sound_s: float = 0.0,
    late_picture_s: float = 0.0,
    moov_first: bool = True,
) -> Path:
    """Write an mp4 of 64 × 64 pictures (h264) with sound (aac, 48 kHz stereo), interleaved as players like it.

    Args:
        path: to write.
        music: cut to `seconds` after resampling; None for a silent film.
        seconds: of pictures and sound.
        fps: pictures a second.
        late_sound_s: how much later than time 0 the sound begins.
        late_picture_s: how much later than time 0 the pictures begin.
        moov_first: the index stands in front, so that a file that is cut off can still be opened.
    """
    options = {"movflags": "faststart"} if moov_first else {}
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "35", "preset": "veryfast"})
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo") if music else None
        packets = list(_picture_packets(video, round(seconds * fps), fps, late_picture_s))
        if music is not None:
            wave = music.resampled(SAMPLE_RATE).waveform[:, : round(seconds * SAMPLE_RATE)]
            packets += list(_sound_packets(sound, np.broadcast_to(wave, (2, wave.shape[1])), late_sound_s))
        container.mux(sorted(packets, key=lambda packet: float(packet.dts * packet.time_base)))
    return path


def _picture_packets(stream: av.VideoStream, count: int, fps: int, late_s: float) -> Iterable[av.Packet]:
    for number in range(count):
        picture = np.full((64, 64, 3), number % 256, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number + round(late_s * fps), Fraction(1, fps)
        yield from stream.encode(frame)
    yield from stream.encode()


def _sound_packets(stream: av.AudioStream, wave: Float[np.ndarray, "2 sample"], late_s: float) -> Iterable[av.Packet]:
    for start in range(0, wave.shape[1], _AAC_FRAME):
        part = np.ascontiguousarray(wave[:, start : start + _AAC_FRAME], dtype=np.float32).clip(-1, 1)
        frame = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
        frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
        frame.pts = start + round(late_s * SAMPLE_RATE)
        yield from stream.encode(frame)
    yield from stream.encode()
