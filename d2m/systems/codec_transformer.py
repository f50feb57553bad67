"""Music by codec tokens: a system that writes codes for a dance, and the codec that turns them into sound."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from d2m.audio.codec import CodecFacts, load_codec
from d2m.core.errors import BadConfig
from d2m.core.timeline import MOTION_FPS, Timeline
from d2m.models.device import DeviceConfig
from d2m.models.heads import drop_genre
from d2m.models.motion_reader import BodyReader, MotionRead, with_beats
from d2m.models.token_decoder import SamplingSettings, TokenDecoder, sampled_codes
from d2m.rhythm.reader import load_reader
from d2m.rhythm.tracking import track_beats
from d2m.systems.interface import (
    DanceReading,
    GeneratedMusic,
    GenerationRequest,
    MusicGenerator,
    refuse_what_speeds_networks,
)
from d2m.systems.training_system import (
    LossWeights,
    OptimizerSettings,
    TrainedSystem,
    genre_accuracy,
    genre_loss,
    rhythm_loss,
    shown,
)


def genre_probabilities(reads: Sequence[tuple[slice, MotionRead]]) -> Float[torch.Tensor, " 10"]:
    """Of a dance, averaged over its windows."""
    return torch.cat([read.genre_logits for _, read in reads]).float().softmax(dim=-1).mean(dim=0).cpu()


class CodecTransformer(TrainedSystem):
    """Dance features → codec tokens.

    A batch is a dict: `features` [batch time 219] at 60 fps, un-normalised, or what else the reader reads; `codes` Int[batch codebook frame]; `genre`
    Int[batch]; where there are reference beats, `rhythm` [batch 2 frame] in [0, 1] (see `d2m.models.heads`).

    Args:
        reader: of the motion, or of landmarks.
        decoder: of the tokens.
        clock: of the codec; its window is the context that tokens are written in.
        optimization, loss_weights, sampling: settings; of the loss weights, `velocity` has no meaning here.
        prompt_frames: codec frames of a long piece that a window takes over from the one before; None: half a window.
        condition_dropout: probability that all of a row's condition is dropped in training, for guidance.
        genre_dropout: probability that only its genre is.
    """

    def __init__(
        self,
        reader: BodyReader,
        decoder: TokenDecoder,
        clock: Timeline,
        optimization: OptimizerSettings | None = None,
        loss_weights: LossWeights | None = None,
        sampling: SamplingSettings | None = None,
        prompt_frames: int | None = None,
        condition_dropout: float = 0.1,
        genre_dropout: float = 0.1,
    ) -> None:
        super().__init__(optimization)
        self.reader, self.decoder, self.clock = reader, decoder, clock
        self.loss_weights = loss_weights or LossWeights()
        self.sampling = sampling or SamplingSettings()
        self.prompt_frames = clock.window_latent_frames // 2 if prompt_frames is None else prompt_frames
        if not 0 <= self.prompt_frames < clock.window_latent_frames:
            raise BadConfig(
                f"prompt_frames={prompt_frames}: expected 0 or more, and fewer than the {clock.window_latent_frames} frames of "
                "a window."
            )
        self.condition_dropout, self.genre_dropout = condition_dropout, genre_dropout

    def check_codec(self, facts: CodecFacts) -> None:
        """Refuse tokens of another codec than this system writes.

        Raises:
            BadConfig: with all that differs.
        """
        pattern = self.decoder.steps
        own = (self.clock.sample_rate, self.clock.latent_hop_samples, pattern.codebooks, pattern.codebook_size)
        different = facts.shape_differences(*own)
        if different:
            raise BadConfig(
                f"codec '{facts.name}' does not fit this system ({different}); name the codec that the system is made for, or "
                "give the system the codec's numbers (codec=…)."
            )

    # Training

    def compute_losses(
        self, batch: Mapping[str, Any], training: bool, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Every part of the loss, unweighted, the weighted sum as `loss`, and `token_K` of each codebook."""
        codes, genre, pattern = batch["codes"], batch["genre"], self.decoder.steps
        read = self.read(shown(batch, self.reader.modality), codes.shape[-1])
        rhythm = batch.get("rhythm")
        cond = (
            read.cond if rhythm is None else with_beats(read.cond, rhythm[:, 0])
        )  # beats that are given are to be obeyed
        is_uncond = None
        if training:
            is_uncond = torch.rand(len(codes), device=codes.device) < self.condition_dropout
        condition = self.decoder.condition(
            cond, drop_genre(genre, self.genre_dropout) if training else genre, is_uncond
        )
        steps = pattern.delayed(codes)
        logits = self.decoder(pattern.inputs(steps), condition).float()
        losses = [
            F.cross_entropy(logits[:, book].transpose(1, 2), steps[:, book], ignore_index=pattern.pad)
            for book in range(pattern.codebooks)
        ]
        weights, token = self.loss_weights, torch.stack(losses).mean()
        parts = {"token": token, "genre": genre_loss(read.genre_logits, genre)}
        parts["loss"] = token + weights.genre * parts["genre"]
        if rhythm is not None:
            parts["rhythm"] = rhythm_loss(read.rhythm_logits, rhythm, weights.beat_pos_weight)
            parts["loss"] = parts["loss"] + weights.rhythm * parts["rhythm"]
        parts |= {f"token_{book}": loss.detach() for book, loss in enumerate(losses)}
        parts["genre_accuracy"] = genre_accuracy(read.genre_logits, genre)
        return parts

    def read_rhythm(self, batch: Mapping[str, Any]) -> tuple[Float[Tensor, "batch 2 frame"], float]:
        """On the codec's frames."""
        read = self.read(shown(batch, self.reader.modality), batch["codes"].shape[-1])
        return read.rhythm_logits, self.clock.latent_rate

    def optimized(self) -> tuple[nn.Module, nn.Module]:
        """What reads the motion, and what makes the music of it."""
        return self.reader, self.decoder

    # Generation

    @torch.no_grad()
    def generate_long(
        self,
        motion: Float[Tensor, " time *part"],
        genre: int,
        frames: int,
        sampling: SamplingSettings | None = None,
        seed: int = 0,
        prompt: Int[Tensor, "codebook prompt"] | None = None,
        progress: Callable | None = None,
        reads: Sequence[tuple[slice, MotionRead]] | None = None,
    ) -> Int[Tensor, "codebook {frames}"]:
        """Codes of `frames` frames for a dance of any length, window after window.

        Each window goes on from the last `prompt_frames` of the one before and reads the motion of its own time, so that the
        context is never longer than in training. A dance shorter than the music is held at its last frame.

        Args:
            motion: what the reader reads, at 60 fps.
            genre: class number; 10: unknown.
            frames: of the music.
            sampling: None: the system's own.
            seed: the same one gives the same codes.
            prompt: codes that the music begins with.
            progress: wraps the iteration over windows' steps.
            reads: what `windows_read` gave for these frames; None: the motion is read now.
        """
        sampling = sampling or self.sampling
        generator = torch.Generator().manual_seed(seed)
        codes = torch.zeros(self.decoder.steps.codebooks, 0, dtype=torch.long, device=motion.device)
        codes = codes if prompt is None else prompt.to(codes)[:, :frames]
        with self.evaluating():
            for where, read in reads or self.windows_read(motion, frames, codes.shape[-1]):
                label = torch.full((1,), genre, device=motion.device)
                condition, uncond = self.decoder.condition(read.cond, label), None
                if sampling.guidance != 1:
                    uncond = self.decoder.condition(read.cond, label, torch.ones_like(label, dtype=torch.bool))
                made = sampled_codes(
                    self.decoder, condition, uncond, codes[None, :, where.start :], where.stop - where.start,
                    sampling, generator, progress,
                )  # fmt: skip
                codes = torch.cat([codes[:, : where.start], made[0]], dim=-1)
        return codes

    def read(self, motion: Float[Tensor, "batch time *part"], frames: int) -> MotionRead:
        """The condition of windows of motion at each of `frames` codec frames."""
        return self.reader(motion, frames, self.clock.latent_rate)

    def window(self, motion: Float[Tensor, " time *part"], start: int, frames: int) -> Float[Tensor, " frame *part"]:
        """The motion of `frames` codec frames from `start`; after its last frame the dance stands still."""
        first = self.clock.latent_frames_to_motion_frames(start)
        length = max(2, int(self.clock.latent_frames_to_seconds(frames) * MOTION_FPS))
        index = torch.arange(first, first + length, device=motion.device)
        return motion[index.clamp(max=len(motion) - 1)]

    @torch.no_grad()
    def windows_read(
        self, motion: Float[Tensor, " time *part"], frames: int, known: int = 0
    ) -> list[tuple[slice, MotionRead]]:
        """A whole dance read in the windows that its codes are written in, with the codec frames that each covers.

        Args:
            frames: of the music.
            known: so many of them are there already.
        """
        window = min(frames, self.clock.window_latent_frames)
        reads = []
        with self.evaluating():
            while known < frames:
                # the last window ends with the music, so that the motion it reads is of full length
                start = min(max(0, known - self.prompt_frames), frames - window)
                known = start + window
                read = self.read(self.window(motion, start, window)[None], window)
                reads.append((slice(start, known), read))
        return reads

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Dropout off, and back as it was."""
        was_training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(was_training)


class CodecGenerator(MusicGenerator):
    """A system that writes codes, with its codec.

    Settings: `temperature`, `top_k`, `guidance` (see `d2m.models.token_decoder.SamplingSettings`).

    Args:
        system: motion to codes; put into evaluation mode.
        made_with: what the training data noted; `codec`, `codec_bandwidth` and `codec_sha256` say whose codes were learnt.
        autoencoder: another codec of the same shape, by name or path.

    Raises:
        BadConfig: when the codec's frames or codebooks are others, or it is not the one whose codes were learnt.
    """

    settings = frozenset({"temperature", "top_k", "guidance"})

    def __init__(
        self, system: CodecTransformer, made_with: Mapping[str, Any], autoencoder: str | Path | None = None
    ) -> None:
        name, own = str(autoencoder or made_with.get("codec", "demo")), {} if autoencoder else made_with
        codec, learnt = load_codec(name, own.get("codec_bandwidth")), own.get("codec_sha256")
        system.check_codec(codec.facts)
        found = codec.fingerprint()
        if learnt not in (None, found):
            raise BadConfig(
                f"codec '{name}' has weights {found[:12]}, but this checkpoint has learnt the codes of {learnt[:12]}; "
                "give the codec that its training tokens were made with."
            )
        self.system, self.codec, self.sample_rate = system, codec, codec.sample_rate
        self.modality = system.reader.modality
        self.rhythm_reader = load_reader("rhythm_reader").requires_grad_(False)
        system.eval().requires_grad_(False)

    def on(self, device_config: DeviceConfig) -> None:
        """Any device; bfloat16 on GPUs only."""
        refuse_what_speeds_networks(device_config, "a codec transformer")
        self.device_config = device_config
        self.system.to(device_config.device)
        self.codec.to(device_config.device)
        if self.rhythm_reader is not None:
            self.rhythm_reader.to(device_config.device)

    def read(self, motion: Float[torch.Tensor, " time *part"]) -> DanceReading | None:
        """By the rhythm reader that ships; of landmarks, which it does not know, by the system's own heads over the dance's windows."""
        if self.modality == "features":
            return super().read(motion)
        clock = self.system.clock
        frames = max(1, int(len(motion) / MOTION_FPS * clock.latent_rate))
        reads = self.system.windows_read(motion.to(self.device_config.device), frames)
        total, count = np.zeros(reads[-1][0].stop), np.zeros(reads[-1][0].stop)
        for where, read in reads:
            total[where] += read.rhythm_logits[0, 0].float().sigmoid().cpu().numpy()
            count[where] += 1
        return DanceReading(genre_probabilities(reads), track_beats(total / count, clock.latent_rate))

    def generate(self, request: GenerationRequest) -> GeneratedMusic:
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
        motion = request.motion.to(self.device_config.device)
        reads = self.system.windows_read(motion, frames)
        probabilities = genre_probabilities(reads)
        genre = int(probabilities.argmax()) if request.genre is None else request.genre
        if request.beats is not None:
            curve = torch.from_numpy(request.beats.curve(frames, self.system.clock.latent_rate))
            reads = [(where, read.on_beats(curve[None, where])) for where, read in reads]
        with self.device_config.running():
            codes = self.system.generate_long(
                motion, genre, frames, SamplingSettings(**used), request.seed, None, request.progress, reads
            )
        return GeneratedMusic(self.codec.decode(codes[None], request.seed)[0].float().cpu(), used, genre, probabilities)


# Motion → codec tokens: a causal transformer that writes a codec's codes frame by frame, conditioned on the motion.
#
# The idea is that of the "DanceToMusic" project of 2023 (pose → EnCodec tokens by a sequence-to-sequence transformer), built with
# the delay pattern and ids of MusicGen (arXiv:2306.05284), time-aligned conditioning and music of any length.
