"""The benchmark at tiny widths: that it compares like with like and says what it found. No times are asserted."""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from tests_support_runs import script
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from benchmark.generation import COLUMNS as GENERATION_COLUMNS
from benchmark.generation import STOCK, GenerationSetup, OurGeneration, StockGeneration, measure_generation
from benchmark.measure import (
    Measured,
    counted_flops,
    in_turns,
    markdown_table,
    matmul_peak,
    peak_memory_alone_mb,
    this_machine,
    total,
    write_report,
)
from benchmark.stock import StockSystem
from benchmark.training import COLUMNS as TRAINING_COLUMNS
from benchmark.training import TrainingSetup, TrainingWorkbench, measure_training, step_flops
from torch.utils.benchmark import Measurement, TaskSpec

from d2m.core.errors import BadConfig
from d2m.models import onednn
from d2m.models.conditioner import Condition
from d2m.models.unet import ConditionedUNet

ROOT = Path(__file__).parents[1]
PEAK = {"float32": 1e11, "bfloat16": 2e11}
TINY = [
    "system.unet.channels=[16,32]", "system.unet.factors=[1,2]", "system.unet.items=[1,1]",
    "system.unet.attentions=[0,1]", "system.unet.cross_attentions=[1,1]", "system.unet.attention_features=8",
    "system.unet.attention_heads=2", "system.unet.modulation_features=16", "system.conditioner.encoder.depth=1",
    "system.conditioner.encoder.heads=2", "system.conditioner.encoder.head_features=8",
    "system.conditioner.encoder.hidden=16", "dmae.architecture.encoder.channels=8",
    "dmae.architecture.encoder.num_blocks=[1,1]", "dmae.architecture.filters=4",
    "dmae.architecture.channels=[8,8,8,8,8,8,8]", "dmae.architecture.items=[1,1,1,1,1,1,1]",
    "+dmae.architecture.modulation_features=16", "dmae.onepass.widths=[16,8]", "dmae.onepass.depths=[1,1]", "peak_size=64",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def bfloat16_is_there():
    """PyTorch has a slow way of its own where oneDNN has none, so that both kinds of machine test the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn, "has_bfloat16", lambda: True)
        yield


@pytest.fixture(scope="module")
def config():
    with hydra.initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        composed = hydra.compose("benchmark", TINY)
    return {
        "system": OmegaConf.to_container(composed.system, resolve=True),
        "dmae": OmegaConf.to_container(composed.dmae.architecture, resolve=True),
    }


@pytest.fixture(scope="module")
def training(config):
    return TrainingSetup(config["system"], batch=2, latent_frames=16)


@pytest.fixture(scope="module")
def generation(config):
    return GenerationSetup(config["system"], config["dmae"], steps=3)


def test_timing_takes_turns():
    ran, rounds = [], []
    runs = {"a": lambda: ran.append("a"), "b": lambda: ran.append("b")}
    times = in_turns(runs, 4, warmup=1, on_round=lambda: rounds.append(len(ran)))
    assert len(ran) == 10 and sorted(ran[:2]) == ["a", "b"] and rounds == [4, 6, 8, 10]
    assert [ran[i] for i in range(2, 10, 2)] == ["a", "b", "a", "b"]  # each goes first in turn
    assert len(times["a"].times) == 4


def test_times_add_up():
    task = TaskSpec(stmt="x", setup="")
    parts = [(Measurement(1, [1.0, 3.0, 2.0], task), 1), (Measurement(1, [0.5, 0.25, 1.0], task), 2)]
    assert total(parts) == {"median_s": 3.0, "min_s": 1.5, "max_s": 5.0}


def test_memory_is_of_a_fresh_process():
    held = torch.ones(250_000_000)  # 1 GB of this process, which is not counted
    alone = peak_memory_alone_mb(partial, torch.ones, 100_000_000)
    assert alone is not None and 400 < alone < 400 + 700 and held.nbytes == 1e9


def stock_net(unet):
    """The stock network of the same sizes."""
    from audio_diffusion_pytorch import UNetV0

    net = UNetV0(
        dim=1, in_channels=4, channels=[16], factors=[1], items=[1], attentions=[1], cross_attentions=[1],
        attention_features=8, attention_heads=2, embedding_features=8, embedding_max_length=5,
        modulation_features=16, use_embedding_cfg=True,
    )  # fmt: skip
    net.load_state_dict({key.removeprefix("net."): value for key, value in unet.state_dict().items()})
    return net


def test_flops_of_known_work():
    x = torch.randn(2, 5, 8)
    assert counted_flops(lambda: nn.Linear(8, 3)(x)) == 2 * 2 * 5 * 8 * 3
    unet = ConditionedUNet(
        4, [16], [1], [1], [1], [1], attention_features=8, attention_heads=2, embedding_features=8,
        embedding_max_length=5, modulation_features=16,
    )  # fmt: skip
    stock = stock_net(unet)
    inputs = torch.randn(1, 4, 8), torch.tensor([0.5])
    with torch.no_grad():
        ours = counted_flops(lambda: unet(*inputs, Condition(torch.tensor([False]), tokens=torch.randn(1, 5, 8))))
        theirs = counted_flops(lambda: stock(*inputs, embedding=torch.randn(1, 5, 8)))
    assert ours == theirs > 0


@pytest.mark.parametrize("built_in", [True, False])
def test_peak_is_a_rate_of_what_is_built_in(built_in: bool, monkeypatch):
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: built_in)
    peak = matmul_peak(torch.device("cpu"), size=64)
    assert set(peak) == ({"float32", "bfloat16"} if built_in else {"float32"})
    assert all(rate > 1e6 for rate in peak.values())


def counted_forward(system, batch, frames):
    with torch.device("meta"):
        net = StockSystem(system["unet"], system["conditioner"]["encoder"]).diffusion.net
        told = {"embedding": torch.empty(batch, 357, 219)}
        return counted_flops(lambda: net(torch.empty(batch, 32, frames), torch.empty(batch), **told))


def test_flops_are_the_published_networks_and_a_step_goes_forward_and_back(training):
    published = OmegaConf.to_container(OmegaConf.load(ROOT / "configs" / "system" / "published.yaml"))
    assert 14.5e9 < counted_forward(published, 1, 256) < 14.8e9
    forward = counted_forward(training.system, training.batch, training.latent_frames)
    assert 2 * forward < step_flops(training)  # and the motion encoder's


def test_training_steps_share_weights_and_state_and_agree(training):
    bench = TrainingWorkbench(training)
    assert list(bench.steps) == ["stock fp32", "ours fp32", "ours bf16"]
    ours, theirs = set(bench.ours.unet.parameters()), set(bench.stock.diffusion.net.parameters())
    assert ours == theirs
    agreement = bench.agreement()
    assert agreement["our_loss"] == pytest.approx(agreement["stock_loss"], abs=1e-5)
    assert agreement["gradient_difference"] < 1e-4
    before = [parameter.detach().clone() for parameter in bench.ours.unet.parameters()]
    for step in bench.steps.values():
        assert step().isfinite()
        after = [parameter.detach().clone() for parameter in bench.ours.unet.parameters()]
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        before = after


@pytest.fixture(scope="module")
def measured_training(training):
    return measure_training(training, 2, PEAK, memory=False)


def test_training_table(measured_training):
    rows, agreement = measured_training
    assert [row["name"] for row in rows] == ["stock fp32", "ours fp32", "ours bf16"]
    assert rows[0]["speedup"] == 1.0 and agreement is not None
    for row in rows:
        assert row["flops"] > 0 and row["samples_per_s"] == pytest.approx(2 / row["step"]["median_s"])


OURS = ["ours exact", "ours bf16", "ours fast", "ours distilled"]


def test_generation_variants_agree(generation):
    stock = StockGeneration(generation)
    ours = OurGeneration(generation, "ours exact", stock)
    torch.testing.assert_close(ours.latent(3), stock.latents(3)[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.step(), stock.step(), atol=1e-4, rtol=1e-4)
    assert torch.equal(ours.decoder_step(), stock.decoder_step())  # the very network: it cannot be slower
    assert ours.clip().shape == stock.clip().shape == (1, 2, 262_144)


def test_fewer_evaluations(generation):
    setup = replace(generation, steps=50, fast_steps=12, distilled_steps=4)
    stock = StockGeneration(setup)
    ours = {name: OurGeneration(setup, name, stock) for name in setup.recipes()}
    counted = [variant.evaluations for variant in (stock, *ours.values())]
    assert counted == [150, 150, 150, 25, 5]
    assert ours["ours distilled"].clip().shape == (1, 2, 262_144)
    assert ours["ours distilled"].flops() < ours["ours fast"].flops() < 0.5 * ours["ours exact"].flops()


def test_a_long_dance(generation):
    setup = replace(generation, seconds=13, steps=1, fast_steps=2)
    stock, fast = StockGeneration(setup), OurGeneration(setup, "ours fast")
    windows = fast.windows
    assert stock.clips == 3 and stock.evaluations == 9 and windows >= 3
    assert fast.evaluations == 2 * 2 * windows + fast.counts["decoder_step"]
    wave = fast.clip()
    assert 0 <= wave.shape[2] - 13 * 44_100 < 1024 and wave.isfinite().all()
    with pytest.raises(BadConfig, match="batch=1"):
        measure_generation(replace(setup, batch=2), 1, PEAK)
    assert StockGeneration(replace(generation, seconds=6)).clips == 1


def check_generation_rows(rows, full):
    """Those that could run: their times add up."""
    for row, decoder_steps, steps in zip(rows, [3, 3, 3, 1, 1], [3, 3, 3, 12, 4], strict=True):
        if "reason" in row:
            continue
        seconds = row["clip"]["median_s"]
        assert row["whole"] == full and row["times_real_time"] == pytest.approx(262_144 / 44_100 / seconds)
        if not full:
            once, step, decoder_step = (row[part]["median_s"] for part in ("once", "step", "decoder_step"))
            assert seconds == pytest.approx(once + steps * step + decoder_steps * decoder_step)


def test_generation_table(generation):
    rows, agreement = measure_generation(generation, 1, PEAK, memory=False)
    assert [row["name"] for row in rows] == [STOCK, *OURS] and not any("reason" in row for row in rows)
    assert agreement is not None and agreement["difference"] < 1e-3 * agreement["scale"]
    check_generation_rows(rows, full=False)
    assert rows[1]["flops"] < rows[0]["flops"]  # keys and values once a clip


def test_what_cannot_run_here_is_a_row_that_says_so(training, generation, monkeypatch, tmp_path):
    """And what can is timed as whole clips where these are asked for."""
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: False)
    trained = measure_training(training, 1, PEAK, check=False, memory=False)[0]
    made = measure_generation(generation, 1, PEAK, full=True, check=False, memory=False)[0]
    check_generation_rows(made, full=True)
    assert [row["name"] for row in trained] == ["stock fp32", "ours fp32", "ours bf16"]
    assert [row["name"] for row in made] == [STOCK, *OURS]
    for rows, columns in ((trained, TRAINING_COLUMNS), (made, GENERATION_COLUMNS)):
        machine = this_machine(torch.device("cpu"), PEAK)
        text = write_report(tmp_path, "x", machine, Measured(rows, columns, [], {}))
        assert [line for line in text.splitlines() if "not possible here" in line and "ours bf16" in line]
        assert [row.get("reason") for row in json.loads((tmp_path / "x.json").read_text())["rows"]].count(None) > 1


def test_report_is_written(tmp_path, measured_training):
    rows = measured_training[0]
    machine = this_machine(torch.device("cpu"), PEAK)
    measured = Measured(rows, TRAINING_COLUMNS, ["A note."], {"repeats": 1})
    text = write_report(tmp_path / "new", "training", machine, measured)
    found = json.loads((tmp_path / "new" / "training.json").read_text())
    assert found["machine"]["torch_version"] == torch.__version__ and found["machine"]["threads"] >= 1
    assert [row["name"] for row in found["rows"]] == [row["name"] for row in rows] and found["repeats"] == 1
    assert (tmp_path / "new" / "training.md").read_text() == text
    assert "A note." in text and markdown_table("training", measured) in text
    assert len({len(line) for line in text.splitlines()[:5]}) == 1


def test_the_script_measures(tmp_path):
    done = script("benchmark", f"out={tmp_path}", "what=training", "repeats=1", "memory=false", "batch=2", *TINY)
    assert done.returncode == 0, done.stderr
    assert "ours bf16" in done.stdout and (tmp_path / "training.json").is_file()
    agreement = json.loads((tmp_path / "training.json").read_text())["agreement"]
    assert agreement["stock_loss"] == pytest.approx(agreement["our_loss"], abs=1e-5)


def test_a_mistake_is_one_sentence(tmp_path):
    done = script("benchmark", f"out={tmp_path}", "what=cooking")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: what=cooking: unknown; expected one of training, generation."


def test_the_script_measures_generation(tmp_path):
    settings = ["what=generation", "repeats=1", "memory=false", "steps=2", "fast_mode=exact"]
    done = script("benchmark", f"out={tmp_path}", *settings, *TINY)
    assert done.returncode == 0, done.stderr
    assert "ours distilled" in done.stdout and (tmp_path / "generation.json").is_file()
