"""Rules of a rating study: which raters are flagged, and when there are enough votes."""

from pydantic import Field

from mdsvqa.runtime.settings import Settings


class ScreeningSettings(Settings):
    """Which raters are flagged; a rule set to null is off."""

    # A trap says what to choose: one wrong answer is a slip, as every crowd study finds.
    wrong_traps: int | None = Field(1, ge=0, description="Traps that a rater may answer wrongly.")
    # With noise of 0.6 and bias, one anchor of thirty is off by more than a level without any carelessness.
    anchors_off: int | None = Field(1, ge=0, description="Anchors that a vote may miss by more than one level.")
    # P.913, clause 11.4, has 0.75 for votes on whole clips.
    correlation: float | None = Field(
        0.75, ge=-1, le=1, description="With the mean of the others' votes, at least. Low where all videos are alike."
    )
    spread: float | None = Field(0.4, ge=0, description="Standard deviation of a rater's votes, in levels, at least.")
    disturbed: float | None = Field(0.2, ge=0, le=1, description="Share of plays that may be disturbed.")
    least_votes: int = Field(10, ge=3, description="Below which neither correlation nor spread flags anybody.")


class StoppingSettings(Settings):
    """When the study ends; whichever comes first."""

    half_width: float | None = Field(
        0.35, gt=0, description="Of the 95% interval that is wanted, in levels; null to look at the numbers only."
    )
    share: float = Field(0.9, gt=0, le=1, description="Of the videos that have to reach it.")
    least_votes: int = Field(8, ge=1, description="On every video before the half-width is looked at.")
    votes: int | None = Field(None, ge=1, description="On every video, after which the study ends in any case.")
    budget: int | None = Field(None, ge=1, description="Of votes in all, after which the study ends in any case.")
