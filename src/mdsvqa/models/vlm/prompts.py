"""What vision-language models are asked. Word for word: a model trained on one wording answers another one worse.

Source: the code of Zou et al. (2026), for training and inference alike: one line, with spaces between its sentences.
Their model card shows `QUALITY` on three lines, which are other tokens.
"""

from mdsvqa.runtime.results import fingerprint

_TASK = "You are doing the video quality assessment task."
_RATING = (
    "Here is the question: What is your overall rating on the quality of this video? The rating should be a float "
    "between 1 and 5, rounded to two decimal places, with 1 representing very poor quality and 5 representing "
    "excellent quality."
)
_THINK = (
    "First output the thinking process in <think> </think> tags and then output the final answer with only one score "
    "in <answer> </answer> tags."
)
_ANSWER_ONLY = "Please only output the final answer with only one score in <answer> </answer> tags."

QUALITY = f"{_TASK} {_RATING} {_THINK}"
QUALITY_ANSWER_ONLY = f"{_TASK} {_RATING} {_ANSWER_ONLY}"
DIFFICULTY = (
    f"{_TASK} Here is the question: Assess how difficult it is to evaluate this video's quality for video quality "
    "assessment. The difficulty rating should be a float between 1 and 5, rounded to two decimal places, with 1 "
    f"representing very easy to evaluate and 5 representing very difficult to evaluate. {_ANSWER_ONLY}"
)
# Of models whose answers are levels. Source: Q-Future/Q-Align, q_align/evaluate/scorer.py.
QUALITY_LEVELS = "How would you rate the quality of this video?"
LEVELS_OPENING = "The quality of the video is"
# What the reply is made to begin with where only the answer is wanted.
ANSWER_OPENING = "<answer>"
ANSWER_CLOSING = "</answer>"


def quality_prompt(reading: str, own: str | None = None, answers: str = "scores") -> str:
    """What is asked about a video's quality.

    Args:
        reading: "generate" or "expected"; see `VlmSettings`.
        own: text that is asked in place of the one that checkpoints were trained on.
        answers: "scores" or "levels"; see `VlmSettings`.
    """
    if answers == "levels":
        return own or QUALITY_LEVELS
    return own or (QUALITY if reading == "generate" else QUALITY_ANSWER_ONLY)


def prompt_fingerprint(prompt: str) -> str:
    """Names a prompt in the record of what made a result."""
    return fingerprint(prompt)
