"""What a study.yaml may say. Every default that is worth arguing about stands here with its source."""

import re
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mdsvqa.runtime.errors import InputError

RuleName = Literal[
    "mds",
    "random",
    "difficulty",
    "core-set",
    "k-means",
    "facility-location",
    "difficulty-facility",
    "typiclust",
    "freesel",
    "committee",
]
Space = Literal["content", "quality"]
ErrorName = Literal["raw", "calibrated", "rank"]
PredictorName = Literal["auto", "few-inputs", "linear", "forest", "second-opinion", "rank-average"]

HANDCRAFTED = "handcrafted"
# The largest that every library here takes, with room for the rounds that count up from it.
MOST_SEED = 2**31 - 1


class ConfigError(InputError):
    """A study file that cannot be used; the message names the file and what to change."""


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class VlmSettings(Settings):
    """f as a vision-language model: what it sees, how its score is read, how it is run.

    Attributes:
        base_adapter: PEFT adapter that is merged into the model first: the one that `adapter` was trained on top of.
        adapter: PEFT adapter, a folder or a Hub name.
        merge: the adapter into the weights: faster, and rounded anew in 16-bit precision.
        reading: "generate" lets the model think and parses its answer; "expected" takes the mean answer under its
            token probabilities, in one pass and without ties.
        prompt: in place of the one that the checkpoint was trained on.
        samples: replies a video; above 1 they are drawn at temperature 1, the score is their mean and `spread` their
            standard deviation.
        retries: drawn replies in place of a greedy one that cannot be parsed.
        repetition_penalty: on tokens that the question and the reply hold already, where replies are written; None
            takes the checkpoint's own.
        sampling: which frames. "reference": as many as `rate` gives, an even number, at equal distances by number, the
            first and the last among them, as in the training of this family. "rate": those on screen at 0, 1/rate,
            2/rate, ... seconds. "count": `frames` of them. None is "count" where `frames` or the checkpoint says how
            many, else "reference".
        rate: frames a second of video; not beside `frames`.
        frames: of each video, at equal distances.
        most_pixels, fewest_pixels: of a frame.
        most_tokens: of a reply.
        batch_tokens: of a batch, padding included; a batch that does not fit the device is halved.
        device, dtype, attention: "auto" takes the best that is here.
        quantise: "4bit" by bitsandbytes, for a GPU that is too small.
        trust_remote_code: run Python code that comes with a checkpoint.
        seed: of drawn replies.
    """

    base_adapter: str | None = None
    adapter: str | None = None
    merge: bool = False
    reading: Literal["generate", "expected"] = "generate"
    prompt: str | None = Field(None, min_length=1)
    samples: int = Field(1, ge=1)
    retries: int = Field(0, ge=0)
    # None: 1.05 for Qwen2.5-VL, which the reference decodes with.
    repetition_penalty: float | None = Field(None, gt=0)
    sampling: Literal["reference", "rate", "count"] | None = None
    # None: what the checkpoint's processor says, else 2 as qwen-vl-utils.
    rate: float | None = Field(None, gt=0)
    frames: int | None = Field(None, ge=1)
    # Limits of qwen-vl-utils: 768 and 128 tokens of 28 x 28 pixels a frame. A checkpoint that allows less gets less.
    most_pixels: int = Field(768 * 28 * 28, ge=28 * 28)
    fewest_pixels: int = Field(128 * 28 * 28, ge=1)
    # The reference's. Half of a reply says nothing: the answer stands at its end.
    most_tokens: int = Field(2048, ge=16)
    # None: on a GPU four videos of 20 s at the limits above; on a CPU what its caches like.
    batch_tokens: int | None = Field(None, ge=1)
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    quantise: Literal["4bit"] | None = None
    trust_remote_code: bool = False
    seed: int = Field(0, ge=0)

    def seen(self) -> dict[str, Any]:
        """What of the settings says which frames a model sees, and how large."""
        return self.model_dump(include={"sampling", "rate", "frames", "most_pixels", "fewest_pixels"})

    def below(self) -> "VlmSettings":
        """The same f as what another adapter goes on top of: its own adapter becomes a part of the base."""
        return self.model_copy(update={"base_adapter": self.adapter, "adapter": None}) if self.adapter else self

    @model_validator(mode="after")
    def _samples_once(self) -> Self:
        if self.rate is not None and self.frames is not None:
            raise ValueError("`rate` and `frames` exclude each other.")
        if self.frames is not None and self.sampling not in (None, "count"):
            raise ValueError(f"`frames` goes with `sampling: count`, and `sampling: {self.sampling}` with `rate`.")
        if self.rate is not None and self.sampling == "count":
            raise ValueError("`rate` goes with `sampling: reference` or `rate`, and `sampling: count` with `frames`.")
        if self.samples > 1 and self.reading == "expected":
            raise ValueError("`samples` draws replies; the expected score has none. Use `reading: generate`.")
        return self


class ServedSettings(Settings):
    """A vision-language model behind a server that speaks the OpenAI protocol.

    The key, where one is needed, comes from the environment: MDSVQA_API_KEY, else OPENAI_API_KEY.

    Attributes:
        url: of the server, with its /v1.
        model: as the server calls it; with vLLM the name of the adapter, if one is to be used.
        concurrency: requests under way at a time.
        timeout: for one reply, in seconds.
        retries: of a request, with growing pauses.
        frames_as: "video" (decoded frames in one part, which vLLM takes), "images" (a picture a frame, which every
            server takes), or "auto": video where the server is vLLM.
        picture: how a frame is packed; "png" loses nothing, "jpeg" is smaller.
    """

    url: str
    model: str
    # Enough for a server to fill its batches.
    concurrency: int = Field(16, ge=1)
    timeout: float = Field(300.0, gt=0)
    # Half a minute in all.
    retries: int = Field(5, ge=0)
    frames_as: Literal["auto", "video", "images"] = "auto"
    # JPEG is one of the distortions that are to be measured.
    picture: Literal["png", "jpeg"] = "png"


class QualitySettings(Settings):
    """f, the model that is to become better.

    Attributes:
        model: "statistical" (trained on the manifest's `train` videos), a file saved by `mdsvqa finetune`,
            "precomputed" (needs `predictions`), the dotted path of a class, "package.module:Class", or a Qwen2.5-VL
            checkpoint: a folder or a Hub name.
        vlm: settings of such a checkpoint.
        predictions: CSV with columns id and score, of the source and the pool.
        features: CSV or Parquet with an id and numeric columns, in place of features computed from the files.
        scores_after: CSV with columns id and score: the predictions of your model after you fine-tuned it. Only for
            models that this program cannot fine-tune itself.
        frames: sampled from each video for the statistical features, at equal distances.
    """

    model: str = "statistical"
    vlm: VlmSettings = VlmSettings()
    predictions: Path | None = None
    features: Path | None = None
    scores_after: Path | None = None
    # Enough that a stall of a tenth of the video repeats at least one of them.
    frames: int = Field(24, ge=1)

    @model_validator(mode="after")
    def _has_predictions(self) -> Self:
        if (self.model == "precomputed") != (self.predictions is not None):
            raise ValueError("`predictions` names a CSV, and goes with `model: precomputed` and no other.")
        return self


class LoraSettings(Settings):
    """A low-rank adapter on the language model; the vision tower stays as it is.

    Attributes:
        rank, alpha, dropout: of the adapter.
        targets: regular expression of the layers' full names.
    """

    # As the paper's, for both of its adapters.
    rank: int = Field(64, ge=1)
    alpha: int = Field(128, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    # All linear layers of the language model. A plain list of their names would also hit the vision tower's.
    targets: str = r".*\.language_model\..*_proj"


class AdapterTraining(Settings):
    """How an adapter is trained to rank.

    Attributes:
        lora: the adapter.
        epochs: passes over the training videos, unless `steps` says how many batches.
        steps: batches; None goes by `epochs`.
        batch: videos whose scores are compared with each other in a step, over all processes.
        learning_rate: of AdamW.
        warmup: share of the steps over which the learning rate rises; then it falls linearly to 0.
        weight_decay: of AdamW.
        clip: the gradient's norm.
        held_out: share of the labeled videos that are not learned from and say when to stop.
        evaluations: on them, at equal distances; a checkpoint is written at each.
        patience: evaluations without a better one until training stops.
        batch_tokens: that a device holds at a time; halved for good when they do not fit.
        gradient_checkpointing: computes the activations twice instead of keeping them; None does so on a GPU.
        most_pixels: of a frame.
        seed: of the adapter, the order, dropout.
    """

    lora: LoraSettings = LoraSettings()
    # The paper's.
    epochs: int = Field(10, ge=1)
    steps: int | None = Field(None, ge=1)
    # 496 pairs where they are of one data set.
    batch: int = Field(32, ge=2)
    # The paper's, for 7 billion weights. The tiny model wants 1e-3.
    learning_rate: float = Field(1e-5, gt=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0)
    held_out: float = Field(0.2, gt=0, lt=1)
    evaluations: int = Field(20, ge=1)
    patience: int = Field(5, ge=1)
    # None: on a GPU two videos of 20 frames of 512 x 512 pixels; on a CPU what its caches like.
    batch_tokens: int | None = Field(None, ge=1)
    gradient_checkpointing: bool | None = None
    # 512 x 512, as in the paper's training.
    most_pixels: int = Field(512 * 512, ge=28 * 28)
    seed: int = Field(0, ge=0, le=MOST_SEED)


class FailureTraining(AdapterTraining):
    """How a vision-language model learns to predict its own failures.

    Attributes:
        objective: "fidelity" trains the expected answer itself; "reinforce" rewards one sampled answer, as published.
        error: that is ranked; see `DifficultySettings.error`.
        format_weight: of the term that keeps answers in their form: of "reinforce" a reward beside one in [0, 1], of
            "fidelity" the negative log-probability of a digit from 1 to 5 beside a loss in [0, 1].
    """

    # On the tiny model it learns where the published one does not (benchmarks/vlm_failure.py).
    objective: Literal["fidelity", "reinforce"] = "fidelity"
    error: ErrorName = "rank"
    format_weight: float = Field(1.0, ge=0)


class VlmFinetuning(AdapterTraining):
    """f' as an adapter on a vision-language model.

    Attributes:
        objective: "fidelity" trains the expected score itself; "grpo" rewards drawn replies, as published.
        new_share: of newly labeled videos in a batch; None goes by their number.
        new_weight: of a newly labeled video in the loss, against 1 of a source video.
        form_weight: of the negative log-probability that the answer begins with a digit from 1 to 5.
        text_weight: of the cross-entropy of the base model's own replies, so that f' keeps writing.
        text_share: of a batch's videos on which that is computed.
        least_spread: share of the spread of scores before training under which they count as collapsed.
        least_formed: share of well-formed replies, of those before training, under which form counts as broken.
        watched: held-out videos whose replies are written at each evaluation.
        generations, temperature, most_tokens, kl: of "grpo": replies a video, drawn at this temperature, and the weight
            of the divergence from the base.
    """

    # On the tiny model it learns where the published one does not (benchmarks/finetuning_learns.py).
    objective: Literal["fidelity", "grpo"] = "fidelity"
    # A twentieth of the pool against the whole source would be in few pairs.
    new_share: float | None = Field(0.5, ge=0, le=1)
    new_weight: float = Field(1.0, gt=0)
    form_weight: float = Field(0.05, ge=0)
    # With less, replies of the tiny model lost their form.
    text_weight: float = Field(1.0, ge=0)
    text_share: float = Field(0.25, gt=0, le=1)
    least_spread: float = Field(0.1, ge=0, lt=1)
    least_formed: float = Field(0.8, ge=0, le=1)
    watched: int = Field(16, ge=1)
    # The paper's.
    generations: int = Field(4, ge=2)
    temperature: float = Field(1.0, gt=0)
    most_tokens: int = Field(256, ge=16)
    kl: float = Field(0.04, ge=0)


class DifficultySettings(Settings):
    """g, the failure predictor.

    Attributes:
        predictor: "auto" chooses one by cross-validation on the source where f cannot be refitted.
        error: what g learns to rank: |f - MOS|, the same after the monotone fit of f to MOS, or the difference of
            ranks.
        held_out: errors on the source's videos of split test are used, where there are at least this many of them and
            f cannot be refitted.
        noise: of the rule noise-stability, in standard deviations of each feature.
        passes: of the rules noise-stability and MC dropout.
        adapter: g as a PEFT adapter on f, where f is a vision-language model: a folder, a Hub name, or "train" to train
            one in the study's folder. In place of a predictor that reads features.
        vlm: how that is trained.
    """

    # Where f is refitted "auto" means "linear": of the predictors it ranks the errors on another data set best, and the
    # cross-validation on clusters of the source says so too (benchmarks/failure_transfer.py). For a VLM whose errors
    # the predictors with many inputs rank far better, cross-validation finds that (benchmarks/failure_prediction.py).
    predictor: PredictorName = "auto"
    # f' learns to rank, and so is chosen for it what f ranks wrong: against raw errors the gain of MDS rose from -0.003
    # to +0.023 and from -0.070 to -0.047 SRCC, YouTube-UGC to KoNViD-1k and back (benchmarks/real_domains.py).
    error: ErrorName = "rank"
    # Errors are measured on f refitted without the video's fold. In-sample errors predict nothing.
    folds: int = Field(5, ge=2)
    committee: int = Field(10, ge=4)
    # Of 10,000 random pairs more change nothing that can be measured; 20,000 keep every study under a second.
    most_pairs: int = Field(20_000, ge=1)
    steps: int = Field(80, ge=1)
    # Both by cross-domain SRCC with the true errors, YouTube-UGC to KoNViD-1k and back (benchmarks/real_domains.py):
    # few inputs transfer better than many.
    weight_decay: float = Field(0.01, gt=0)
    features_share: float = Field(0.3, gt=0)
    trees: int = Field(100, ge=1)
    # A rank correlation of 30 has a standard error of 0.19; fewer say next to nothing.
    held_out: int = Field(30, ge=10)
    noise: float = Field(0.1, gt=0)
    passes: int = Field(20, ge=2)
    adapter: str | None = None
    vlm: FailureTraining = FailureTraining()


class ContentSettings(Settings):
    """F, the content features.

    Attributes:
        encoder: "handcrafted" (embedded), or a CLIP, SigLIP, SigLIP 2 or DINOv2 checkpoint: a folder or a Hub name.
        frames: of each video, at equal distances.
        batch: frames a pass of a checkpoint; a batch that does not fit the device is halved.
        device: of a checkpoint; "auto" takes a GPU if there is one.
        dtype: of a checkpoint; "auto" is float16 on a GPU, float32 on a CPU.
    """

    encoder: str = HANDCRAFTED
    # A scene of the length of a typical test clip (2 to 20 s) shows little more in more frames.
    frames: int = Field(8, ge=1)
    # None: 256 on a GPU; on a CPU 32, what its caches like.
    batch: int | None = Field(None, ge=1, exclude=True)
    device: str = Field("auto", exclude=True)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"

    @field_validator("encoder")
    @classmethod
    def _is_encoder(cls, encoder: str) -> str:
        if encoder == HANDCRAFTED or "/" in encoder or Path(encoder).is_dir():
            return encoder
        raise ValueError(
            f"{encoder!r} is neither {HANDCRAFTED} nor a checkpoint: a Hub name such as "
            "openai/clip-vit-large-patch14, or a folder such as ./checkpoint."
        )


class SelectionSettings(Settings):
    """D, the choice.

    Attributes:
        rule: by which the videos are chosen that go out to raters; "auto" takes the one that a rehearsal on the
            labeled source recommends.
        features: in which videos are compared: "content" or "quality", the standardised features that f reads.
        budget: videos to label over all rounds: a count (64), a share of the pool ("5%"), or the time that one rater
            needs to watch them ("90 min", "2 h").
        audit: share of the budget that goes, in the first round, to videos drawn at random from the whole pool. Nothing
            learns from them: they show how good the model is on the target, before and after.
        lambda_: weight of diversity against difficulty, at least 0.
        scale: "standard" puts difficulty on z-scores and divides distances by the pool's mean distance; "raw" takes
            both as they are (the paper's, for g on a 1-5 scale: lambda 0.25 with CLIP, 0.075 with SigLIP 2 features);
            "rank" is "standard" for the ranks of difficulty.
        ties: who wins among equals: the smallest id, or chance.
        about: table with an id column and what a choice goes by: the column `group`, and `seconds` of each video; None
            takes the manifest, and reads how long a video is from its file.
        group: column of it, such as uploader.
        most_per_group, least_per_group: videos of each group. A video without one is bound by neither.
        apart: no two videos nearer than this Chamfer distance: 0.1 removes near-duplicates where features are of unit
            norm, as those of all encoders here.
        exclude: table whose ids are never chosen.
        device, threads, memory: that the rule mds computes distances with; they change the time it takes and nothing
            else. "auto" takes a GPU if there is one; None leaves the number of threads as it is; bytes.
    """

    rule: Literal[RuleName, "auto"] = "mds"
    features: Space = "content"
    budget: int | str = "5%"
    # Raw lambdas do not transfer between feature spaces. On z-scores and mean distance 1, about 3 did best for the
    # paper's rule on YouTube-UGC and KoNViD-1k.
    lambda_: float = Field(3.0, ge=0, alias="lambda")
    # Raw and standard are level on these two, ranks no better (benchmarks/real_domains.py); raw needs a lambda for each
    # encoder.
    scale: Literal["standard", "raw", "rank"] = "standard"
    ties: Literal["id", "random"] = "id"
    audit: float = Field(0.0, ge=0, lt=1)
    about: Path | None = None
    group: str | None = None
    most_per_group: int | None = Field(None, ge=1)
    least_per_group: int = Field(0, ge=0)
    apart: float = Field(0.0, ge=0)
    exclude: Path | None = None
    device: str = Field("auto", exclude=True)
    threads: int | None = Field(None, ge=1, exclude=True)
    # The centers of half a million videos of 512 numbers fit in half of it in single precision.
    memory: int = Field(2 << 30, ge=1 << 20, exclude=True)

    @field_validator("budget", mode="before")
    @classmethod
    def _is_budget(cls, budget: Any) -> Any:
        if budget_seconds(budget) is None:
            budget_count(budget, 1000)
        return budget

    @model_validator(mode="after")
    def _groups_have_a_column(self) -> Self:
        if (self.most_per_group is not None or self.least_per_group) and self.group is None:
            raise ValueError("`most_per_group` and `least_per_group` need `group`, the column that names the groups.")
        if self.most_per_group is not None and self.most_per_group < self.least_per_group:
            raise ValueError("`most_per_group` is below `least_per_group`.")
        return self


class FinetuningSettings(Settings):
    """f', by ranking pairs within each data set. All defaults by the gain on YouTube-UGC to KoNViD-1k and back."""

    # Weight of the squared kernel norm of the change, divided by the number of labels of the smallest data set. Best
    # value there at 20, 50, 200 and 1,000 labels: 0.001, 0.0004, 0.0001, 0.00003.
    stiffness: float = Field(0.02, gt=0)
    # Standard deviation of a reading of f in Thurstone's model, MOS points.
    noise: float = Field(0.5, gt=0)
    most_pairs: int = Field(20_000, ge=1)
    steps: int = Field(100, ge=1)
    # Where f is a vision-language model; the other settings are the statistical model's.
    vlm: VlmFinetuning = VlmFinetuning()


class ComparisonSettings(Settings):
    """The same loop under other rules. Needs MOS of the whole pool: for research, not for a pool still to be labeled.

    Attributes:
        rules: to compare; empty for none.
        seeds: repeats of selection and fine-tuning.
        pool_share: of the pool that a repeat may choose from, drawn anew in each, in (0, 1].
    """

    rules: tuple[RuleName, ...] = ()
    seeds: int = Field(10, ge=2)
    # Rules without chance would otherwise be tried once, on one pool; with another part of it each time the interval
    # says what another pool of the kind would give.
    pool_share: float = Field(0.8, gt=0, le=1)


class RehearsalSettings(Settings):
    """The loop tried on the labeled source before labels are paid for.

    Attributes:
        rules: to compare with random selection; None for every rule that the model allows.
        fallback: the rule of "auto" where none can be told from random selection.
        lambdas, scales, features: settings to try with each rule that uses them; None for the study's.
        targets: parts of the source that play the target: "directions" (the two ends of the source along each main
            direction of its content), "clusters" of its content, or the name of a column of the manifest or of
            `selection.about`, such as category.
        clusters: how many.
        budgets: of the curve, as `selection.budget`, which is among them in any case.
        repeats: on each pseudo-target, for the rules that do best; those that do worst get a quarter.
        minutes: after which no further repeat is begun; None for no limit.
        real: of a vision-language model, pseudo-targets on which it is itself fine-tuned in the end, by random
            selection and by the recommended rule; it takes as long as twice as many fine-tunings.
    """

    rules: tuple[RuleName, ...] | None = None
    # The best mean of fifteen is then a lucky one. Covering the pool was ahead of random selection in both directions
    # between YouTube-UGC and KoNViD-1k, and asks nothing of a failure predictor (benchmarks/real_domains.py).
    fallback: RuleName = "facility-location"
    lambdas: tuple[float, ...] | None = None
    scales: tuple[Literal["standard", "raw", "rank"], ...] | None = None
    features: tuple[Space, ...] | None = None
    targets: str = "directions"
    clusters: int = Field(5, ge=2)
    budgets: tuple[int | str, ...] = ("2%", "5%", "10%")
    # A gain differs by 0.035 SRCC from repeat to repeat: with 16 on each of six pseudo-targets its mean does by 0.004.
    repeats: int = Field(16, ge=2)
    minutes: float | None = Field(None, gt=0)
    real: int = Field(0, ge=0)

    @field_validator("budgets")
    @classmethod
    def _are_budgets(cls, budgets: tuple[int | str, ...]) -> tuple[int | str, ...]:
        for budget in budgets:
            budget_count(budget, 1000)
        return budgets


class StudyConfig(Settings):
    """A whole study.

    Attributes:
        title: of the report.
        videos: manifest (CSV, JSONL, Parquet or name-MOS text) with the source (split train and test, with MOS) and
            the pool (split pool), and a labeled test set of the target if there is one.
        out: folder for the results.
        mos_scale: of the manifest's MOS: "1-5", "0-100", "DMOS 0-100"; or one for each dataset.
        labels: CSV with columns id, mos and maybe mos_std: what the raters said of the selected videos. Where the
            manifest has MOS of a pool video, that is used.
        labels_scale: of that file.
        simulated: the MOS are made up; said wherever they are shown.
        rounds: over which the budget is split; after each, f is fine-tuned and g trained again.
        seed: of everything.
        workers: processes that decode; 0 means one for each core.
    """

    title: str = "Study"
    videos: Path
    out: Path = Path("results")
    mos_scale: str | dict[str, str] = "1-5"
    labels: Path | None = None
    labels_scale: str = "1-5"
    simulated: bool = False
    rounds: int = Field(1, ge=1)
    seed: int = Field(0, ge=0, le=MOST_SEED)
    workers: int = Field(0, ge=0)
    quality: QualitySettings = QualitySettings()
    difficulty: DifficultySettings = DifficultySettings()
    content: ContentSettings = ContentSettings()
    selection: SelectionSettings = SelectionSettings()
    finetuning: FinetuningSettings = FinetuningSettings()
    comparison: ComparisonSettings = ComparisonSettings()
    rehearsal: RehearsalSettings = RehearsalSettings()


def budget_count(budget: int | str, pool: int) -> int:
    """How many videos a budget buys.

    Args:
        budget: a count, or a share such as "5%".
        pool: videos in the pool.

    Raises:
        ValueError: neither a positive count nor a share between 0 and 100%.

    >>> budget_count("5%", 400), budget_count(64, 400)
    (20, 64)
    """
    text = str(budget).strip()
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if not 0 < share <= 1:
                raise ValueError
            return max(1, round(share * pool))
        count = int(text)
        if count < 1:
            raise ValueError
        return min(count, pool)
    except ValueError:
        raise ValueError(
            f"budget {budget!r} is neither a positive number of videos, such as 64, nor a share of the pool, "
            "such as 5%, nor a time to watch, such as 90 min or 2 h."
        ) from None


def budget_seconds(budget: int | str) -> float | None:
    """The time to watch that a budget states, in seconds; None where it states none.

    >>> budget_seconds("1.5 h"), budget_seconds("90 min"), budget_seconds("5%")
    (5400.0, 5400.0, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(s|min|h)", str(budget).strip())
    seconds = float(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]] if found else 0.0
    return seconds if seconds > 0 else None


def read_study(path: Path) -> StudyConfig:
    """Reads a study.yaml; paths in it are relative to its folder.

    Raises:
        ConfigError: unreadable, not YAML, or a setting that does not exist or has a wrong value.
    """
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). `mdsvqa init` writes one.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected settings such as `videos: manifest.csv`, found {found!r}.")
    try:
        config = StudyConfig.model_validate(found)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc']) or 'study'}: "
            + ("there is no such setting" if e["type"] == "extra_forbidden" else e["msg"].removeprefix("Value error, "))
            for e in error.errors()
        ]
        raise ConfigError(f"{path}: {len(lines)} setting(s) to correct:\n" + "\n".join(lines)) from None
    return _from_folder(config, path.resolve().parent)


def _from_folder(config: StudyConfig, folder: Path) -> StudyConfig:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    paths = {name: absolute(getattr(config.quality, name)) for name in ("predictions", "features", "scores_after")}
    model = config.quality.model
    if model.endswith(".safetensors"):
        model = str(folder / Path(model).expanduser())

    def beside(name: str | None) -> str | None:
        """A checkpoint is a folder beside the study, or a name on the Hub."""
        place = None if name is None else folder / Path(name).expanduser()
        return str(place) if place is not None and place.is_dir() else name

    encoder = HANDCRAFTED if config.content.encoder == HANDCRAFTED else beside(config.content.encoder)
    vlm = config.quality.vlm
    vlm = vlm.model_copy(update={"adapter": beside(vlm.adapter), "base_adapter": beside(vlm.base_adapter)})
    quality = config.quality.model_copy(update={**paths, "model": beside(model), "vlm": vlm})
    adapter = config.difficulty.adapter
    difficulty = config.difficulty.model_copy(update={"adapter": adapter if adapter == "train" else beside(adapter)})
    return config.model_copy(
        update={
            "videos": folder / config.videos.expanduser(),
            "out": folder / config.out.expanduser(),
            "labels": absolute(config.labels),
            "quality": quality,
            "difficulty": difficulty,
            "content": config.content.model_copy(update={"encoder": encoder}),
            "selection": config.selection.model_copy(
                update={name: absolute(getattr(config.selection, name)) for name in ("about", "exclude")}
            ),
        }
    )
