"""Speed here, ours against the stock packages: `python scripts/benchmark.py what=training device=cpu repeats=5`."""

import d2m.core.errors  # noqa: F401  first: it sets how PyTorch's threads wait  # isort: skip
import hydra
import torch
from benchmark import generation, training
from benchmark.measure import matmul_peak, this_machine, write_report
from omegaconf import DictConfig
from tqdm import tqdm

from d2m.core.errors import BadConfig, user_errors_exit
from d2m.core.files import writable_folder

BENCHMARKS = {"training": training.benchmark, "generation": generation.benchmark}


@hydra.main(version_base="1.3", config_path="../configs", config_name="benchmark")
@user_errors_exit()
def main(config: DictConfig) -> None:
    """Measure, print the table, write it."""
    if config.what not in BENCHMARKS:
        raise BadConfig(f"what={config.what}: unknown; expected one of {', '.join(BENCHMARKS)}.")
    if str(config.device) != "cpu" and not torch.cuda.is_available():
        raise BadConfig(f"device={config.device}: this PyTorch sees no GPU; say device=cpu.")
    if config.repeats < 1:
        raise BadConfig(f"repeats={config.repeats}: expected 1 or more.")
    if config.threads:
        torch.set_num_threads(config.threads)
    out, device = writable_folder(config.out), torch.device(config.device)
    peak = matmul_peak(device, config.peak_size)
    machine = this_machine(device, peak)
    with tqdm(total=config.repeats, desc=config.what, unit="round") as bar:
        measured = BENCHMARKS[config.what](config, peak, bar.update)
    print("\n" + write_report(out, config.what, machine, measured))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
