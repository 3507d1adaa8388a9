"""What a browser is shown: the page at `/`, and the documentation of the interface at `/docs`.

All files lie in packages; nothing comes from another host.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
# Nothing but the page's own files runs, and it is in nobody's frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI sets style attributes.
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
STARTER = b"""window.onload = () => {
  SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true });
};
"""
DOCS = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DeepSched: the interface</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


def page_routes() -> list[Route]:
    """Return the routes of the pages and their files."""
    return [
        Route("/", _page, methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
        Route("/docs", _docs, methods=["GET"]),
        Route("/docs/{name}", _docs_file, methods=["GET"]),
        Route("/favicon.ico", _icon, methods=["GET"]),
    ]


async def _page(request: Request) -> Response:
    return _answer(request, PAGE / INDEX, POLICY)


async def _static(request: Request) -> Response:
    return _answer(request, _inside(PAGE, request.path_params["name"]), POLICY)


async def _icon(request: Request) -> Response:
    return _answer(request, _inside(PAGE, "icon.svg"), POLICY)


async def _docs(request: Request) -> Response:
    return _headed(Response(DOCS, media_type="text/html"), DOCS_POLICY)


async def _docs_file(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "start.js":
        return _headed(Response(STARTER, media_type="text/javascript"), DOCS_POLICY)
    if name not in SWAGGER:
        raise HTTPException(404)
    # Only its files are wanted; importing it would import FastAPI.
    found = importlib.util.find_spec("fastapi_offline")
    if found is None or not found.submodule_search_locations:
        raise HTTPException(404)
    folder = Path(next(iter(found.submodule_search_locations))) / "static"
    return _answer(request, folder / name, DOCS_POLICY)


def _inside(folder: Path, name: str) -> Path:
    """Return a file that lies in the folder itself."""
    if name not in _names(folder):
        raise HTTPException(404)
    return folder / name


@functools.cache
def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir() if path.is_file())


@functools.cache
def _content(path: Path) -> tuple[bytes, str, str]:
    """Return a file's bytes, its type, and a name for its state."""
    data = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"'


def _answer(request: Request, path: Path, policy: str) -> Response:
    data, kind, tag = _content(path)
    if request.headers.get("if-none-match") == tag:
        response = Response(status_code=304)
    else:
        response = Response(data, media_type=kind)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"  # it asks whether the tag is still the same
    return _headed(response, policy)


def _headed(response: Response, policy: str) -> Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
