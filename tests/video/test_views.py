"""What systems are shown of a dance: landmarks of a film or a skeleton, small pictures; from the file to the music."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from tests_support_codec import write_tokens
from tests_support_films import decoded, write_film
from tests_support_motion import swinging_features
from tests_support_sounding import NAMES, write_sounding
from tests_support_video import L, landmarks_of

from d2m.audio.codec import load_codec
from d2m.clip_pipeline import ClipRequest, make_clip
from d2m.core.checkpoint import load_checkpoint
from d2m.core.errors import BadConfig, BadInput
from d2m.data.datamodule import TokenWindows, WaveformWindows
from d2m.data.layout import DataSetLayout, load_dance
from d2m.models.encoders import TemporalEncoder
from d2m.models.modality_readers import LANDMARK_CHANNELS, LandmarkAugmentation, LandmarkReader, landmark_channels
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music, generate_all
from d2m.training.run import fit
from d2m.video.modality import modality_of, seen_landmarks, skeleton_landmarks
from d2m.video.video_dance import dance_of_landmarks

CONFIGS = str(Path(__file__).parents[2] / "configs")


def dance(frames: int = 240) -> Dance:
    return Dance(swinging_features(frames).numpy(), "swinging")


def reader(**settings) -> LandmarkReader:
    torch.manual_seed(0)
    encoder = TemporalEncoder(16, [1, 2], attention_blocks=0, dropout=0.0, inputs=LANDMARK_CHANNELS)
    return LandmarkReader(encoder, **settings).eval()


def test_a_motion_has_the_landmarks_of_its_skeleton() -> None:
    shown = modality_of(dance(), "landmarks")
    assert shown.shape == (240, 33, 3) and shown.dtype == np.float32
    assert np.abs(shown[:, [L["left_hip"], L["right_hip"]]].mean(axis=1)).max() < 1e-6
    assert (shown[:, L["nose"], 1] > 0.4).all() and (shown[:, L["left_heel"], 1] < -0.5).all()
    moved = dance().features + np.eye(219, dtype=np.float32)[0] * 3.0
    np.testing.assert_allclose(skeleton_landmarks(moved), shown, atol=1e-5)  # wherever it is danced


def test_a_film_has_the_landmarks_that_were_seen() -> None:
    truth = modality_of(dance(), "landmarks")
    exact = dance_of_landmarks(landmarks_of(dance().features), "film")
    assert exact.landmarks is not None and len(exact.landmarks) == len(exact.features)
    assert np.abs(modality_of(exact, "landmarks") - truth).mean() < 0.005
    noisy = seen_landmarks(landmarks_of(dance().features, noise_m=0.02, dropped=0.1), 250)
    assert noisy.shape == (250, 33, 3) and np.array_equal(noisy[240], noisy[249])
    assert np.abs(noisy[:240] - truth).mean() < 0.0125  # 2 cm of noise have a mean size of 1.6 cm
    assert np.abs(noisy[:, [L["left_hip"], L["right_hip"]]].mean(axis=1)).max() < 1e-6


def test_pictures_must_be_brought() -> None:
    pictures = np.full((60, 8, 8), 255, np.uint8)
    assert np.array_equal(modality_of(replace(dance(), pictures=pictures), "frames"), np.ones((60, 8, 8), np.float32))
    with pytest.raises(
        BadInput, match="swinging: found motion only, but this checkpoint looks at pictures; give a video"
    ):
        modality_of(dance(), "frames")


def test_the_reader_sees_places_and_speeds() -> None:
    still = torch.from_numpy(modality_of(dance(), "landmarks"))[None, :1].expand(-1, 120, -1, -1).clone()
    still[:, :, L["left_wrist"], 0] = torch.arange(120) / 60 * 2.0  # two metres a second
    shown = landmark_channels(still)
    wrist = L["left_wrist"] - 1
    assert shown.shape == (1, 256, 120)
    assert torch.allclose(shown[0, 3 * wrist], still[0, :, L["left_wrist"], 0] / 0.5, atol=1e-5)
    assert torch.allclose(shown[0, 96 + 3 * wrist], torch.tensor(2.0), atol=1e-3)
    assert torch.allclose(shown[0, 192 + wrist], torch.tensor(2.0), atol=1e-3) and shown[0, 224:].abs().max() < 1e-2
    with_nose = still.clone()
    with_nose[:, :, L["nose"]] += 1
    assert torch.equal(landmark_channels(with_nose), shown)  # the published system leaves it out


def test_a_move_is_read_when_it_happens() -> None:
    body = torch.from_numpy(modality_of(dance(), "landmarks"))[None, :1].expand(-1, 240, -1, -1).clone()
    body[:, 120:, L["left_elbow"] : L["right_thumb"], 1] += 0.4
    for rate in (43.07, 50.0, 75.0):
        read = reader()(body, int(4 * rate), rate)
        assert read.cond.shape == (1, 18, int(4 * rate)) and read.genre_logits.shape == (1, 10)
        step = read.cond.diff(dim=-1).abs().sum(dim=1)[0]
        assert abs((int(step.argmax()) + 1) / rate - 2.0) < 0.15


def test_augmentation_turns_scales_and_trembles_in_training_only() -> None:
    body = torch.from_numpy(modality_of(dance(), "landmarks"))[None]
    turned = LandmarkAugmentation(scale=0.0, jitter_m=0.0).changed(body)
    assert torch.allclose(turned[..., 1], body[..., 1], atol=1e-6) and not torch.allclose(turned, body, atol=1e-2)
    assert torch.allclose(turned.norm(dim=-1), body.norm(dim=-1), atol=1e-5)
    larger = LandmarkAugmentation(yaw=False, scale=0.5, jitter_m=0.0).changed(body)
    ratio = larger.norm(dim=-1) / body.norm(dim=-1)
    assert ratio.std() < 1e-4 and 0.5 <= float(ratio.mean()) <= 1.5 and abs(float(ratio.mean()) - 1) > 1e-3
    trembling = LandmarkAugmentation(yaw=False, scale=0.0, jitter_m=0.01).changed(body) - body
    assert 0 < trembling.std() < 0.02 and trembling.diff(dim=1).std() < trembling.std()
    augmented = reader(augmentation=LandmarkAugmentation())
    assert torch.equal(augmented(body, 50, 50).cond, augmented(body, 50, 50).cond)
    augmented.train()
    assert not torch.equal(augmented(body, 50, 50).cond, augmented(body, 50, 50).cond)


def test_an_encoder_of_other_inputs_is_refused() -> None:
    with pytest.raises(
        BadConfig, match=r"reader\.encoder\.inputs=339: landmarks have 256 channels; set inputs to that"
    ):
        LandmarkReader(TemporalEncoder(16, [1]))


def config_of(experiment: str, root: Path, out: Path, *more: str):
    tiny = [
        f"experiment={experiment}", f"data.root={root}", f"out={out}", "trainer.max_steps=2", "trainer.val_check_interval=2",
        "trainer.log_every_n_steps=1", "trainer.precision=32-true", "trainer.accelerator=cpu",
        "+trainer.enable_progress_bar=false", "data.batch_size=2", "++data.steps_per_epoch=2",
    ]  # fmt: skip
    with initialize_config_dir(CONFIGS, version_base="1.3"):
        return compose("train", [*tiny, *more])


TINY_TRANSFORMER = [
    "system.reader.encoder.channels=16", "system.reader.encoder.dilations=[1,2]", "system.reader.encoder.attention_blocks=0",
    "system.decoder.cond_channels=18", "system.decoder.features=16", "system.decoder.layers=1", "system.decoder.heads=2",
]  # fmt: skip
TINY_WAVENET = [
    "system.reader.channels=16", "system.reader.stages=2", "system.reader.dilations=[1,2]", "system.network.cond_channels=18",
    "system.network.channels=8", "system.network.skip=8", "system.network.dilations=[1,2,4]", "system.network.stacks=1",
    "system.network.hop_samples=80", "system.sample_rate=4000", "system.window_seconds=2", "system.network_rows=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> DataSetLayout:
    """Three dances with tokens of the shipped codec; the second has a film's landmarks, whose dancer stands on one leg."""
    layout = DataSetLayout(tmp_path_factory.mktemp("tokens") / "data")
    for number, name in enumerate(write_tokens(layout.root, seconds=6.5, facts=load_codec("demo").facts)):
        features = swinging_features(round((6.5 + number) * 60), seconds_late=number).numpy()
        np.save(layout.features(name), features)
        (layout.root / "motions").mkdir(exist_ok=True)
        np.save(layout.root / "motions" / f"{name}.npy", features)
        if number == 1:
            seen = landmarks_of(features)
            seen.world[:, L["left_ankle"], 1] -= 0.3
            seen.save(layout.landmarks(name))
    return layout


@pytest.fixture(scope="module")
def transformer(tokens: DataSetLayout, tmp_path_factory: pytest.TempPathFactory) -> Dance2Music:
    out = tmp_path_factory.mktemp("landmarks") / "run"
    fit(config_of("codec_transformer_landmarks", tokens.root, out, *TINY_TRANSFORMER))
    return Dance2Music.load(out / "checkpoints" / "last.ckpt")


def test_windows_bring_the_landmarks_of_their_motion(tokens: DataSetLayout) -> None:
    data = TokenWindows(str(tokens.root), batch_size=3, landmarks=True)
    data.setup()
    for number in range(12):
        row = data.train[number]
        body, skeleton = row["landmarks"], skeleton_landmarks(row["features"].numpy())
        raised = np.abs(body.numpy() - skeleton)[:, L["left_ankle"], 1].mean()
        if row["name"] == data.train.clips[1].name:
            assert 0.2 < raised < 0.4  # the film's
            body[:, L["left_ankle"]] = torch.from_numpy(skeleton[:, L["left_ankle"]])
        assert np.abs(body.numpy() - skeleton).mean() < 0.01
    plain = TokenWindows(str(tokens.root), batch_size=3)
    plain.setup()
    assert "landmarks" not in plain.train[0]


def test_a_transformer_of_landmarks_by_fit_and_facade(transformer: Dance2Music, tokens: DataSetLayout) -> None:
    assert transformer.music_generator.modality == "landmarks" and type(transformer.system.reader) is LandmarkReader
    name = tokens.names("train")[1]
    film, skeleton = load_dance(tokens.root / "motions" / f"{name}.npy", "landmarks"), dance(240)
    assert film.landmarks is not None and load_dance(tokens.root / "motions" / f"{name}.npy").landmarks is None
    first, record = transformer.generate(skeleton, seed=1)
    assert first.waveform.shape == (2, round(240 * 44100 / 60)) and record.settings["temperature"] == 1.0
    stretched = replace(skeleton, landmarks=modality_of(skeleton, "landmarks") * 3)
    assert not np.array_equal(transformer(stretched, seed=1).waveform, first.waveform)
    same = replace(skeleton, landmarks=modality_of(skeleton, "landmarks"))
    np.testing.assert_array_equal(transformer(same, seed=1).waveform, first.waveform)
    slower, record = transformer.generate(skeleton, seed=1, tempo_bpm=90)
    assert record.tempo_asked_bpm == 90 and slower.waveform.shape == first.waveform.shape


def test_a_film_is_shown_to_it_as_seen(
    transformer: Dance2Music, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_film(tmp_path / "film.mp4")
    times_s, _ = decoded(source)
    seen = replace(landmarks_of(dance(120).features, size=(160, 96)), times_s=times_s)
    seen.save(tmp_path / "seen.npz")
    shown = []
    generate_as_it_is = transformer.music_generator.generate
    monkeypatch.setattr(
        transformer.music_generator,
        "generate",
        lambda request: (shown.append(request.motion), generate_as_it_is(request))[1],
    )
    clip = make_clip(ClipRequest(source, landmarks=tmp_path / "seen.npz"), transformer)
    assert clip.takes[0].music.seconds == pytest.approx(clip.dance.seconds, abs=1e-3)
    np.testing.assert_allclose(shown[0].numpy(), seen_landmarks(seen, len(clip.dance.features)), atol=1e-6)


def test_data_without_what_is_read(tokens: DataSetLayout, tmp_path: Path) -> None:
    config = config_of("codec_transformer_landmarks", tokens.root, tmp_path, *TINY_TRANSFORMER, "data.landmarks=false")
    with pytest.raises(
        BadConfig, match=r"data\.landmarks=false: this system reads landmarks; set data\.landmarks=true"
    ):
        fit(config)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> DataSetLayout:
    """Three sounding dances with small pictures, as scripts/prepare.py dataset=videos leaves them."""
    layout = write_sounding(tmp_path_factory.mktemp("films") / "data")
    (layout.root / "motions").mkdir()
    for number, name in enumerate(NAMES):
        np.save(layout.root / "motions" / f"{name}.npy", np.load(layout.features(name)))
        pictures = np.random.default_rng(number).integers(0, 256, (15 * (3 + number), 16, 16), np.uint8)
        np.save(layout.pictures(name), pictures)
    (layout.root / "frames" / "manifest.json").write_text(json.dumps({"size": 16, "fps": 15}))
    return layout


@pytest.fixture(scope="module")
def wavenet(films: DataSetLayout, tmp_path_factory: pytest.TempPathFactory) -> Dance2Music:
    out = tmp_path_factory.mktemp("pictures") / "run"
    fit(config_of("wavenet_frames", films.root, out, *TINY_WAVENET))
    return Dance2Music.load(out / "checkpoints" / "last.ckpt")


def test_a_wavenet_of_pictures_by_fit_and_facade(wavenet: Dance2Music, films: DataSetLayout, tmp_path: Path) -> None:
    assert (wavenet.music_generator.modality, wavenet.music_generator.picture_size) == ("frames", 16)
    assert load_checkpoint(wavenet.checkpoint.path).config["picture_size"] == 16
    motion = films.root / "motions" / f"{NAMES[1]}.npy"
    elsewhere = shutil.copy(motion, tmp_path / "elsewhere.npy")
    made = generate_all(wavenet, [motion, Path(elsewhere)], tmp_path / "music")
    assert list(made.wavs) == [motion] and "elsewhere: found motion only" in made.failed[Path(elsewhere)]
    seen = load_dance(motion, "frames")
    first = wavenet(seen, seed=1)
    assert seen.pictures is not None and first.waveform.shape == (1, round(len(seen.features) * 4000 / 60))
    other = wavenet(replace(seen, pictures=255 - seen.pictures), seed=1)
    assert not np.array_equal(other.waveform, first.waveform)
    record = wavenet.generate(seen, tempo_bpm=61)[1]
    assert record.beats is not None and record.beats["bpm"] == 61 == record.tempo_asked_bpm


def test_a_films_pictures_are_shown_to_it(wavenet: Dance2Music, tmp_path: Path) -> None:
    source = write_film(tmp_path / "film.mp4")
    times_s, _ = decoded(source)
    replace(landmarks_of(dance(120).features, size=(160, 96)), times_s=times_s).save(tmp_path / "seen.npz")
    clip = make_clip(ClipRequest(source, landmarks=tmp_path / "seen.npz"), wavenet)
    assert clip.dance.pictures is not None and clip.dance.pictures.shape == (30, 16, 16)
    assert 95 < clip.dance.pictures[0, 0, 0] < 115 and clip.dance.pictures[0, -1, -1] < 10  # the bright corner
    assert clip.takes[0].music.seconds == pytest.approx(clip.dance.seconds, abs=1e-3)


def test_any_reader_is_one_override(films: DataSetLayout, tmp_path: Path) -> None:
    tiny = ["system.reader.encoder.channels=16", "system.reader.encoder.dilations=[1,2]", *TINY_WAVENET[3:]]
    fit(config_of("wavenet", films.root, tmp_path, "reader@system.reader=landmarks", "+data.landmarks=true", *tiny))
    model = Dance2Music.load(tmp_path / "checkpoints" / "last.ckpt")
    assert model.music_generator.modality == "landmarks" and model(dance(90)).waveform.shape == (1, 6000)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ('{"size": 16, "fps": 30}', r"found fps 30, expected 15; prepare the data set with dataset\.frames\.fps=15"),
        ("{", r"manifest\.json: not found or damaged, expected what scripts/prepare\.py notes"),
        (None, r"manifest\.json: not found or damaged"),
    ],
)
def test_pictures_of_another_rate(films: DataSetLayout, tmp_path: Path, manifest: str | None, said: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(films.root, root)
    noted = root / "frames" / "manifest.json"
    noted.unlink() if manifest is None else noted.write_text(manifest)
    with pytest.raises(BadConfig, match=said):
        WaveformWindows(str(root), 4000, 2, frames=True).setup()
