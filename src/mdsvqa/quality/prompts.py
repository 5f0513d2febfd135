"""What vision-language models are asked. Word for word: a model trained on one wording answers another one worse.

Sources: the model card of the active fine-tuned checkpoint of Zou et al. (2026) for `QUALITY`; their failure
predictor's prompt for `DIFFICULTY`.
"""

from mdsvqa.tables import fingerprint

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

# The card breaks its lines behind each of the three sentences.
QUALITY = f"{_TASK}\n{_RATING}\n{_THINK}"
QUALITY_ANSWER_ONLY = f"{_TASK}\n{_RATING}\n{_ANSWER_ONLY}"
DIFFICULTY = (
    f"{_TASK} Here is the question: Assess how difficult it is to evaluate this video's quality for video quality "
    "assessment. The difficulty rating should be a float between 1 and 5, rounded to two decimal places, with 1 "
    f"representing very easy to evaluate and 5 representing very difficult to evaluate. {_ANSWER_ONLY}"
)
# What the reply is made to begin with where only the answer is wanted.
ANSWER_OPENING = "<answer>"
ANSWER_CLOSING = "</answer>"


def prompt_fingerprint(prompt: str) -> str:
    """Names a prompt in the record of what made a result."""
    return fingerprint(prompt)
