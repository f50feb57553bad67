"""Our ways of generating, for the benchmark: exact, bf16, fast (fewer steps, one-pass decoder) and distilled."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from benchmark.generation_variants import STOCK, Counts, Generation, GenerationSetup, Recipe, StockGeneration
from d2m.audio.autoencoder import DMAE
from d2m.audio.chunked_coding import count_windows, decode_piece
from d2m.diffusion import samplers
from d2m.diffusion.guidance import guided
from d2m.diffusion.multidiffusion import multidiffusion, plan_windows
from d2m.diffusion.samplers import Denoiser
from d2m.models.conditioner import Condition, MotionWindow
from d2m.models.device import DeviceConfig
from d2m.models.device import Precision as Mode
from d2m.models.heads import unknown_genres
from d2m.systems.latent_diffusion import LatentDiffusion


class OurNetworks:
    """System and autoencoder ready to generate in one mode; shared by the recipes of that mode.

    Args:
        setup: what is generated.
        mode: numbers of the networks.
        stock: whose weights they get; None: random ones.
    """

    def __init__(self, setup: GenerationSetup, mode: Mode, stock: StockGeneration | None = None) -> None:
        self.device = torch.device(setup.device)
        self.device_config = DeviceConfig(self.device, mode, setup.compile)
        torch.manual_seed(0)
        system: LatentDiffusion = instantiate(OmegaConf.create(dict(setup.system)))
        dmae: DMAE = instantiate(OmegaConf.create(dict(setup.dmae)), _convert_="all")
        if stock is not None:
            system.unet.load_state_dict(stock.system.unet_state())
            system.conditioner.encoder.load_state_dict(stock.system.encoder.state_dict())
            dmae.load_state_dict(stock.dmae.state_dict())
        self.system = system.to(self.device).eval().requires_grad_(False)
        self.dmae = dmae.to(self.device).eval().requires_grad_(False)
        for network in (self.system.unet, self.dmae.autoencoder.net, self.dmae.onepass):
            if network is not None:
                self.device_config.place(network)

    def precision(self) -> AbstractContextManager[object]:
        """What the networks run in."""
        return self.device_config.running()


class OurGeneration(Generation):
    """Ours, with networks that stay fast for good."""

    def __init__(self, setup: GenerationSetup, recipe: Recipe, networks: OurNetworks) -> None:
        super().__init__(setup, networks.dmae)
        self.recipe, self.networks, self.system = recipe, networks, networks.system
        settings, clock = self.system.generation, self.dmae.clock
        self.overlap, self.windows_at_once = settings.overlap_frames, settings.batch
        self.plan = plan_windows(self.frames, clock.window_latent_frames, self.overlap)
        windows = len(self.plan.starts)
        decoded = count_windows(self.frames * clock.latent_hop_samples, clock)
        calls = decoded * (recipe.decoder_steps or 1)
        self.counts = Counts(recipe.steps, calls, recipe.steps * (1 + recipe.guided) * windows + calls)
        if windows > 1:
            generator = torch.Generator().manual_seed(0)
            shape = (1, self.noise.shape[1], self.plan.total_frames)
            self.long_noise = torch.randn(shape, generator=generator).to(self.device)
        else:
            self.long_noise = self.noise
        self.once()

    @torch.no_grad()
    def once(self) -> object:
        """Condition and null of every window, with their keys and values where the system keeps them."""
        with self.networks.precision():
            told, untold = self.system.prepared(self._condition())
        scale = self.setup.guidance if self.recipe.guided else 1.0
        if len(self.plan.starts) == 1:
            self.denoiser: Denoiser = guided(self.system.unet, told, untold, scale)
            return self.denoiser
        denoisers: dict[int, Denoiser] = {}

        def of_windows(x: Tensor, sigma: Tensor, which: slice) -> Tensor:
            if which.start not in denoisers:
                denoisers[which.start] = guided(self.system.unet, told.rows(which), untold.rows(which), scale)
            return denoisers[which.start](x, sigma)

        self.denoiser = multidiffusion(of_windows, self.plan, self.windows_at_once, self.overlap)
        return self.denoiser

    def _condition(self) -> Condition:
        clock, features = self.dmae.clock, self.features
        if len(self.plan.starts) > 1:
            starts = [clock.latent_frames_to_motion_frames(start) for start in self.plan.starts]
            index = torch.tensor(starts)[:, None] + torch.arange(clock.window_motion_frames)
            features = features[0][index.clamp(max=self.motion_frames - 1).to(self.device)]
        motion = MotionWindow(features, self.system.normalizer(features))
        return self.system.conditioner(motion, unknown_genres(len(features), self.device)).condition

    @torch.no_grad()
    def step(self) -> Tensor:
        """One step of all windows, both halves of the guidance in one batch."""
        with self.networks.precision():
            return self.denoiser(self.long_noise, self.sigma)

    @torch.no_grad()
    def decoder_step(self) -> Tensor:
        """One step of the diffusion decoder, or the one-pass decoder, for one window."""
        with self.networks.precision():
            return super().decoder_step() if self.recipe.decoder_steps else self.dmae.decode_onepass(self.noise)

    @torch.no_grad()
    def latent(self, steps: int) -> Tensor:
        """What `LatentDiffusion.generate` and `generate_long` do."""
        self.once()
        with self.networks.precision():
            sampled = getattr(samplers, self.recipe.sampler)(self.denoiser, self.long_noise, steps)
        return self.system.restored(sampled.float())[..., : self.frames]

    @torch.no_grad()
    def clip(self) -> Tensor:
        """Sampled and decoded."""
        latent, steps = self.latent(self.recipe.steps).clamp(-1, 1), self.recipe.decoder_steps
        with self.networks.precision():
            if len(self.plan.starts) > 1:
                return decode_piece(self.dmae, latent[0], "diffusion" if steps else "onepass", steps or 1)[None]
            return self.dmae.decode(latent, steps) if steps else self.dmae.decode_onepass(latent)


def parts_alone(setup: GenerationSetup, name: str) -> Callable[[], None]:
    """One variant and nothing else, to measure its memory."""
    if name == STOCK:
        return StockGeneration(setup).parts
    recipe = setup.recipes()[name]
    return partial(OurGeneration.parts, OurGeneration(setup, recipe, OurNetworks(setup, recipe.mode)))
