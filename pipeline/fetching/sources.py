"""The list of public data files: where each comes from, what it must be, and where it goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from deepsched.baselines.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LIST = files(__package__).joinpath("sources.tsv")
COLUMNS = ("github_repository", "commit", "path", "bytes", "sha256", "here")
DEFAULT_BASE = "https://raw.githubusercontent.com"
ALL = "all"  # every group
PACKED = ".gz"

# Whose the files of a group are. Those that read them here need the notice, so it is printed.
NOTICES = {
    "wfinstances": "WfCommons WfInstances, LGPL-3.0",
    "stg": "Standard Task Graph set of Tobita and Kasahara; for its terms see the origin",
    "jsp": "job shops of Fisher and Thompson, Lawrence, and Taillard, as JSPLIB has them",
    "hcsp": "HCSP instances and their best known schedules, Apache-2.0",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file at its public origin.

    Attributes
    ----------
    repository, commit, path : where it is: GitHub's owner/name, 40 digits, the path in there.
    size, sha256 : bytes and hash of the file at the origin, before any packing here.
    here : where it goes, below the output folder; packed where only this name ends in .gz.
    """

    repository: str
    commit: str
    path: str
    size: int
    sha256: str
    here: str

    @property
    def group(self) -> str:
        """The name under which it is fetched: the first folder of `here`."""
        return self.here.partition("/")[0]

    @property
    def packed(self) -> bool:
        """Whether it is stored as gzip while the origin is not."""
        return self.here.endswith(PACKED) and not self.path.endswith(PACKED)

    def url(self, base: str) -> str:
        """Return where to download it; `base` is without a slash at its end."""
        return f"{base}/{quote(f'{self.repository}/{self.commit}/{self.path}')}"


def load_sources() -> tuple[Source, ...]:
    """Return the files of the list that comes with the package, in its order."""
    return parse_sources(LIST.read_text(encoding="utf-8"), LIST.name)


def parse_sources(text: str, name: str) -> tuple[Source, ...]:
    """Return the files of a list: tab-separated, a header, then one line a file.

    Raises
    ------
    InvalidInput
        Naming the line: columns are missing, a value is not what its column holds, a path leaves
        its folder, or two files would go to the same place.
    """
    header, *lines = text.removesuffix("\n").split("\n")
    if tuple(header.split("\t")) != COLUMNS:
        raise InvalidInput(f"{name}, line 1: the columns must be {', '.join(COLUMNS)}")
    sources: dict[str, Source] = {}
    for number, line in enumerate(lines, start=2):
        where = f"{name}, line {number}"
        source = _parse_line(line.split("\t"), where)
        if source.here in sources:
            raise InvalidInput(f"{where}: here {source.here!r} stands there twice")
        sources[source.here] = source
    return tuple(sources.values())


def select(sources: Sequence[Source], groups: Iterable[str]) -> tuple[Source, ...]:
    """Return the files of some groups, each once, in the order of the list.

    Raises
    ------
    UnknownName
        If a group has no file; names those that have.
    """
    known = {source.group for source in sources}
    wanted = set(groups)
    for name in sorted(wanted):
        if name not in known and name != ALL:
            raise UnknownName("group", name, [ALL, *known])
    return tuple(source for source in sources if ALL in wanted or source.group in wanted)


def notices(sources: Iterable[Source]) -> list[str]:
    """Return a line for each group of these files and origin of it: what it is, its licence."""
    origins = dict.fromkeys((source.group, source.repository, source.commit) for source in sources)
    return [
        f"{group}: {NOTICES.get(group, 'for its terms see the origin')}; "
        f"https://github.com/{repository}/tree/{commit}"
        for group, repository, commit in origins
    ]


def check_base(base: str) -> str:
    """Return the base of all URLs without a slash at its end.

    Raises
    ------
    InvalidInput
        If it is no http or https address, or has parts that a base has no use for.
    """
    try:
        parts = urlsplit(base)
        host = (parts.hostname or "").encode("idna")
        _ = parts.port  # read for the error of a bad one
    except ValueError as error:
        raise InvalidInput(f"--base-url {base!r} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidInput(f"--base-url {base!r} must begin with https:// or http:// and a host")
    plain = base.isascii() and base.isprintable() and " " not in base
    if parts.query or parts.fragment or "@" in parts.netloc or not plain:
        raise InvalidInput(f"--base-url {base!r} may hold a host, a port and a path only")
    return base.rstrip("/")


def _parse_line(values: list[str], where: str) -> Source:
    if len(values) != len(COLUMNS):
        raise InvalidInput(f"{where}: {len(values)} columns instead of {len(COLUMNS)}")
    row = dict(zip(COLUMNS, values, strict=True))
    good = {
        "github_repository": _stays_inside(row["github_repository"])
        and re.fullmatch(r"[\w.-]+/[\w.-]+", row["github_repository"], re.ASCII),
        "commit": re.fullmatch(r"[0-9a-f]{40}", row["commit"]),
        "path": _stays_inside(row["path"]),
        "bytes": re.fullmatch(r"[1-9][0-9]{0,11}", row["bytes"]),
        "sha256": re.fullmatch(r"[0-9a-f]{64}", row["sha256"]),
        "here": _stays_inside(row["here"]) and "/" in row["here"],
    }
    for column, fits in good.items():
        if not fits:
            raise InvalidInput(f"{where}: {column} cannot be {row[column]!r}")
    return Source(
        repository=row["github_repository"],
        commit=row["commit"],
        path=row["path"],
        size=int(row["bytes"]),
        sha256=row["sha256"],
        here=row["here"],
    )


def _stays_inside(path: str) -> bool:
    """Whether a relative path leads nowhere but down."""
    folders = path.split("/")
    return path.isprintable() and "\\" not in path and not {"", ".", ".."} & set(folders)
