"""What a study.yaml may say about the rating study that its videos go to; the room of labeling obeys it."""

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from mdsvqa.evaluation.rating_rules import ScreeningSettings, StoppingSettings
from mdsvqa.runtime.settings import MOST_SEED, Settings, StudyPath, StudyPlace
from mdsvqa.videos.settings import ManifestSettings

Method = Literal["acr", "acr-hr", "dcr", "pairs"]


class LabelingSettings(Settings):
    """A rating study in the manner of ITU-T P.910 (10/2023) and P.913."""

    title: str = Field("Video quality study", max_length=200, description="Shown to raters.")
    contact: str = Field("", max_length=200, description="Whom raters can ask, and ask to delete what they said.")
    method: Method = Field(
        "acr",
        description="acr: one video, five levels; acr-hr: with hidden references; dcr: reference, then video; pairs: "
        "which of two is better.",
    )
    reference: str = Field("reference", description="Column that names the reference of a video (acr-hr, dcr).")
    content: str | None = Field(
        None, description="Column that names the content; one content is not shown twice running."
    )
    # P.910, 7.2.1: a session of at most 20 minutes; P.913, 10.3 the same.
    session_minutes: float = Field(20, gt=0, le=60, description="Of watching in a session, at most.")
    sessions: int = Field(2, ge=1, description="That a rater is asked for.")
    pause_minutes: float = Field(5, ge=0, description="Between two sessions, at least.")
    # P.910, 7.5: training is not counted; five levels want five clips.
    training: int = Field(5, ge=5, le=20, description="Clips before the first session; never counted.")
    repeats: int = Field(2, ge=0, description="Videos of a session that come again, to see how steady a rater is.")
    repeat_gap: int = Field(8, ge=1, description="Slots between the two.")
    # One in twelve each, as microsoft/P.910 has by default.
    trap_every: int = Field(12, ge=0, description="One slot in so many is a trap; 0 for none.")
    anchor_every: int = Field(12, ge=0, description="One slot in so many is an anchor; 0 for none.")
    anchors: StudyPath | None = Field(
        None,
        description="Manifest of videos with known MOS, for anchors and training; in a study by default its labeled "
        "source.",
    )
    anchors_scale: str = Field("1-5", description="Of that manifest's MOS.")
    replays: int = Field(0, ge=0, le=10, description="How often a rater may see a video again before voting.")
    size: Literal["native", "native-or-fit", "fit"] = Field(
        "native-or-fit",
        description="native: one video pixel on one device pixel, small screens are refused; native-or-fit: scaled "
        "down where it does not fit; fit: scaled down to the window.",
    )
    hdr: Literal["leave-out", "tonemap"] = Field(
        "leave-out",
        description="Videos in PQ or HLG. leave-out: not ratable, as browsers show them differently on every screen; "
        "tonemap: a copy in SDR by ITU-R BT.2408 and BT.2390 is rated, which is named with every MOS.",
    )
    audio: bool = Field(False, description="Play the sound.")
    number_keys: bool = Field(True, description="1 to 5 choose.")
    colour_plates: bool = Field(False, description="Ask for numbers on colour plates: a hint, no diagnosis.")
    excluding: tuple[Literal["screen", "brightness", "playback", "colour"], ...] = Field(
        ("playback",), description="Checks whose failure keeps a rater out; the others are only stored."
    )
    texts: StudyPath | None = Field(
        None, description="JSON file of texts in another language; missing ones are English."
    )
    font: StudyPath | None = Field(None, description="Font file for the sentence in traps, where it is not Latin.")
    # A stall of half a second and a twentieth of the frames are seen by most; ITU-T P.1203 counts stalls from there.
    most_stall: float = Field(0.5, ge=0, description="Seconds; a play that stalls longer is repeated.")
    most_dropped: float = Field(0.05, ge=0, le=1, description="Share of frames that a play may drop.")
    most_watching: float = Field(1.15, ge=1, description="Watching time over duration that a play may take.")
    assign: Literal["information", "even", "widest"] = Field(
        "information",
        description="Which videos a session gets. information: those with the largest standard error of the model; "
        "even: those with the fewest votes; widest: those whose votes lie furthest apart, shrunken, which cost 1 to 8% "
        "RMSE against even spreading on three real studies.",
    )
    model: Literal["panel", "mos", "bt500", "p913", "p910"] = Field("panel", description="From votes to MOS.")
    flagged_count: bool = Field(True, description="Votes of flagged raters count.")
    screening: ScreeningSettings = ScreeningSettings()
    stopping: StoppingSettings = StoppingSettings()
    link_days: float = Field(30, gt=0, description="After which a link no longer opens.")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="Draw everything random by this seed.")

    @model_validator(mode="after")
    def _repeats_fit_the_method(self) -> "LabelingSettings":
        if self.method == "pairs" and self.audio:
            raise ValueError("audio: found on beside method pairs; expected off, two sounds cannot be compared so.")
        return self


def said_without_a_value(labeling: Any) -> Any:
    """`labeling:` with nothing behind it: all of it at its defaults."""
    return {} if labeling is None else labeling


class RatedStudy(Settings):
    """What a rating study has to know of a study.yaml: which videos, where the results are, and how they are rated.

    The whole file is read by `study.config`, which brings the models along, and with them hundreds of megabytes.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    videos: StudyPlace
    out: StudyPath = Field(Path("results"), validate_default=True)
    mos_scale: str | dict[str, str] = "1-5"
    manifest: ManifestSettings = ManifestSettings()
    labeling: LabelingSettings = LabelingSettings()

    _bare_labeling = field_validator("labeling", mode="before")(said_without_a_value)
