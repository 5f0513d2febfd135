"""Settings of quality models, of their training, and of content encoders, each default with its source."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from mdsvqa.runtime.settings import MOST_SEED, Added, Checkpoint, Settings, StudyPath, Unrecorded, beside_study
from mdsvqa.videos.settings import ViewSettings

HANDCRAFTED = "handcrafted"
BATCH_GB = 1.0
STATISTICAL, PRECOMPUTED = "statistical", "precomputed"
Dtype = Literal["auto", "bfloat16", "float16", "float32"]


class VlmSettings(ViewSettings):
    """f as a vision-language model: what it sees, how its score is read, how it is run."""

    recorded_as: ClassVar[dict[str, str]] = {
        "fps": "rate",
        "max_pixels": "most_pixels",
        "min_pixels": "fewest_pixels",
        "max_new_tokens": "most_tokens",
        "load_in_4bit": "quantise",
    }

    base_adapter: Unrecorded[Checkpoint | tuple[Checkpoint, ...] | None] = Field(
        None, description="Merge this PEFT adapter of f itself into the model first: a folder or a Hub name."
    )
    adapter: Unrecorded[Checkpoint | None] = Field(None, description="PEFT adapter: a folder or a Hub name.")
    # None is recorded as False: what is merged of itself differs by less than rounding.
    merge: bool | None = Field(
        None,
        description="Merge the adapter into the weights, which is faster and rounds them once more; by default where "
        "that changes the logits of a made-up clip by less than the model's own precision does.",
    )
    reading: Literal["generate", "expected"] = Field(
        "generate",
        description="Read the model so. generate: the model thinks and answers. expected: the mean of all answers "
        "by their "
        "probabilities, in one pass, without ties.",
    )
    answers: Added[Literal["scores", "levels"]] = Field(
        "scores",
        description="Say what the model answers by: scores, or levels from excellent to bad as Q-Align and its "
        "successors, "
        "whose mean by their probabilities is the score (goes with `reading: expected`).",
    )
    prompt: str | None = Field(
        None, min_length=1, description="Ask this in place of the question that it was trained on."
    )
    samples: int = Field(
        1, ge=1, description="Take so many replies a video, drawn when above 1: their mean and spread."
    )
    retries: int = Field(0, ge=0, description="Draw so many replies in place of an unparsable one.")
    # None: 1.05 for the paper's checkpoints, which their own inference decodes with.
    repetition_penalty: float | None = Field(
        None, gt=0, description="Penalise tokens of question and reply by this; by default the checkpoint's own."
    )
    sampling: Literal["reference", "rate", "count"] | None = Field(
        None,
        description="Choose frames so. reference: as in the model's training, an even number, from the first to the "
        "last. "
        "rate: those on screen at 0, 1/fps, 2/fps, ... seconds. count: as many as `frames` says. By default count "
        "where `frames` or the checkpoint says how many, else reference.",
    )
    # None: what the checkpoint's processor says, else 2 as in the paper's inference.
    fps: float | None = Field(
        None, gt=0, description="Take so many frames a second of video; by default what the checkpoint says, else 2."
    )
    frames: int | None = Field(
        None, ge=1, description="Take so many frames of each video, at equal distances, in place of a rate."
    )
    # As frames of the training were, by decord or PyAV; for a model that learned from other ones, full.
    chroma: Literal["reference", "full"] = Field(
        "reference",
        description="Read colours so. reference: to the bit as the readers of video that checkpoints were trained "
        "with. full: with interpolated chroma, nearer to the picture on a screen.",
    )
    # Limits of the paper's inference: 768 and 128 tokens of 28 x 28 pixels a frame. A checkpoint may allow less.
    max_pixels: int = Field(768 * 28 * 28, ge=28 * 28, description="Reduce frames of more pixels.")
    min_pixels: int = Field(128 * 28 * 28, ge=1, description="Enlarge frames of fewer pixels.")
    # The reference's. Half of a reply says nothing: the answer stands at its end.
    max_new_tokens: int = Field(
        2048, ge=16, description="Cut a reply after so many tokens; one that is cut has no score."
    )
    # None: on a GPU what fits its memory, measured; on a CPU what its caches like.
    batch_tokens: Unrecorded[int | None] = Field(
        None,
        ge=1,
        description="Fill a batch with so many tokens, padding included; by default what fits a GPU's memory, and "
        "few on a CPU. One that does not fit the device is halved.",
    )
    runner: Added[Literal["transformers", "vllm"]] = Field(
        "transformers",
        description="Run the checkpoint by transformers, or by vllm in this process, which is for replies.",
    )
    device: Unrecorded[str] = Field("auto", description="Compute on this device: auto, cpu, cuda, cuda:1.")
    dtype: Dtype = Field("auto", description="Set the precision of the weights.")
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = Field(
        "auto", description="Name the implementation of attention."
    )
    load_in_4bit: bool = Field(
        False, description="Load weights in 4 bits by bitsandbytes, for a GPU that is too small."
    )
    trust_remote_code: Unrecorded[bool] = Field(False, description="Run Python code that comes with a checkpoint.")
    seed: int = Field(0, ge=0, description="Of drawn replies.")

    def record(self, *, whole: bool = False) -> dict[str, Any]:
        found = super().record(whole=whole)
        return {**found, "merge": bool(self.merge), "quantise": "4bit" if self.load_in_4bit else None}

    def seen(self) -> dict[str, Any]:
        """What of the settings says which frames a model sees, and how large, for records of results."""
        names = ("sampling", "rate", "frames", "chroma", "most_pixels", "fewest_pixels", *ViewSettings.model_fields)
        return {name: value for name, value in self.record().items() if name in names}

    def below(self) -> "VlmSettings":
        """The same f as what another adapter goes on top of: its own adapter becomes a part of the base."""
        stack = (*self.base_adapters, *([self.adapter] if self.adapter else []))
        merged = stack[0] if len(stack) == 1 else stack or None
        return self.model_copy(update={"base_adapter": merged, "adapter": None})

    @property
    def base_adapters(self) -> tuple[str, ...]:
        """What is merged into the model first, in this order."""
        named = self.base_adapter or ()
        return (named,) if isinstance(named, str) else named

    @field_validator("base_adapter", mode="before")
    @classmethod
    def _one_is_no_list(cls, named: Any) -> Any:
        return named if not isinstance(named, list | tuple) or len(named) > 1 else next(iter(named), None)

    @model_validator(mode="after")
    def _samples_once(self) -> Self:
        if self.fps is not None and self.frames is not None:
            raise ValueError("`fps` and `frames` exclude each other.")
        if self.frames is not None and self.sampling not in (None, "count"):
            raise ValueError(f"`frames` goes with `sampling: count`, and `sampling: {self.sampling}` with `fps`.")
        if self.fps is not None and self.sampling == "count":
            raise ValueError("`fps` goes with `sampling: reference` or `rate`, and `sampling: count` with `frames`.")
        if self.answers == "levels" and self.reading != "expected":
            raise ValueError("`answers: levels` are read by their probabilities. Use `reading: expected`.")
        if self.runner == "vllm" and (self.reading == "expected" or self.load_in_4bit):
            raise ValueError(
                "`runner: vllm` writes replies of a checkpoint in its own precision. Use `reading: generate` without "
                "`load_in_4bit`, or `runner: transformers`."
            )
        if self.samples > 1 and self.reading == "expected":
            raise ValueError("`samples` draws replies; the expected score has none. Use `reading: generate`.")
        return self


class ServedSettings(Settings):
    """A vision-language model behind a server that speaks the OpenAI protocol.

    The key, where one is needed, comes from the environment: MDSVQA_API_KEY, else OPENAI_API_KEY.
    """

    url: str | tuple[str, ...] = Field(
        description="Of the server, with its /v1; or a list of servers of the same model, which share the videos."
    )
    model: str = Field("", description="As the server calls it; by default as f is called.")
    # Enough for a server to fill its batches.
    concurrency: int = Field(16, ge=1, description="Have so many requests under way at a time, at each server.")
    timeout: float = Field(300.0, gt=0, description="Wait so many seconds for one reply.")
    # Half a minute in all.
    retries: int = Field(5, ge=0, description="Of a request, with growing pauses.")
    frames_as: Literal["auto", "video", "images"] = Field(
        "auto", description="Send frames as video (vLLM), images (any server), or auto: video where the server is vLLM."
    )
    counts_time: Unrecorded[bool] = Field(
        True,
        description="Say that the model counts the seconds between frames, and refuse a server that minds none.",
    )
    # JPEG is one of the distortions that are to be measured.
    picture: Literal["png", "jpeg"] = Field("png", description="How a frame is packed; png loses nothing.")

    @property
    def urls(self) -> tuple[str, ...]:
        """Of every server."""
        return (self.url,) if isinstance(self.url, str) else self.url

    @field_validator("url")
    @classmethod
    def _names_each_once(cls, url: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(url, str):
            return url
        if not url or len(set(url)) < len(url):
            raise ValueError("expected the address of a server, or a list of several, each once.")
        return url if len(url) > 1 else url[0]


FeatureSet = Literal["statistical", "content"]


def _named_or_beside(model: str, info: ValidationInfo) -> str:
    return model if model in (STATISTICAL, PRECOMPUTED) else beside_study(model, info)


class QualitySettings(ViewSettings):
    """f, the model that is to become better."""

    model: Annotated[str, AfterValidator(_named_or_beside)] = Field(
        STATISTICAL,
        description="statistical (trained on the manifest's `train` videos), a file saved by `mdsvqa finetune`, "
        "precomputed (needs `predictions`), a class by its dotted path, package.module:Class, or a checkpoint: a "
        "folder or a Hub name.",
    )
    vlm: VlmSettings = Field(VlmSettings(), description="Where it is a vision-language model.")
    predictions: StudyPath | None = Field(None, description="CSV with id and score, of the source and the pool.")
    features: StudyPath | tuple[FeatureSet, ...] | None = Field(
        None,
        description="CSV or Parquet with id and numeric columns, in place of features computed from the files; or a "
        "list of statistical (those of frames) and content (mean and deviation over frames of what `content.encoder` "
        "says), for which the statistical model has a kernel each. By default [statistical, content] where an encoder "
        "is named and the model is statistical.",
    )
    server: Added[ServedSettings | None] = Field(
        None, description="Where the model is behind a server: url and the rest."
    )
    server_after: Added[ServedSettings | None] = Field(
        None, description="Your model behind a server after you fine-tuned it, where `server` is the one before."
    )
    scores_after: StudyPath | None = Field(
        None, description="CSV with id and score: predictions of your model after you fine-tuned it."
    )
    # Enough that a stall of a tenth of the video repeats at least one of them.
    frames: int = Field(24, ge=1, description="Of each video for the statistical features, at equal distances.")
    batch_gb: Unrecorded[float] = Field(
        BATCH_GB, gt=0, description="Of frames that a class is given at once, in GB; it is given fewer clips then."
    )

    @field_validator("features")
    @classmethod
    def _names_each_set_once(cls, features: Any) -> Any:
        if isinstance(features, tuple) and (not features or len(set(features)) < len(features)):
            raise ValueError("expected a table, or a list that names statistical, content or both, each once.")
        return features

    @model_validator(mode="after")
    def _has_predictions(self) -> Self:
        if (self.model == PRECOMPUTED) != (self.predictions is not None):
            raise ValueError("`predictions` names a CSV, and goes with `model: precomputed` and no other.")
        if self.server_after is not None and self.server is None:
            raise ValueError("`server_after` goes with `server`, the model before it was fine-tuned.")
        if self.vlm.runner == "vllm" and (self.vlm.adapter or self.vlm.base_adapter):
            raise ValueError(
                "`vlm: runner: vllm` takes one adapter, the one that is trained. Merge the model's own into it by "
                "`mdsvqa merge`, and name the result by `model`."
            )
        if self.server is not None and self.model in (STATISTICAL, PRECOMPUTED):
            raise ValueError("`server`: name the model as the server calls it by `model`.")
        return self


class LoraSettings(Settings):
    """A low-rank adapter on the language model; the vision tower stays as it is."""

    # As the paper's, for both of its adapters.
    rank: int = Field(64, ge=1, description="Of the adapter.")
    alpha: int = Field(128, ge=1, description="Of the adapter.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Of the adapter.")
    # None: all linear layers of the language model; a plain list of their names would also hit the vision tower's.
    targets: str | None = Field(
        None, description="Regular expression of the full names of the layers; by default the model family's."
    )

    def record(self, *, whole: bool = False) -> dict[str, Any]:
        found = super().record(whole=whole)
        return {**found, "targets": self.targets or r".*\.language_model\..*_proj"}


class AdapterTraining(Settings):
    """How an adapter is trained to rank."""

    recorded_as: ClassVar[dict[str, str]] = {"batch_size": "batch", "max_pixels": "most_pixels"}

    lora: LoraSettings = Field(LoraSettings(), description="The adapter.")
    # The paper's.
    epochs: int = Field(10, ge=1, description="Pass over the labeled videos so often.")
    steps: int | None = Field(None, ge=1, description="Train for so many batches, in place of epochs.")
    # 496 pairs where they are of one data set.
    batch_size: int = Field(32, ge=2, description="Compare so many videos in a step, over all processes.")
    # The paper's, for 7 billion weights. The tiny model wants 1e-3.
    learning_rate: float = Field(1e-5, gt=0, description="Set the learning rate of AdamW.")
    warmup: float = Field(0.05, ge=0, lt=1, description="Raise the learning rate over this share of the steps.")
    weight_decay: float = Field(0.0, ge=0, description="Set the weight decay of AdamW.")
    clip: float = Field(1.0, gt=0, description="Clip the norm of the gradient to this.")
    held_out: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Hold out this share of the labeled videos, not to learn from but to say when to stop.",
    )
    evaluations: int = Field(20, ge=1, description="Evaluate so often on held-out videos, with a checkpoint each time.")
    patience: int = Field(5, ge=1, description="Stop after so many evaluations without a better one.")
    # None: on a GPU what fits its memory, measured; on a CPU what its caches like.
    batch_tokens: Unrecorded[int | None] = Field(
        None, ge=1, description="That a device holds at a time; halved for good when they do not fit."
    )
    vision_cache: Added[Unrecorded[int | None]] = Field(
        None,
        ge=0,
        description="Keep what the vision tower makes of the training videos on disk, up to so many bytes; by default "
        "half of what is free.",
    )
    gradient_checkpointing: bool | None = Field(
        None, description="Compute the activations twice instead of keeping them; by default on a GPU."
    )
    # 512 x 512, as in the paper's training.
    max_pixels: int = Field(512 * 512, ge=28 * 28, description="Reduce frames of more pixels.")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="Of the adapter, the order, dropout.")


class VlmFinetuning(AdapterTraining):
    """f' as an adapter on a vision-language model."""

    recorded_as: ClassVar[dict[str, str]] = {**AdapterTraining.recorded_as, "max_new_tokens": "most_tokens"}

    # Anew: what an early round taught does not lean on the order of the rounds.
    start: Added[Literal["base", "round"]] = Field(
        "base",
        description="Start each round of a study so: base trains a fresh adapter on all labels so far, round goes "
        "on from "
        "the adapter of the round before.",
    )
    # On the tiny model it learns where the published one does not (benchmarks/finetuning_learns.py).
    objective: Literal["fidelity", "grpo"] = Field(
        "fidelity",
        description="Train by fidelity (the expected score) or by grpo (rewards drawn replies, as published).",
    )
    # A twentieth of the pool against the whole source would be in few pairs. 0.8 is better for the statistical model;
    # no GPU has shown it for one of these.
    target_weight: float | None = Field(
        0.5,
        ge=0,
        le=1,
        description="Give newly labeled pairs this share: a batch holds as many new videos as make so many of its "
        "pairs. null "
        "goes by their number.",
    )
    form_weight: float = Field(
        0.05,
        ge=0,
        description="Weigh this so much: the negative log-probability that an answer begins with a digit from 1 to 5.",
    )
    # With less, replies of the tiny model lost their form.
    text_weight: float = Field(
        1.0, ge=0, description="Weigh the base model's own replies so much, so that f' keeps writing."
    )
    text_share: float = Field(0.25, gt=0, le=1, description="Compute that on this share of a batch's videos.")
    least_spread: float = Field(
        0.1, ge=0, lt=1, description="Stop as collapsed below this share of the spread that scores had before training."
    )
    least_formed: float = Field(
        0.8, ge=0, le=1, description="Stop as broken below this share of the well-formed replies before training."
    )
    watched: int = Field(16, ge=1, description="Write the replies of so many held-out videos at each evaluation.")
    # The paper's.
    generations: int = Field(4, ge=2, description="Draw so many replies a video; of grpo.")
    temperature: float = Field(1.0, gt=0, description="Draw replies at this temperature; of grpo.")
    max_new_tokens: int = Field(256, ge=16, description="Draw replies of at most so many tokens; of grpo.")
    kl: float = Field(0.04, ge=0, description="Weigh the divergence from the base so much; of grpo.")

    @property
    def new_share(self) -> float | None:
        """Of newly labeled videos in a batch: n new and m old ones make about n^2 and m^2 pairs.

        >>> VlmFinetuning().new_share, VlmFinetuning(target_weight=0.8).new_share
        (0.5, 0.6666666666666667)
        """
        if self.target_weight is None:
            return None
        new, old = self.target_weight**0.5, (1 - self.target_weight) ** 0.5
        return new / (new + old)

    def record(self, *, whole: bool = False) -> dict[str, Any]:
        found = super().record(whole=whole)
        del found["target_weight"]
        return {**found, "new_share": self.new_share, "new_weight": 1.0}

    @model_validator(mode="before")
    @classmethod
    def _had_shares_of_videos(cls, given: Any) -> Any:
        if isinstance(given, dict) and (old := given.keys() & {"new_share", "new_weight"}):
            share = given.get("new_share", 0.5)
            pairs = share**2 / (share**2 + (1 - share) ** 2) if isinstance(share, float) else None
            raise ValueError(
                f"`{'`, `'.join(sorted(old))}`: say how much newly labeled pairs count by `target_weight`"
                + (f"; {pairs:.2f} is what new_share {share:g} was." if pairs is not None else ".")
            )
        return given


class FinetuningSettings(Settings):
    """f', from the labels of the source and the new ones. Defaults by the gain on real data sets."""

    # On six directions between YouTube-UGC, KoNViD-1k and LIVE-VQC, with the same labels: benchmarks/real_domains.py.
    method: Literal["two-domain-gp", "ranking"] = Field(
        "two-domain-gp",
        description="Of the statistical model. two-domain-gp: a Gaussian process over both domains, which knows its "
        "uncertainty. ranking: by pairs within each data set, as vision-language models are.",
    )
    # With half of the weight on the source, target SRCC on the six directions is .02 lower.
    target_weight: float = Field(
        0.8, gt=0, le=1, description="Of ranking: share of newly labeled pairs; the source's share the rest."
    )
    # Best value there at 20, 50, 200 and 1,000 labels: 0.001, 0.0004, 0.0001, 0.00003.
    stiffness: float = Field(
        0.02,
        gt=0,
        description="Weight of the squared kernel norm of the change, divided by the labels of the smallest data set.",
    )
    noise: float = Field(
        0.5, gt=0, description="Standard deviation of a reading of f in Thurstone's model, MOS points."
    )
    most_pairs: int = Field(20_000, ge=1, description="That are compared.")
    steps: int = Field(100, ge=1, description="Of the optimiser.")
    vlm: VlmFinetuning = Field(VlmFinetuning(), description="Where f is a vision-language model.")


def _is_encoder(encoder: str, info: ValidationInfo) -> str:
    folder = Path() if info.context is None else info.context["folder"]
    if encoder == HANDCRAFTED or "/" in encoder or (folder / encoder).is_dir():
        return encoder
    raise ValueError(
        f"{encoder!r} is neither {HANDCRAFTED} nor a checkpoint: a Hub name such as openai/clip-vit-large-patch14, or "
        "a folder such as ./checkpoint."
    )


class ContentSettings(ViewSettings):
    """F, the content features."""

    encoder: Annotated[Checkpoint, AfterValidator(_is_encoder)] = Field(
        HANDCRAFTED,
        description="Encode by handcrafted (embedded), or by a CLIP, SigLIP, SigLIP 2 or DINOv2 checkpoint: a "
        "folder or a Hub name "
        "such as openai/clip-vit-large-patch14, google/siglip2-base-patch16-224, facebook/dinov2-base.",
    )
    # A scene of the length of a typical test clip (2 to 20 s) shows little more in more frames.
    frames: int = Field(8, ge=1, description="Take so many frames of each video, at equal distances.")
    # None: 256 on a GPU; on a CPU 32, what its caches like.
    batch_size: int | None = Field(
        None,
        ge=1,
        exclude=True,
        description="Put so many frames into a pass of a checkpoint; by default 256 on a GPU, 32 on a CPU.",
    )
    device: str = Field("auto", exclude=True, description="Compute on this device: auto, cpu, cuda, cuda:1.")
    dtype: Dtype = Field(
        "auto", description="Set the precision of a checkpoint; auto is float16 on a GPU, float32 on a CPU."
    )
