"""Textual inversion on a tiny random MusicGen that reacts to what it is told."""

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from d2m.core.checkpoint import save_checkpoint
from d2m.core.errors import BadConfig
from d2m.models.encoders import TemporalEncoder
from d2m.models.motion_reader import MotionReader
from d2m.models.musicgen import FrozenMusicGen, SamplingSettings, Window, sampled_codes, windows_of
from d2m.models.pseudo_words import PseudoWords, PublishedWords, WindowedWords, WordEncoder
from d2m.models.token_decoder import delayed, shifted_right, undelayed
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid, beat_curve
from d2m.systems.interface import GenerationRequest, MusicGenerator
from d2m.systems.textual_inversion import PromptedGenerator, TextualInversion
from d2m.training.run import fit

WINDOW_S = 1.2
VARIANTS = ("published", "ours")
TEMPI_BPM, GENRES = (100.0, 180.0, 100.0, 180.0), (0, 0, 3, 3)
"""Four clips of which neither the rhythm alone nor the genre alone says which one it is."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from tests_support_musicgen import write_musicgen

    return write_musicgen(tmp_path_factory.mktemp("musicgen"))


@pytest.fixture(scope="session")
def music(folder: Path) -> FrozenMusicGen:
    from tests_support_musicgen import WIDTH

    return FrozenMusicGen.load(str(folder), WIDTH)


def word_encoder(variant: str, width: int = 32) -> WordEncoder:
    if variant == "published":
        return PublishedWords(width, 32, 1, 2, 0.0, WINDOW_S)
    return WindowedWords(width, 16, 32, 0.4, 50, WINDOW_S, 0.4)


def system_of(variant: str, folder: Path | str, width: int = 32, **settings) -> TextualInversion:
    torch.manual_seed(0)
    reader = MotionReader(TemporalEncoder(16, [1, 2], 1, 2, 0.0))
    system = TextualInversion(str(folder), reader, word_encoder(variant, width), **settings)
    return system


def train_config(*overrides: str) -> DictConfig:
    configs = str(Path(__file__).parents[2] / "configs")
    with initialize_config_dir(configs, version_base="1.3"):
        return compose("train", ["experiment=textual_inversion", *overrides])


def four_clips() -> dict[str, torch.Tensor]:
    from tests_support_musicgen import dances, sounds

    return {"features": dances(WINDOW_S, TEMPI_BPM), "waveform": sounds(WINDOW_S), "genre": torch.tensor(GENRES)}


def spoken(music: FrozenMusicGen, seed: int, rows: int = 1, words: int = 3):
    generator = torch.Generator().manual_seed(seed)
    rhythm, genre = (torch.randn(rows, n, music.width, generator=generator) for n in (words, 1))
    return music.condition(music.prompt("a @ music with * as the rhythm"), PseudoWords(rhythm, genre))


# The delay pattern and the loss


def test_delay_pattern_keeps_every_token() -> None:
    codes = torch.arange(1, 31).view(1, 3, 10)
    laid = delayed(codes, 0)
    assert laid.shape == (1, 3, 12)
    assert torch.equal(laid[laid != 0], codes.flatten())
    assert laid[0, :, 2].tolist() == [3, 12, 21]  # codebook k of a frame stands k steps later
    assert torch.equal(undelayed(laid), codes)
    assert torch.equal(shifted_right(laid, 99)[..., 1:], laid[..., :-1])
    assert (shifted_right(laid, 99)[..., 0] == 99).all()


def test_loss_is_the_librarys_and_counts_the_last_tokens(music: FrozenMusicGen) -> None:
    codes = torch.randint(0, 64, (2, 2, 12), generator=torch.Generator().manual_seed(0))
    words = PseudoWords(torch.randn(2, 3, 32), torch.randn(2, 1, 32))
    prompt = music.prompt("@ *")
    ours = music.loss(music.condition(prompt, words), codes)
    embeddings = prompt.embedded(music.model.text_encoder.get_input_embeddings(), words, music.word_size)
    labels = delayed(codes, music.pad).transpose(1, 2)
    theirs = music.model(inputs_embeds=embeddings, attention_mask=torch.ones(embeddings.shape[:2]), labels=labels).loss
    torch.testing.assert_close(ours, theirs)
    other = codes.clone()
    other[:, 1, -1] = (other[:, 1, -1] + 1) % 64  # the very last token of the last codebook
    assert abs(float(music.loss(music.condition(prompt, words), other)) - float(ours)) > 1e-4


# MusicGen as it is


def test_the_condition_changes_what_is_generated(music: FrozenMusicGen) -> None:
    greedy = SamplingSettings(top_k=1)
    made = [sampled_codes(music, spoken(music, seed), 20, greedy, torch.Generator()) for seed in (1, 2)]
    assert (made[0] != made[1]).float().mean() > 0.3


def test_greedy_codes_are_those_of_the_librarys_generate(music: FrozenMusicGen) -> None:
    generator = torch.Generator().manual_seed(3)
    words = PseudoWords(torch.randn(2, 3, 32, generator=generator), torch.randn(2, 1, 32, generator=generator))
    prompt = music.prompt("a @ music with * as the rhythm")
    condition = music.condition(prompt, words)
    ours = music.waveform(sampled_codes(music, condition, 20, SamplingSettings(top_k=1), torch.Generator()))
    embeddings = prompt.embedded(music.model.text_encoder.get_input_embeddings(), words, music.word_size)
    theirs = music.model.generate(
        inputs_embeds=embeddings, attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.long),
        guidance_scale=3.0, do_sample=False, max_new_tokens=20 + music.codebooks - 1,
    )  # fmt: skip
    torch.testing.assert_close(ours, theirs)


def test_each_row_of_a_batch_has_its_own_condition(music: FrozenMusicGen) -> None:
    greedy, both = SamplingSettings(top_k=1), spoken(music, 4, rows=2)
    together = sampled_codes(music, both, 15, greedy, torch.Generator())
    assert not torch.equal(together[0], together[1])
    for row in range(2):
        alone = type(both)(both.hidden[row : row + 1], both.mask[row : row + 1])
        assert torch.equal(sampled_codes(music, alone, 15, greedy, torch.Generator())[0], together[row])


def test_a_continuation_keeps_its_prefix_and_goes_on_as_the_whole_would(music: FrozenMusicGen) -> None:
    greedy, condition = SamplingSettings(top_k=1), spoken(music, 5)
    whole = sampled_codes(music, condition, 20, greedy, torch.Generator())
    prefix = whole[..., :8]
    assert torch.equal(sampled_codes(music, condition, 20, greedy, torch.Generator(), prefix), whole)
    other = (prefix + 1) % 64
    assert torch.equal(sampled_codes(music, condition, 20, greedy, torch.Generator(), other)[..., :8], other)


def test_long_codes_are_decoded_in_stretches(music: FrozenMusicGen, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = torch.randint(0, 64, (1, 2, 230), generator=torch.Generator().manual_seed(0))
    whole = music.waveform(codes)
    monkeypatch.setattr("d2m.models.musicgen.DECODED_SECONDS", 2)
    monkeypatch.setattr("d2m.models.musicgen.DECODED_MARGIN_SECONDS", 0.4)
    pieces = music.waveform(codes)
    assert pieces.shape == whole.shape == (1, 1, 230 * music.hop_samples)
    error = (pieces - whole).abs().mean() / whole.abs().mean()
    assert error < 0.05, error


def test_windows_cover_every_frame_once() -> None:
    windows = windows_of(23, 10, 4)
    assert windows == [Window(0, 10, 0), Window(6, 10, 4), Window(12, 10, 4), Window(18, 5, 4)]
    assert windows_of(3, 10, 4) == [Window(0, 3, 0)] and windows_of(10, 10, 4) == [Window(0, 10, 0)]
    assert sum(w.frames - w.known for w in windows_of(997, 60, 20)) == 997
    with pytest.raises(BadConfig, match="leave nothing to make"):
        windows_of(20, 10, 10)


# Training


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_reach_only_the_encoders_and_only_they_are_kept(
    variant: str, folder: Path, music: FrozenMusicGen
) -> None:
    system = system_of(variant, folder, predicted_genre=0.0)
    system.setup("fit")
    system.train()
    system.compute_losses(four_clips(), training=True)["tokens"].backward()
    for name, weight in system.words.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name
    learns = any(weight.grad is not None for weight in system.reader.encoder.parameters())
    assert learns == (variant == "ours")  # the published words do not look at what the reader sees
    frozen = system.music.model
    assert not frozen.training and all(not w.requires_grad and w.grad is None for w in frozen.parameters())
    assert all(name.startswith(("reader.", "words.")) for name in system.state_dict())
    held = {id(weight) for weight in frozen.parameters()}
    assert not held & {id(weight) for weight in system.parameters()}


@pytest.fixture(scope="session", params=VARIANTS)
def overfitted(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[TextualInversion, float]]:
    """A system trained on four clips, and the loss that it began with."""
    system, batch = system_of(request.param, folder, prompt_dropout=0.1, predicted_genre=0.0), four_clips()
    system.reader.fit(list(batch["features"].numpy()))
    optimizer = torch.optim.AdamW(system.parameters(), lr=6e-3)
    first = None
    for _ in range(60):
        parts = system.compute_losses(batch, training=True)
        first = float(parts["tokens"].detach()) if first is None else first
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
    yield system.eval().requires_grad_(False), first or 0.0


def test_four_clips_are_overfitted_by_what_each_dance_says(overfitted: tuple[TextualInversion, float]) -> None:
    system, first = overfitted
    batch = four_clips()

    def loss(dance: list[int], genre: list[int]) -> float:
        told = {**batch, "features": batch["features"][dance], "genre": batch["genre"][genre]}
        return float(system.compute_losses(told, training=False)["tokens"])

    own = [0, 1, 2, 3]
    right = loss(own, own)
    assert right < 0.5 * first
    assert loss([1, 0, 3, 2], own) > right + 0.5, "another dance's rhythm did no harm: it is not used"
    assert loss(own, [2, 3, 0, 1]) > right + 0.3, "another genre did no harm: it is not used"


# Generation


def test_any_length_comes_out_exactly_seeded_and_with_progress(overfitted: tuple[TextualInversion, float]) -> None:
    system, _ = overfitted
    music_generator = PromptedGenerator(system, {})
    assert isinstance(music_generator, MusicGenerator) and music_generator.sample_rate == 1600
    from tests_support_musicgen import dances

    seen: list[int] = []

    def progress(steps):
        seen.append(len(steps))
        return steps

    features, samples = dances(2.9, [100.0])[0], 4637  # 2.9 s, not a whole frame
    made = [
        music_generator.generate(GenerationRequest(features, 3, samples, seed, {"top_k": 20}, progress))
        for seed in (0, 0, 1)
    ]
    waves = [one.waveform for one in made]
    assert all(wave.shape == (1, samples) and wave.isfinite().all() for wave in waves)
    assert torch.equal(waves[0], waves[1]) and not torch.equal(waves[0], waves[2])
    assert made[0].settings == {
        "prompt": "a @ music with * as the rhythm", "guidance": 3.0, "top_k": 20, "temperature": 1.0,
    }  # fmt: skip
    together = 1 if system.words.fixed_window else 4  # windows that stand alone are made at once
    assert seen == [together] * 3


def test_the_beats_that_are_given_are_what_the_words_say(
    overfitted: tuple[TextualInversion, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    system, _ = overfitted
    music_generator, reads = PromptedGenerator(system, {}), []
    from tests_support_musicgen import dances

    own = system.condition
    monkeypatch.setattr(system, "condition", lambda motion, read, *rest: reads.append(read) or own(motion, read, *rest))
    grid = BeatGrid.regular(131, 0.1, 3)
    music_generator.generate(GenerationRequest(dances(2.9, [100.0])[0], 3, 4637, beats=grid))
    if not system.words.reads_rhythm:  # the published encoders hear the motion's own rhythm curve alone
        assert music_generator.read(dances(2.9, [100.0])[0]) is None
        return
    rate, end_s = system.words.frame_rate, 0.0
    for read in reads:
        beats = read.cond[0, -2]
        at_s = (torch.arange(len(beats)) + 0.5) / rate
        starts = [one for one in np.arange(0, 3, 1 / system.music.frame_rate) if np.allclose(beats, beat_curve(grid.beats_s - one, len(beats), rate), atol=1e-5)]  # fmt: skip
        assert starts and torch.allclose(read.rhythm_logits[0, 0].sigmoid(), beats, atol=1e-3)
        end_s = max(end_s, starts[0] + float(at_s[-1]))
    assert end_s > 2.8


def test_free_text_genre_and_dance_change_the_music(overfitted: tuple[TextualInversion, float]) -> None:
    system, _ = overfitted
    music_generator = PromptedGenerator(system, {})
    from tests_support_musicgen import dances

    def codes(bpm: float, genre: int, prompt: str) -> torch.Tensor:
        settings = {"prompt": prompt, "top_k": 1}
        request = GenerationRequest(dances(WINDOW_S, [bpm])[0], genre, 1920, 0, settings)
        return music_generator.generate(request).waveform

    plain = "a @ music with * as the rhythm"
    base = codes(100.0, 0, plain)
    others = [codes(180.0, 0, plain), codes(100.0, 3, plain), codes(100.0, 0, f"{plain} , played on marimba")]
    assert all(not torch.equal(base, other) for other in others)


def test_a_still_dancer_and_a_short_dance_have_music_too(overfitted: tuple[TextualInversion, float]) -> None:
    system, _ = overfitted
    music_generator = PromptedGenerator(system, {})
    from tests_support_musicgen import dances

    still = dances(1.0, [100.0])[0, :1].expand(60, 219).clone()
    made = music_generator.generate(GenerationRequest(still, None, 1600))
    assert made.waveform.shape == (1, 1600) and made.waveform.isfinite().all()
    assert float(made.genre_probabilities.sum()) == pytest.approx(1, abs=1e-5)
    assert made.genre == int(made.genre_probabilities.argmax())


def test_beats_are_read_where_rhythm_was_learned(overfitted: tuple[TextualInversion, float]) -> None:
    from tests_support_musicgen import dances

    system, _ = overfitted
    music_generator, features = PromptedGenerator(system, {}), dances(3.1, [100.0])[0]
    if system.words.reads_rhythm:
        assert 50 <= music_generator.read(features).beats.grid.bpm <= 220
        activation = system.read_in_windows(features)[1]
        assert len(activation) == round(3.1 * 50)
    else:
        assert music_generator.read(features) is None


def test_more_words_for_a_longer_clip() -> None:
    from tests_support_musicgen import dances

    reader, words = MotionReader(TemporalEncoder(16, [1, 2], 1, 2, 0.0)), word_encoder("ours")
    for seconds, expected in ((0.3, 1), (1.2, 3), (1.3, 4), (4.0, 10)):
        features = dances(seconds, [120.0])
        made = words(features, reader(features, round(seconds * 50), 50), torch.eye(10)[:1])
        assert made.rhythm.shape == (1, expected, 32) and made.genre.shape == (1, 1, 32)


# What is refused


def test_absent_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest, **more):
        if name.split(".")[0] == "transformers":
            raise ImportError("No module named 'transformers'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(
        BadConfig, match=r'transformers, which is not installed; run pip install -e "\.\[musicgen\]"\.$'
    ):
        PromptedGenerator(system_of("ours", "facebook/musicgen-small"), {})


def test_another_text_width_is_one_sentence(folder: Path) -> None:
    with pytest.raises(
        BadConfig, match="has 32 features a word, but these pseudo-words have 48; use the MusicGen that"
    ):
        PromptedGenerator(system_of("ours", folder, width=48), {})


def test_another_kind_of_model_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from d2m.audio.torchaudio_cpu import ensure_torchaudio

    ensure_torchaudio()
    from transformers import T5Config

    T5Config(d_model=16).save_pretrained(tmp_path)
    with pytest.raises(BadConfig, match="found a model of type 't5', expected 'musicgen'"):
        FrozenMusicGen.load(str(tmp_path), 32)


def test_folders_that_hold_no_musicgen_are_one_sentence(tmp_path: Path, folder: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(BadConfig, match=r"the folder has no config\.json"):
        FrozenMusicGen.load(str(tmp_path), 32)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(BadConfig, match="the folder is no readable MusicGen") as error:
        FrozenMusicGen.load(str(tmp_path), 32)
    assert "\n" not in str(error.value)


def test_an_absent_model_without_a_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in (str(tmp_path / "absent"), "nobody/no-such-musicgen"):
        with pytest.raises(BadConfig, match="no such folder, and not to be had from the hub either") as error:
            FrozenMusicGen.load(name, 32)
        assert "\n" not in str(error.value)


def test_stereo_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests_support_musicgen import write_musicgen

    with pytest.raises(BadConfig, match="makes stereo sound, expected mono"):
        FrozenMusicGen.load(str(write_musicgen(tmp_path, audio_channels=2)), 32)


def test_a_bad_prompt_is_refused_before_anything_is_read() -> None:
    with pytest.raises(BadConfig, match="found no @ for the genre"):
        system_of("ours", "facebook/musicgen-small", prompt="music with *")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompt": "a song"}, "found no @"),
        ({"guidance": -1}, "guidance=-1: expected a number greater than 0"),
        ({"temperature": 0}, "temperature=0: expected a number greater than 0"),
        ({"top_k": 0}, "top_k=0: expected a whole number of at least 1"),
        ({"top_k": "many"}, "top_k=many: expected a whole number"),
    ],
)
def test_settings_that_mean_nothing_are_one_sentence(folder: Path, settings: dict, said: str) -> None:
    music_generator = PromptedGenerator(system_of("ours", folder), {})
    with pytest.raises(BadConfig, match=said):
        music_generator.generate(GenerationRequest(torch.zeros(60, 219), 0, 1600, 0, settings))


def test_no_autoencoder_can_be_chosen(folder: Path) -> None:
    with pytest.raises(BadConfig, match="autoencoder=demo: textual inversion makes its sound without one"):
        PromptedGenerator(system_of("ours", folder), {}, "demo")


def test_data_that_does_not_fit_is_one_sentence(folder: Path) -> None:
    batch = four_clips()
    with pytest.raises(BadConfig, match=r"are 800 Hz, but MusicGen hears 1600 Hz; set data\.sample_rate=1600"):
        system_of("ours", folder).compute_losses({**batch, "waveform": batch["waveform"][..., ::2]}, training=False)
    short = {**batch, "features": batch["features"][:, :60], "waveform": batch["waveform"][..., :1600]}
    with pytest.raises(BadConfig, match=r"windows of 1\.00 s, but these encoders tell 1\.2 s"):
        system_of("published", folder).compute_losses(short, training=False)
    with pytest.raises(BadConfig, match=r"rhythm at 25\.0 frames a second, but the encoders read 50"):
        system_of("ours", folder).compute_losses({**batch, "rhythm": torch.zeros(4, 2, 30)}, training=False)


# The whole path


@pytest.mark.parametrize("variant", VARIANTS)
def test_from_prepared_folder_to_music(variant: str, two_clips: Path, folder: Path, tmp_path: Path) -> None:
    """Train by the shipped configuration, load the checkpoint by the façade, and hear it, with words around the words."""
    name = "textual_inversion" + ("_published" if variant == "published" else "")
    small = ["hidden=16"] if variant == "ours" else ["hidden=16", "heads=2", "blocks=1"]
    config = train_config(
        f"system={name}", f"data.root={two_clips}", f"out={tmp_path}", f"system.musicgen={folder}",
        "data.sample_rate=1600", "data.window_seconds=1.2", "data.batch_size=2",
        "system.words.width=32", "system.words.window_seconds=1.2", *[f"system.words.{one}" for one in small],
        "system.reader.encoder.channels=16", "system.reader.encoder.dilations=[1,2]",
        "trainer.max_steps=2", f"trainer.precision={'bf16-mixed' if variant == 'ours' else '32-true'}", "trainer.accelerator=cpu", "+trainer.limit_val_batches=1",
        "+trainer.enable_progress_bar=false", "trainer.val_check_interval=1",
        *(["system.words.prefix_seconds=0.4"] if variant == "ours" else []),
    )  # fmt: skip
    system = fit(config)
    assert isinstance(system, TextualInversion)
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    own = {name for name, _ in system.named_parameters()}
    assert own <= set(content["state_dict"]) and set(content["callbacks"]["EMA"]["average"]) == own
    assert all(name.startswith(("reader.", "words.")) for name in content["state_dict"])
    assert content["config"]["system"]["musicgen"] == str(folder)

    loaded = Dance2Music.load(tmp_path / "checkpoints" / "last.ckpt")
    dance = Dance.load(sorted((two_clips / "motions").glob("*.pkl"))[0])
    prompt = "slow @ music with * played on marimba"
    music, record = loaded.generate(dance, seed=1, prompt=prompt, top_k=5)
    assert music.waveform.shape == (1, round(len(dance.features) * 1600 / 60)) and music.sample_rate == 1600
    sampling = {"guidance": 3.0, "top_k": 5, "temperature": 1.0}
    assert record.settings == {"prompt": prompt, **sampling, "device": "cpu", "precision": "exact"}


def test_a_checkpoint_refuses_a_musicgen_of_another_width(folder: Path, tmp_path: Path) -> None:
    from tests_support_musicgen import write_musicgen

    other = write_musicgen(tmp_path / "other", width=48)
    config = train_config("system.words.width=32", f"system.musicgen={other}")
    text = OmegaConf.to_container(config.system, resolve=True)
    path = save_checkpoint(
        tmp_path / "ours.safetensors", instantiate(config.system, _convert_="all").state_dict(), {"system": text}
    )
    with pytest.raises(BadConfig, match="has 48 features a word, but these pseudo-words have 32"):
        Dance2Music.load(path)


@pytest.mark.parametrize("variant", VARIANTS)
def test_on_another_device_nothing_is_left_behind(variant: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the sound of the codes, where EnCodec reads numbers out of its weights."""
    from tests_support_device import ELSEWHERE, is_there, without_numbers
    from tests_support_musicgen import dances

    music_generator = PromptedGenerator(system_of(variant, folder), {})
    music_generator.on(ELSEWHERE)
    hop = music_generator.system.music.hop_samples
    sound = lambda self, codes: codes.new_zeros(1, 1, codes.shape[-1] * hop, dtype=torch.float32)  # noqa: E731
    monkeypatch.setattr(FrozenMusicGen, "waveform", sound)
    features = dances(1.5, [100.0])[0]  # two windows
    with without_numbers():
        made = music_generator.generate(GenerationRequest(features, None, 2397))
        assert made.genre_probabilities.device.type == "cpu"
        assert is_there(music_generator.system) and is_there(music_generator.system.music.model)
    assert made.waveform.shape == (1, 2397) and made.waveform.device.type == "cpu"
