"""Chamfer distances between videos, at the speed of matrix products."""
