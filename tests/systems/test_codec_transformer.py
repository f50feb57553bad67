"""The codec transformer: nothing comes from the future, the cache changes nothing, it learns, and it makes music."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_support_codec import FACTS, clips, tiny_decoder, tiny_system, write_tokens
from tests_support_motion import swinging_features
from tests_support_runs import ROOT

from d2m.core.checkpoint import load_checkpoint
from d2m.core.errors import BadConfig
from d2m.core.timeline import Timeline
from d2m.models.encoders import TemporalEncoder
from d2m.models.motion_reader import MotionReader
from d2m.models.token_decoder import (
    CONDITIONINGS,
    SamplingSettings,
    TokenCondition,
    TokenDecoder,
    TokenSteps,
    drawn_tokens,
    sampled_codes,
)
from d2m.motion.dance import Dance
from d2m.pipeline import Dance2Music
from d2m.rhythm.grid import BeatGrid
from d2m.rhythm.reader import load_reader
from d2m.systems.codec_transformer import CodecGenerator, CodecTransformer
from d2m.systems.interface import GenerationRequest
from d2m.training.run import fit

LIKELIEST = SamplingSettings(temperature=0, guidance=1)

# the delay pattern


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_code_comes_back_from_its_steps(codebooks: int, frames: int, seed: int) -> None:
    steps = TokenSteps(codebooks, 7)
    codes = torch.randint(0, 7, (2, codebooks, frames), generator=torch.Generator().manual_seed(seed))
    delayed = steps.delayed(codes)
    assert delayed.shape[-1] == steps.count(frames) and torch.equal(steps.restored(delayed), codes)
    for book in range(codebooks):
        assert torch.equal(delayed[:, book, book : book + frames], codes[:, book])
    assert int((delayed == steps.pad).sum()) == 2 * codebooks * (codebooks - 1)
    fed = steps.inputs(delayed)
    assert (fed[..., 0] == steps.bos).all() and torch.equal(fed[..., 1:], delayed[..., :-1])
    assert sorted({steps.bos, steps.pad}) == [7, 8] and steps.vocabulary == 9


@given(st.integers(1, 4), st.integers(1, 8), st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_known_is_prompt_or_pad(codebooks: int, frames: int, data: st.DataObject) -> None:
    steps, prompt = TokenSteps(codebooks, 4), data.draw(st.integers(0, frames))
    codes = torch.zeros(1, codebooks, frames, dtype=torch.long)
    codes[..., prompt:] = 3
    delayed = steps.delayed(codes)[0]
    assert torch.equal(steps.known(prompt, frames), delayed != 3)


# the decoder


def decoded(decoder: TokenDecoder, codes: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    decoder.eval()
    with torch.no_grad():
        condition = decoder.condition(told, torch.zeros(len(codes), dtype=torch.long))
        return decoder(decoder.steps.inputs(decoder.steps.delayed(codes)), condition)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_no_output_sees_the_tokens_to_come(conditioning: str) -> None:
    decoder = tiny_decoder(conditioning)
    codes, told = torch.randint(0, 16, (1, 3, 9)), torch.randn(1, 34, 9)
    other = codes.clone()
    other[:, :, 5:] = (other[:, :, 5:] + 1) % 16
    before, after = decoded(decoder, codes, told), decoded(decoder, other, told)
    assert torch.equal(before[:, :, :6], after[:, :, :6])  # step 5 predicts the first changed code, and does not see it
    assert not torch.allclose(before[:, :, 6], after[:, :, 6])


def test_aligned_motion_reaches_the_codes_of_its_own_frame() -> None:
    decoder = tiny_decoder("aligned")
    codes, told = torch.randint(0, 16, (1, 3, 9)), torch.randn(1, 34, 9)
    later = told.clone()
    later[..., 5:] += 1
    steps = (decoded(decoder, codes, told) - decoded(decoder, codes, later)).abs().amax(dim=(0, 1, 3))
    assert (steps[:5] == 0).all() and steps[5] > 1e-4
    # and the tap of each codebook is that of the frame which it predicts at a step
    frame = torch.zeros(1, 34, 9)
    frame[0, :, 4] = torch.randn(34)
    aligned = decoder.condition(frame, torch.zeros(1, dtype=torch.long)).aligned
    nothing = decoder.condition(0 * frame, torch.zeros(1, dtype=torch.long)).aligned
    assert aligned is not None and nothing is not None and decoder.align is not None
    for book in range(3):
        expected = decoder.align.weight[:, :, 2 - book] @ frame[0, :, 4]
        assert torch.allclose((aligned - nothing)[0, 4 + book], expected, atol=1e-5)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_the_cache_changes_nothing(conditioning: str) -> None:
    decoder = tiny_decoder(conditioning).eval()
    codes, told = torch.randint(0, 16, (2, 3, 8)), torch.randn(2, 34, 8)
    whole = decoded(decoder, codes, told)
    fed, cache = decoder.steps.inputs(decoder.steps.delayed(codes)), decoder.cache(8)
    with torch.no_grad():
        condition = decoder.condition(told, torch.zeros(2, dtype=torch.long))
        spans = [(0, 3), (3, 4), (4, 5), (5, 8), (8, 10)]
        parts = [decoder(fed[..., start:stop], condition, cache) for start, stop in spans]
    assert torch.allclose(torch.cat(parts, dim=2), whole, atol=1e-5)
    with pytest.raises(ValueError, match="a cache of 10 steps cannot hold 11"):
        decoder(fed[..., :1], condition, cache)


def test_only_distances_count() -> None:
    """With the same condition everywhere, tokens further back shift their effect and nothing else."""
    decoder = tiny_decoder("aligned").eval()
    q = torch.randn(1, 2, 5, 8)
    from d2m.models.token_decoder import rotary

    def products(start: int) -> torch.Tensor:
        turned = rotary(q, torch.arange(start, start + 5, dtype=torch.float32))
        return turned @ turned.transpose(-1, -2)

    assert torch.allclose(products(0), products(300), atol=1e-4)
    assert not torch.allclose(products(0), q @ q.transpose(-1, -2), atol=1e-2)
    assert decoder.steps.codebooks == 3


def test_settings_of_the_decoder_are_checked() -> None:
    with pytest.raises(BadConfig, match="conditioning=early: unknown; expected one of aligned, cross, both"):
        tiny_decoder("early")
    with pytest.raises(BadConfig, match="must be heads=4 times an even number"):
        TokenDecoder(2, 8, 4, features=12, heads=4)


# drawing


def test_top_k_and_temperature() -> None:
    logits = torch.tensor([[[0.0, 3.0, 2.0, 1.0]]]).repeat(400, 1, 1)

    def shares(**settings) -> torch.Tensor:
        drawn = drawn_tokens(logits, SamplingSettings(**settings), torch.Generator().manual_seed(0))
        return torch.bincount(drawn.flatten(), minlength=4) / 400

    assert shares(temperature=0).tolist() == shares(top_k=1).tolist() == [0, 1, 0, 0]
    assert shares(top_k=2)[[0, 3]].tolist() == [0, 0] and shares(top_k=2)[2] > 0.15
    assert (shares(top_k=0) > 0).all()
    assert shares(temperature=0.3)[1] > shares(temperature=3)[1] + 0.3
    with pytest.raises(BadConfig, match="temperature=-1: expected a number of 0 or more"):
        SamplingSettings(temperature=-1)


def test_a_prompt_is_kept_and_gone_on_from() -> None:
    decoder = tiny_decoder().eval()
    told, generator = torch.randn(1, 34, 12), torch.Generator().manual_seed(0)
    condition = decoder.condition(told, torch.zeros(1, dtype=torch.long))
    none = torch.zeros(1, 3, 0, dtype=torch.long)
    whole = sampled_codes(decoder, condition, None, none, 12, LIKELIEST, generator)
    for length in (1, 2, 7, 11, 12):
        again = sampled_codes(decoder, condition, None, whole[..., :length], 12, LIKELIEST, generator)
        assert torch.equal(again, whole)
    other = (whole[..., :5] + 1) % 16
    assert torch.equal(sampled_codes(decoder, condition, None, other, 12, LIKELIEST, generator)[..., :5], other)


# the system


def learnt(conditioning: str) -> tuple[CodecTransformer, dict[str, torch.Tensor], float]:
    """Trained on two clips until it knows them."""
    system, batch = tiny_system(conditioning), clips()
    batch["genre"] = torch.zeros(2, dtype=torch.long)  # only the dance tells them apart
    optimizer = torch.optim.AdamW(system.parameters(), lr=2e-2)
    loss = torch.tensor(0.0)
    for _ in range(50):
        loss = system.compute_losses(batch, training=True)["token"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return system, batch, float(loss)


@pytest.mark.parametrize("conditioning", ["aligned", "cross"])
def test_it_learns_two_clips_by_heart(conditioning: str) -> None:
    system, batch, loss = learnt(conditioning)
    assert loss < 0.3  # chance is ln 16 = 2.8
    for number in range(2):
        made = system.generate_long(batch["features"][number], 0, 20, LIKELIEST)
        assert (made == batch["codes"][number]).float().mean() > 0.9


def test_guidance_genre_and_seed_change_the_music() -> None:
    system, features = tiny_system(), swinging_features(120)
    torch.nn.init.normal_(system.decoder.genre.embedding.weight, std=2)
    torch.nn.init.normal_(system.decoder.null, std=2)
    drawing = SamplingSettings(guidance=1)
    plain = system.generate_long(features, 0, 20, drawing, seed=1)
    assert torch.equal(plain, system.generate_long(features, 0, 20, drawing, seed=1))
    for other in (
        system.generate_long(features, 0, 20, drawing, seed=2),
        system.generate_long(features, 4, 20, drawing, seed=1),
        system.generate_long(features, 0, 20, SamplingSettings(guidance=4), seed=1),
        system.generate_long(features + 1, 0, 20, drawing, seed=1),
    ):
        assert not torch.equal(other, plain)
    # without guidance the null condition has no say; at 0 only it has
    untold = SamplingSettings(guidance=0)
    assert torch.equal(system.generate_long(features, 0, 20, untold), system.generate_long(features + 1, 4, 20, untold))


@pytest.mark.parametrize("frames", [1, 7, 20, 21, 30, 64])
def test_any_length_goes_on_from_what_was_written(frames: int) -> None:
    system = tiny_system(prompt_frames=8)
    made = system.generate_long(swinging_features(200), 0, frames, seed=3)
    assert made.shape == (3, frames) and int(made.min()) >= 0 and int(made.max()) < 16
    if frames > 20:  # the second window takes over the first one's end
        prompt = made[:, :20]
        assert torch.equal(system.generate_long(swinging_features(200), 0, 20, seed=3), prompt)
        again = system.generate_long(swinging_features(200), 0, frames, LIKELIEST, prompt=prompt)
        assert torch.equal(again[:, :20], prompt) and again.shape == (3, frames)


def test_a_window_reads_the_motion_of_its_own_time() -> None:
    system, features = tiny_system(), swinging_features(600)
    assert torch.equal(system.window(features, 30, 20), features[180:300])
    held = system.window(features, 90, 20)
    assert torch.equal(held[:60], features[540:]) and (held[60:] == features[-1]).all()


def test_dropped_rows_are_told_nothing() -> None:
    decoder = tiny_decoder("both")
    told, genre = torch.randn(2, 34, 6), torch.tensor([1, 2])
    dropped = decoder.condition(told, genre, torch.tensor([True, True]))
    other = decoder.condition(-told, genre.flip(0), torch.tensor([True, False]))
    assert dropped.aligned is not None and other.aligned is not None and other.memory is not None
    assert torch.equal(dropped.aligned[0], other.aligned[0]) and not torch.equal(dropped.aligned[1], other.aligned[1])


def test_the_prompt_must_be_shorter_than_a_window() -> None:
    with pytest.raises(BadConfig, match="prompt_frames=20: expected 0 or more, and fewer than the 20 frames"):
        tiny_system(prompt_frames=20)


# whole runs

TINY = [
    "system.reader.encoder.channels=16", "system.reader.encoder.dilations=[1,2]", "system.reader.encoder.attention_blocks=0",
    "system.decoder.cond_channels=18", "system.decoder.features=16", "system.decoder.layers=1", "system.decoder.heads=2",
    "trainer.max_steps=4", "trainer.val_check_interval=2", "trainer.log_every_n_steps=1", "trainer.precision=32-true",
    "trainer.accelerator=cpu", "+trainer.enable_progress_bar=false", "data.batch_size=2", "checkpoint.every_n_steps=2",
]  # fmt: skip


def config(root: Path, out: Path, *more: str):
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        settings = ["experiment=codec_transformer", f"data.root={root}", f"out={out}", *TINY, *more]
        return compose("train", settings)


def test_the_whole_path_by_fit_and_facade(tmp_path: Path) -> None:
    """Tokens of the shipped codec's shape → training, resumed → checkpoint → façade → sound, with that codec."""
    from d2m.audio.codec import load_codec

    codec = load_codec("demo")
    write_tokens(tmp_path / "data", seconds=6.5, facts=codec.facts)
    torch.manual_seed(0)
    whole = fit(config(tmp_path / "data", tmp_path / "whole"))
    torch.manual_seed(0)
    fit(config(tmp_path / "data", tmp_path / "run", "trainer.max_steps=2", "system.optimization.total_steps=4"))
    resumed = fit(config(tmp_path / "data", tmp_path / "run", "system.optimization.total_steps=4"))
    pairs = zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True)
    assert all(torch.allclose(one, two, atol=1e-6) for (_, one), (_, two) in pairs)
    logged = (tmp_path / "whole" / "csv" / "version_0" / "metrics.csv").read_text()
    assert "val/token_3" in logged and "train/rhythm" in logged

    checkpoint = tmp_path / "whole" / "checkpoints" / "last.ckpt"
    found = load_checkpoint(checkpoint).config
    assert (found["codec"], found["codec_sha256"]) == ("demo", codec.fingerprint()) and "dmae" not in found
    model = Dance2Music.load(checkpoint)
    features = swinging_features(70)
    made = model.music_generator.generate(GenerationRequest(features, 3, 25_000, seed=1, settings={"top_k": 5}))
    assert made.waveform.shape[1] >= 25_000 and made.settings == {"temperature": 1.0, "top_k": 5, "guidance": 1.5}
    assert made.genre == 3 and made.genre_probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert 40 < model.music_generator.read(features).beats.grid.bpm < 240
    shipped = load_reader("rhythm_reader").read(features).beats().grid
    np.testing.assert_allclose(model.music_generator.read(features).beats.grid.beats_s, shipped.beats_s)
    poses = np.zeros((70, 72), np.float32)
    poses[:, 56] = np.sin(np.arange(70) / 5)
    music, record = model.generate(Dance.from_smpl(poses, np.zeros((70, 3), np.float32), 60.0), seed=1, temperature=0.5)
    assert music.waveform.shape == (2, round(70 * 44100 / 60)) and record.settings["temperature"] == 0.5
    with pytest.raises(
        BadConfig, match="steps=5: CodecTransformer has no such setting; it takes guidance, temperature, top_k"
    ):
        model.generate(Dance.from_smpl(poses, np.zeros((70, 3), np.float32), 60.0), steps=5)


def test_a_checkpoint_refuses_another_codec() -> None:
    from d2m.audio.codec import load_codec

    system = tiny_system()
    with pytest.raises(BadConfig, match="codec 'demo' does not fit this system .44100 Hz, not 8000"):
        CodecGenerator(system, {"codec": "demo"})
    with pytest.raises(BadConfig, match="does not fit this system"):
        CodecGenerator(system, {"codec": "tiny"}, "demo")
    facts = load_codec("demo").facts

    fitting = CodecTransformer(system.reader, tiny_decoder(codebooks=4, size=1024), Timeline(44100, 1024, 256))
    fitting.check_codec(facts)
    with pytest.raises(BadConfig, match=r"this checkpoint has learnt the codes of 000000000000; give the codec"):
        CodecGenerator(fitting, {"codec": "demo", "codec_sha256": "0" * 64})
    assert facts.name == "demo" and FACTS.frame_rate == 10


def test_another_codec_is_one_override() -> None:
    from hydra.utils import instantiate

    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        chosen = compose("train", ["experiment=codec_transformer", "codec=encodec_24khz", *TINY[:7]])
    system = instantiate(chosen.system, _convert_="all")
    assert (system.clock.sample_rate, system.clock.window_latent_frames) == (24000, 375)
    assert (system.decoder.steps.codebooks, chosen.data.codec) == (2, "encodec_24khz")
    codes = torch.randint(0, 1024, (1, 2, 375))
    batch = {"features": swinging_features(300)[None], "codes": codes, "genre": torch.tensor([3])}
    assert (
        6 < float(system.compute_losses(batch, training=False)["token"].detach()) < 8
    )  # about ln 1024 before training


def test_the_true_beats_are_what_it_learns_to_write_on() -> None:
    """Not what its own head reads of them: else it would not obey beats that are given."""
    system, batch = tiny_system("aligned").eval(), clips()
    frames = batch["codes"].shape[-1]
    quiet, beating = torch.zeros(2, 2, frames), torch.zeros(2, 2, frames)
    beating[:, 0, ::9] = 1
    losses = [float(system.compute_losses({**batch, "rhythm": beats}, False)["token"]) for beats in (quiet, beating)]
    assert abs(losses[0] - losses[1]) > 1e-4


def test_the_reader_runs_once_for_each_window() -> None:
    """Genre and condition come from one pass over the windows that the codes are written in."""
    torch.manual_seed(0)
    reader = MotionReader(TemporalEncoder(16, (1, 2), attention_blocks=0))
    decoder = TokenDecoder(4, 1024, 18, 16, layers=1, heads=2)
    system = CodecTransformer(reader, decoder, Timeline(44100, 1024, 40))
    music_generator, rows = CodecGenerator(system, {"codec": "demo"}), []
    reader.encoder.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    made = music_generator.generate(GenerationRequest(swinging_features(120), None, 86 * 1024))
    assert rows == [1] * 4  # frames 0, 20, 40 and 46 on
    assert made.genre == int(made.genre_probabilities.argmax())


def test_the_beats_that_are_given_are_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    reader = MotionReader(TemporalEncoder(16, (1, 2), attention_blocks=0))
    system = CodecTransformer(reader, TokenDecoder(4, 1024, 18, 16, layers=1, heads=2), Timeline(44100, 1024, 40))
    music_generator, grid, conditions = CodecGenerator(system, {"codec": "demo"}), BeatGrid.regular(131, 0.1, 2), []
    own = system.decoder.condition

    def noted(cond: torch.Tensor, *rest: torch.Tensor) -> TokenCondition:
        conditions.append(cond[0])
        return own(cond, *rest)

    monkeypatch.setattr(system.decoder, "condition", noted)
    for beats in (None, grid):
        music_generator.generate(GenerationRequest(swinging_features(120), 3, 86 * 1024, beats=beats))
    read, given = (conditions[: len(conditions) // 2], conditions[len(conditions) // 2 :])
    curve, starts = grid.curve(86, 44100 / 1024), (0, 20, 40, 46)
    for cond, start in zip(given[:: len(given) // 4], starts, strict=True):
        np.testing.assert_allclose(cond[-2], curve[start : start + 40], atol=1e-6)
    for one, other in zip(read, given, strict=True):
        assert torch.equal(one[:-2], other[:-2]) and torch.equal(one[-1], other[-1])
