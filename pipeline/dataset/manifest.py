"""What a dataset consists of: its parts with their hashes, and the manifest that publishes them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepsched.baselines.errors import InvalidInput
from deepsched.pipeline.dataset.files import Folder, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

FORMAT = "deepsched-dataset"
VERSION: Final = 7  # of the schema; it changes with any rule that decides problems or labels
MANIFEST = "manifest.json"  # published last: a dataset exists when its manifest does
MACHINES = "machines.json"  # the machines that all samples share, if they do
OLD_MANIFESTS = "manifests"  # earlier generations
CARD = "README.md"  # for people
SPEC = "spec.json"  # what is being made; written first, so that a run can be continued
PROBLEM_FOLDER = "problems"
LABEL_FOLDER = "labels"
SAMPLE_FOLDER = "samples"  # one row a sample, a file a split; derived, in no hash
RECORD_FOLDER = "records"  # what each finished part holds, and times, which no hash covers

TOP_FILES = (MANIFEST, SPEC, MACHINES, CARD)

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
Document = TypeVar("Document", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Strict):
    """One file of the dataset, named from its top."""

    file: str
    bytes: Count
    sha256: Sha256


class Part(_Strict):
    """One Parquet file: `bytes` long, with `rows` rows, of which `status` counts the kinds."""

    file: str
    rows: Count
    bytes: Count
    sha256: Sha256
    status: dict[str, Count]


class Failure(_Strict):
    """One sample that a teacher could not schedule, or that could not be made, and why."""

    sample_id: int
    status: str
    error: str


class Record(_Strict):
    """What was written beside a part when it was finished.

    Attributes
    ----------
    problems : SHA-256 of the problems that labels were made for; None for problems.
    tasks : total over the rows that are there.
    counts : for problems, how many of each size and source, as the dataset's card shows them.
    seconds : for labels, the scheduler's wall time on each row; null where there is no schedule.
    """

    part: Part
    problems: Sha256 | None
    tasks: Count
    counts: dict[str, Count]
    seconds: tuple[float | None, ...]
    failures: tuple[Failure, ...]


class Manifest(_Strict):
    """A whole dataset.

    Attributes
    ----------
    spec : how its problems came about, as the labelling command wrote it.
    generation : 1, and one more for each time failed samples were tried again.
    samples : how many; sample ids run from 0, through the shards in order.
    machines : the file of the machines that all samples share; None: each row has its own.
    problems, labels : the parts in the order of the shards; labels by teacher.
    made_with : versions of the libraries that the last run used.
    """

    format: Literal["deepsched-dataset"]
    version: Literal[7]
    generation: Annotated[int, Field(ge=1)]
    spec: dict[str, Any]
    samples: Annotated[int, Field(ge=1)]
    machines: File | None
    problems: tuple[Part, ...]
    labels: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")], tuple[Part, ...]]
    made_with: dict[str, str]

    def digest(self) -> str:
        """Return one SHA-256 over the hashes of all parts, in order."""
        files: list[File | Part] = [*([self.machines] if self.machines else []), *self.parts()]
        lines = [f"{found.file} {found.sha256}\n" for found in files]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def parts(self) -> Iterator[Part]:
        """Yield every part: problems, then each teacher's labels."""
        yield from self.problems
        for teacher in sorted(self.labels):
            yield from self.labels[teacher]


def problem_part(shard: int) -> str:
    """Return the file name of the problems of a shard."""
    return f"{PROBLEM_FOLDER}/part-{shard:05d}.parquet"


def label_part(teacher: str, shard: int, generation: int = 1) -> str:
    """Return the file name of one teacher's labels of a shard, as made for a generation."""
    again = f"-g{generation}" if generation > 1 else ""
    return f"{LABEL_FOLDER}/{teacher}/part-{shard:05d}{again}.parquet"


def record_of(part: str) -> str:
    """Return the file name of the record that belongs to a part."""
    return f"{RECORD_FOLDER}/{part.removesuffix('.parquet')}.json"


def write_document(folder: Folder, name: str, document: BaseModel | Mapping[str, Any]) -> None:
    """Write a JSON file, atomically; equal documents make equal bytes."""
    plain = document.model_dump() if isinstance(document, BaseModel) else document
    folder.write(
        name, (json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    )


def read_manifest(folder: Folder) -> Manifest:
    """Read the manifest of a dataset.

    Raises
    ------
    InvalidInput
        If there is none, or it is damaged or of another version.
    """
    try:
        data = folder.read(MANIFEST)
    except FileNotFoundError:
        if folder.size(SPEC) is not None:
            reason = "labelling was not finished here; run the same command again to go on"
        else:
            reason = f"there is no dataset here: {MANIFEST} is missing"
        raise InvalidInput(f"{folder.uri}: {reason}") from None
    where = folder.where(MANIFEST)
    manifest = parse_document(data, Manifest, where)
    shards = len(manifest.problems)
    for name, parts in {PROBLEM_FOLDER: manifest.problems, **manifest.labels}.items():
        rows = sum(part.rows for part in parts)
        if (len(parts), rows) != (shards, manifest.samples):
            raise InvalidInput(
                f"{where}: {name} has {len(parts)} parts with {rows} rows; "
                f"{shards} parts with {manifest.samples} expected"
            )
    return manifest


def parse_document(data: pa.Buffer, kind: type[Document], where: str) -> Document:
    """Parse a JSON document and check it.

    Raises
    ------
    InvalidInput
        Naming the file and the first thing that is wrong in it.
    """
    try:
        plain = json.loads(data.to_pybytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{where} is not JSON: {error}") from None
    if kind is Manifest and isinstance(plain, dict):
        found = (plain.get("format"), plain.get("version"))
        if found != (FORMAT, VERSION):
            raise InvalidInput(
                f"{where} is {found[0]!r} version {found[1]!r}; "
                f"this version reads {FORMAT!r} version {VERSION}"
            )
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the document"
        raise InvalidInput(f"{where}: {place}: {first['msg']}") from None


def finished(folder: Folder, part: str) -> Record | None:
    """Return the record of a part that lies there whole, its hash checked; else None."""
    try:
        record = parse_document(folder.read(record_of(part)), Record, part)
        # The size is asked for first: it costs nothing.
        if (
            folder.size(part) != record.part.bytes
            or sha256(folder.read(part)) != record.part.sha256
        ):
            return None
    except (OSError, InvalidInput):  # what cannot be read is made again, and replaced by a new file
        return None
    return record
