"""How a system generates where the caller does not say otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GenerationSettings:
    """How latents are generated where the caller does not say otherwise.

    Args:
        steps: sampling steps.
        guidance: classifier-free guidance scale.
        guidance_rescale: see `d2m.diffusion.guidance.guided`.
        overlap_frames: least overlap of the windows of a long latent.
        batch: windows denoised at once.
        latent_bound: generated latents are limited to this magnitude (1 for an autoencoder that ends in tanh).
    """

    steps: int = 20
    guidance: float = 2.0
    guidance_rescale: float = 0.0
    overlap_frames: int = 96
    batch: int = 8
    latent_bound: float | None = None
