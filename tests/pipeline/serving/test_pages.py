"""The page and the documentation: whole, from the package alone, and locked down."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from deepsched.pipeline.serving import pages
from deepsched.pipeline.serving.pages import PAGE
from tests.pipeline.serving.asgi import Answer, get, opened
from tests.pipeline.serving.loops import in_a_loop

LOCAL = "default-src 'none'"


class References(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def loads(text: str) -> list[str]:
    """Return what a page loads, but for its own places and the service's other pages."""
    parser = References()
    parser.feed(text)
    return [name for name in parser.found if not name.startswith(("#", "data:"))]


async def fetched(path: str, *headers: tuple[str, str]) -> Answer:
    async with opened() as gateway:
        return await get(gateway, path, *headers)


def is_locked_down(answer: Answer) -> bool:
    policy = answer.headers["content-security-policy"]
    assert "http" not in policy, "nothing comes from another host"
    assert "unsafe-eval" not in policy
    for part in (LOCAL, "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    return (
        answer.headers["x-content-type-options"] == "nosniff"
        and answer.headers["referrer-policy"] == "no-referrer"
    )


@in_a_loop
async def test_the_page_and_all_that_it_loads_are_there():
    page = await fetched("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert is_locked_down(page)
    names = loads(page.body.decode())
    assert any(name.endswith(".js") for name in names)
    assert any(name.endswith(".css") for name in names)
    for name in names:
        assert "://" not in name, "nothing comes from another host"
        answer = await fetched(f"/{name.removeprefix('./').removeprefix('/')}")
        assert answer.status == 200, name
        assert is_locked_down(answer)


@in_a_loop
async def test_every_file_of_the_page_is_served_under_its_type():
    kinds = {
        ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
        ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8", ".json": "application/json",
    }  # fmt: skip
    for path in PAGE.iterdir():
        answer = await fetched(f"/static/{path.name}")
        assert (answer.status, answer.body) == (200, path.read_bytes())
        assert answer.headers["content-type"] == kinds[path.suffix], path.name
        assert is_locked_down(answer)


def test_every_module_that_a_script_imports_is_there():
    imported = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']*)["']""")
    scripts = list(PAGE.glob("*.js"))
    found = {name for path in scripts for name in imported.findall(path.read_text())}
    assert found, "the page's scripts are modules"
    for name in found:
        assert (PAGE / name).is_file(), name


@in_a_loop
async def test_what_a_browser_has_already_is_not_sent_again():
    first = await fetched("/static/page.css")
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    again = await fetched("/static/page.css", ("If-None-Match", tag))
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert is_locked_down(again)
    other = await fetched("/static/page.css", ("If-None-Match", '"another"'))
    assert (other.status, other.body) == (200, first.body)
    assert (await fetched("/")).headers["etag"] != tag


@pytest.mark.parametrize(
    "path",
    [
        "/static/", "/static/nothing.js", "/static/../settings.py", "/static/..%2Fsettings.py",
        "/static/%2e%2e/settings.py", "/static//etc/passwd", "/static/\x00", "/static/..",
        "/static/page.css/", "/static/PAGE.CSS", "/static/.", "/docs/../pages.py", "/docs/x.js",
        "/docs/..%5Cpages.py",
    ],
)  # fmt: skip
@in_a_loop
async def test_nothing_but_the_pages_own_files_is_served(path):
    answer = await fetched(path)
    assert (answer.status, bool(answer.error)) == (404, True)


@in_a_loop
async def test_the_documentation_comes_from_the_package_alone():
    page = await fetched("/docs")
    assert page.status == 200
    assert is_locked_down(page)
    names = loads(page.body.decode())
    assert "docs/swagger-ui-bundle.js" in names
    for name in names:
        answer = await fetched(f"/{name}")
        assert answer.status == 200, name
        assert is_locked_down(answer)
        assert answer.body
    # Nothing stands in the page itself that a policy without 'unsafe-inline' would not run.
    assert not re.search(rb"<script[^>]*>[^<]", page.body)
    assert b'url: "openapi.json"' in (await fetched("/docs/start.js")).body


@in_a_loop
async def test_without_the_package_of_the_documentation_the_rest_goes_on(monkeypatch):
    def none(name: str) -> Any:
        return None

    monkeypatch.setattr(pages.importlib.util, "find_spec", none)
    assert (await fetched("/docs/swagger-ui.css")).status == 404
    assert (await fetched("/")).status == 200


@in_a_loop
async def test_a_browser_that_asks_for_an_icon_gets_one():
    answer = await fetched("/favicon.ico")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")


def test_the_page_needs_no_other_framework():
    """Only files are taken from the package of the documentation; it is not imported."""
    program = (
        "import sys; from deepsched.pipeline.serving import pages; "
        "raise SystemExit('fastapi' in sys.modules or 'fastapi_offline' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_package_holds_the_page():
    configuration = Path(__file__).resolve().parents[3] / "pyproject.toml"
    assert '"deepsched.pipeline.serving" = ["page/*"]' in configuration.read_text()
    assert all(path.is_file() for path in PAGE.iterdir()), "package data has no folders"
