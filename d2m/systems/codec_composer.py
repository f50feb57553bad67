"""Music by codec tokens: a system that writes codes for a dance, and the codec that turns them into sound."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from d2m.audio.codec import Codec, CodecFacts, load_codec
from d2m.clock import Clock
from d2m.errors import BadConfig
from d2m.model.motion_reader import BodyReader, MotionRead
from d2m.model.placement import Placement
from d2m.model.token_sampling import SamplingSettings
from d2m.systems.beat_grid import BeatGrid, regular_beats
from d2m.systems.interface import Composer, Composition, CompositionRequest, refuse_what_speeds_networks


@runtime_checkable
class WritesCodes(Protocol):
    """What the composer needs of a system."""

    clock: Clock
    sampling: SamplingSettings
    reader: BodyReader

    def check_codec(self, facts: CodecFacts) -> None: ...

    def generate_long(self, *arguments: Any, **named: Any) -> torch.Tensor: ...

    def windows_read(self, motion: torch.Tensor) -> list[tuple[slice, MotionRead]]: ...

    def eval(self) -> Any: ...

    def to(self, device: torch.device) -> Any: ...


class CodecComposer(Composer):
    """A system that writes codes, with its codec.

    Settings: `temperature`, `top_k`, `guidance` (see `d2m.model.token_sampling.SamplingSettings`).

    Args:
        system: motion to codes.
        codec: codes to waveform.

    Raises:
        BadConfig: when the codes are not the codec's.
    """

    settings = frozenset({"temperature", "top_k", "guidance"})

    def __init__(self, system: WritesCodes, codec: Codec) -> None:
        system.check_codec(codec.facts)
        self.system, self.codec, self.sample_rate = system, codec, codec.sample_rate
        self.reads = system.reader.reads
        system.eval().requires_grad_(False)

    @staticmethod
    def load(
        system: WritesCodes, codec: str, bandwidth: float | int | None = None, sha256: str | None = None
    ) -> "CodecComposer":
        """The composer with the codec of that name or path; `sha256` is the fingerprint that it must have.

        Raises:
            BadConfig: when it is another codec than the one whose codes the system has learnt.
        """
        loaded = load_codec(codec, bandwidth)
        composer = CodecComposer(system, loaded)
        found = loaded.fingerprint()
        if sha256 not in (None, found):
            raise BadConfig(
                f"codec '{codec}' has weights {found[:12]}, but this checkpoint has learnt the codes of {sha256[:12]}; "
                "give the codec that its training tokens were made with."
            )
        return composer

    def on(self, placement: Placement) -> None:
        """Any device; bfloat16 on GPUs only."""
        refuse_what_speeds_networks(placement, "a codec transformer")
        self.placement = placement
        self.system.to(placement.device)
        self.codec.to(placement.device)

    def predict_genre(self, motion: Float[torch.Tensor, "time *part"]) -> Float[torch.Tensor, "10"]:
        """Averaged over the dance's windows."""
        logits = torch.cat([read.genre_logits for _, read in self.system.windows_read(motion.to(self.placement.device))])
        return logits.float().softmax(dim=-1).mean(dim=0).cpu()

    def beat_grid(self, motion: Float[np.ndarray, "time *part"]) -> BeatGrid:
        """The beats that the rhythm head reads."""
        reads = self.system.windows_read(torch.from_numpy(motion).to(self.placement.device))
        total, count = np.zeros(reads[-1][0].stop), np.zeros(reads[-1][0].stop)
        for where, read in reads:
            total[where] += read.rhythm_logits[0, 0].float().sigmoid().cpu().numpy()
            count[where] += 1
        return regular_beats(total / count, self.system.clock.latent_rate)

    def compose(self, request: CompositionRequest) -> Composition:
        """Write the codes of the whole dance, then decode them.

        Raises:
            BadConfig: for a negative temperature, top_k or guidance.
        """
        own, asked = self.system.sampling, request.settings
        used: dict[str, Any] = {
            "temperature": float(asked.get("temperature", own.temperature)),
            "top_k": int(asked.get("top_k", own.top_k)),
            "guidance": float(asked.get("guidance", own.guidance)),
        }
        frames = self.system.clock.samples_to_latent_frames(request.samples)
        motion = request.motion.to(self.placement.device)
        with self.placement.running():
            codes = self.system.generate_long(
                motion, request.genre, frames, SamplingSettings(**used), request.seed, progress=request.progress
            )
        return Composition(self.codec.decode(codes[None], request.seed)[0].float().cpu(), used)
