"""Settings of the choice, each default with its source; and what a budget means."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mdsvqa.runtime.engines import EngineName
from mdsvqa.runtime.settings import Added, Settings, StudyPath, Unrecorded, in_lower_case

Space = Literal["content", "quality"]
Scale = Literal["standard", "raw", "rank"]
# The rule of which a rehearsal says what it is.
AUTO = "auto"
# Of a pool: beyond it rules hardly differ. Facility location gains +.02 to +.04 SRCC over random selection with 2.5%
# labeled, +.02 with 5%, +.005 with 10% and nothing with 20% (benchmarks/real_domains.py).
RULE_MATTERS = 0.1


class SelectionSettings(Settings):
    """D, the choice."""

    # Over six directions between YouTube-UGC, KoNViD-1k and LIVE-VQC no rule is ahead of it, and it is never behind
    # random selection by more than chance; mds is, by .02 in the mean (benchmarks/real_domains.py).
    rule: Annotated[str, BeforeValidator(in_lower_case)] = Field(
        "facility-location", description="By which videos are chosen; auto takes the one that a rehearsal recommends."
    )
    features: Space = Field(
        "content", description="In which videos are compared: content, or quality, the standardised ones that f reads."
    )
    budget: int | str = Field(
        "5%",
        description="Videos to label over all rounds: a count (64), a share of the pool (5%), or the time that one "
        "rater needs to watch them (90 min, 2 h).",
    )
    audit: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Spend this share of the budget on videos drawn at random from the whole pool, which nothing "
        "learns from: "
        "they show how good the model is on the target.",
    )
    # Raw lambdas do not transfer between feature spaces. On z-scores and mean distance 1, about 3 did best for the
    # paper's rule on YouTube-UGC and KoNViD-1k.
    lambda_: float = Field(3.0, ge=0, alias="lambda", description="Weigh diversity so much against difficulty.")
    # Raw and standard are level on these two, ranks no better (benchmarks/real_domains.py); raw needs a lambda for each
    # encoder.
    scale: Scale = Field(
        "standard",
        description="Scale difficulty and distances so. standard: z-scores of difficulty, distances over the pool's "
        "mean distance. raw: both as they are, "
        "as in the paper (lambda 0.25 with CLIP, 0.075 with SigLIP 2 features). rank: standard, for ranks of "
        "difficulty.",
    )
    ties: Literal["id", "random"] = Field("id", description="Let the smallest id win among equals, or chance.")
    about: Unrecorded[StudyPath | None] = Field(
        None,
        description="Read a table with ids and what a choice goes by: the column of `group`, and seconds of each "
        "video; by "
        "default the manifest.",
    )
    group: str | None = Field(None, description="Group by this column of it, such as uploader.")
    most_per_group: int | None = Field(
        None, ge=1, description="Choose at most so many of each group; videos of none are not bound."
    )
    least_per_group: int = Field(0, ge=0, description="Choose at least so many of each group, as far as it has them.")
    apart: float = Field(
        0.0,
        ge=0,
        description="Choose no two videos nearer than this Chamfer distance: 0.1 removes near-duplicates where "
        "features are "
        "of unit norm, as those of all encoders here.",
    )
    parts: Added[int] = Field(
        1,
        ge=1,
        description="Let so many random parts of a pool above 14,142 videos propose choices, each in a process or a "
        "task of its own, and let facility location choose among these.",
    )
    exclude: Unrecorded[StudyPath | None] = Field(None, description="Never choose the ids of this table.")
    device: str = Field("auto", exclude=True, description="Compute distances on this device: auto, cpu, cuda.")
    engine: EngineName = Field(
        "local", exclude=True, description="Choose from parts in processes here (local) or on a Ray cluster (ray)."
    )
    address: str | None = Field(
        None,
        exclude=True,
        description="Use the Ray cluster at this address; by default the one that this machine is part of.",
    )
    threads: int | None = Field(None, ge=1, exclude=True, description="For distances.")
    # The centers of half a million videos of 512 numbers fit in half of it in single precision.
    memory: int = Field(2 << 30, ge=1 << 20, exclude=True, description="For distances, in bytes.")

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
