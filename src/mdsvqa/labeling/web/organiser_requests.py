"""What the organiser's browser asks for."""

from fastapi import APIRouter

from mdsvqa.labeling.web.context import Running


def organiser_requests(running: Running) -> APIRouter:
    """The routes of the organiser."""
    return APIRouter()
