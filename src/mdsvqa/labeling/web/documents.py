"""Files that browsers get: the pages, their style and their program, read once and served by name."""

from html import escape
from importlib.resources import files

from starlette.responses import Response

from mdsvqa.labeling.collecting.refusals import Refused
from mdsvqa.labeling.web.texts import Texts

STATIC = {
    "rating.css": "text/css; charset=utf-8",
    "elements.js": "text/javascript; charset=utf-8",
    "rating.js": "text/javascript; charset=utf-8",
    "organiser.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def page_file(name: str) -> str:
    """A file of the pages."""
    return files("mdsvqa.labeling.web").joinpath("pages").joinpath(name).read_text(encoding="utf-8")


def rater_page(texts: Texts, title: str) -> str:
    """The one document of the rater's pages, in the language of the study."""
    page = page_file("rater.html")
    for name in ("language", "direction", "no_script"):
        page = page.replace(f"{{{{{name}}}}}", escape(texts.said[name]))
    return page.replace("{{title}}", escape(title))


def static_response(name: str) -> Response:
    """A file by its name; there are no others than those of `STATIC`.

    Raises:
        Refused: the name is none of them.
    """
    if name not in STATIC:
        raise Refused(404, "no_such_file")
    return Response(page_file(name), media_type=STATIC[name], headers={"cache-control": "no-cache"})
