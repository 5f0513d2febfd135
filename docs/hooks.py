"""Makes pages of files that lie outside docs/, and turns links between files into links between pages."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Pages by the files that they are made of.
OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "benchmarks/RESULTS.md": "results.md"}
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages from outside."""
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads each link to its page; to the repository where there is none."""
    found = {name: path for path, name in OUTSIDE.items()}
    folder = posixpath.dirname(found.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def led(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        if path in OUTSIDE:
            return OUTSIDE[path]
        shown = files.get_file_from_path(path.removeprefix("docs/")) if path.startswith("docs/") else None
        if shown is not None and shown.inclusion.is_included():
            return shown.src_uri
        if (ROOT / path).exists():
            return f"{config.repo_url}/blob/main/{path}"
        return link[1]

    return LINK.sub(led, markdown)
