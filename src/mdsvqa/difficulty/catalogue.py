"""Predictors and rules by name."""

from mdsvqa.difficulty.base import DifficultyRule
from mdsvqa.difficulty.chance import chance
from mdsvqa.difficulty.committee import committee
from mdsvqa.difficulty.farthest import farthest
from mdsvqa.difficulty.forest import forest
from mdsvqa.difficulty.lowest_score import lowest_score
from mdsvqa.difficulty.noise_stability import noise_stability
from mdsvqa.difficulty.rank_average import rank_average
from mdsvqa.difficulty.ranker import few_inputs, linear
from mdsvqa.difficulty.second_opinion import second_opinion

# They learn from f's errors; the simplest first.
PREDICTORS: dict[str, DifficultyRule] = {
    "few-inputs": few_inputs,
    "linear": linear,
    "forest": forest,
    "second-opinion": second_opinion,
    "rank-average": rank_average,
}
# What they are compared with; these learn from no label.
RULES: dict[str, DifficultyRule] = {
    "committee": committee,
    "noise-stability": noise_stability,
    "lowest-score": lowest_score,
    "distance": farthest,
    "random": chance,
}
