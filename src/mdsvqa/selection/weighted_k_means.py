"""Difficulty-weighted k-means: one video for each kind of content, with more kinds where the model errs."""

from mdsvqa.config import SelectionSettings
from mdsvqa.selection.base import Pick, Pool
from mdsvqa.selection.difficulty_facility import ranks
from mdsvqa.selection.k_means import medoids
from mdsvqa.selection.opening import Opening


def weighted_k_means(pool: Pool, budget: int, settings: SelectionSettings, seed: int) -> list[Pick]:
    """`k_means` in which a video weighs as much as its difficulty ranks in the pool, from 0 to 1.

    Centers move to where difficult videos are dense; the video nearest a center is chosen, whatever its own difficulty.

    Source: Prabhu et al. (2021), CLUE, with the rank of difficulty in the place of the entropy.
    """
    difficulty = ranks(pool.difficulty)
    chosen = medoids(pool, Opening(pool, budget), pool.candidates(), seed, difficulty)
    return [Pick(video, float(difficulty[video])) for video in chosen]
