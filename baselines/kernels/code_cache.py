"""Where compiled kernels are kept, so that the next process need not compile them again.

numba keeps them beside the source files, or in the user's cache folder. By itself it refuses to
import a kernel where neither can be written, as in a container, and to run one whose file was cut
off or overwritten there. A kernel must run in any case: what cannot be read is compiled anew.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import os
import pickle
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numba.core import caching

from deepsched.baselines.waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = hashlib.sha256
REMEDY = "NUMBA_CACHE_DIR=FOLDER names another place"
log = logging.getLogger("deepsched")  # where nobody configures logging: one line on stderr


class CodeCache(caching._Cache):  # noqa: SLF001 - what numba calls
    """The compiled code of one function; it fails in nothing, and finds its place at first use."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._found: Any = None

    @property
    def _kept(self) -> Any:
        if self._found is None:
            try:
                self._found = _CheckedCache(self._function)
            except Exception:  # no place; or a path that is not UTF-8, which numba cannot encode
                self._found = caching.NullCache()
                _say_once(f"compiled code cannot be kept: each process compiles anew; {REMEDY}")
        return self._found

    @property
    def cache_path(self) -> str | None:
        """The folder, if there is one."""
        path: str | None = self._kept.cache_path
        return path

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was compiled for a signature; None: nothing, or nothing that is whole."""
        try:
            found = self._kept.load_overload(sig, target_context)
        except Exception:  # whatever the bytes bring about
            found = None
        if found is None:  # numba compiles it now
            waiting("compiling, once")
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, or say once that it cannot be."""
        try:
            self._kept.save_overload(sig, data)
        except Exception as error:
            reason = getattr(error, "strerror", None) or error
            _say_once(f"compiled code cannot be kept in {self.cache_path}: {reason}; {REMEDY}")

    def enable(self) -> None:
        """Keep and look up from now on."""
        self._kept.enable()

    def disable(self) -> None:
        """Do neither from now on."""
        self._kept.disable()

    def flush(self) -> None:
        """Forget what was kept."""
        self._kept.flush()


class _CheckedFiles(caching.IndexDataCacheFile):
    """numba's two files a function, each with a checksum behind its content.

    Machine code that lost a few bytes ends the process, or computes something else.
    """

    def _load_index(self) -> Any:
        content = _whole(self._index_path)
        if content is None:
            return {}
        file = io.BytesIO(content)
        if pickle.load(file) != self._version:
            return {}
        try:
            stamp, overloads = pickle.load(file)
        except Exception:  # of before an update, with types that there are no more
            return {}
        return overloads if stamp == self._source_stamp else {}

    def _save_index(self, overloads: Any) -> None:
        version = pickle.dumps(self._version, protocol=-1)
        self._write(self._index_path, version + self._dump((self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        content = _whole(self._data_path(name))
        return None if content is None else pickle.loads(content)

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), self._dump(data))

    def _write(self, path: str, content: bytes) -> None:
        with self._open_for_write(path) as file:
            file.write(content + DIGEST(content).digest())


def _whole(path: str) -> bytes | None:
    """Return the content of a file, None where there is none or it is not as it was written."""
    try:
        data = Path(path).read_bytes()
    except OSError:
        return None
    size = DIGEST().digest_size
    content, digest = data[:-size], data[-size:]
    return content if DIGEST(content).digest() == digest else None


class _Guarded:
    """One of numba's ways to a folder, which says no where it would fail."""

    def __init__(self, way: Any) -> None:
        self.way = way

    def from_function(self, function: Any, file: str) -> Any:
        try:
            place = self.way.from_function(function, file)
            # Where the user has no home, numba would make a folder called ~ in the current one.
            if place is None or place.get_cache_path().startswith("~"):
                return None
            place.ensure_cache_path()
        except Exception:
            return None
        return place


class _TemporaryFolder(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):  # noqa: SLF001
    """The last resort: a folder of this user's alone among the temporary files.

    What lies there is executed, so that nobody else may be able to put something there.
    """

    def __init__(self, function: Any, file: str) -> None:
        self._py_file = file
        self._lineno = function.__code__.co_firstlineno
        folder = private_folder()
        name = hashlib.sha256(os.fsencode(Path(file).absolute().parent)).hexdigest()[:16]
        self._cache_path = str(folder / name)
        _say_once(
            "neither the package's folder nor the home folder's cache can be written: compiled "
            f"code is kept in {folder}; {REMEDY}"
        )

    def get_cache_path(self) -> str:
        """Return the folder for the functions of this file's folder."""
        return self._cache_path


def private_folder() -> Path:
    """Return a folder among the temporary files that only this user can write to; makes it.

    Raises
    ------
    OSError
        If it cannot be made, or what has its name is not such a folder.
    """
    folder = Path(tempfile.gettempdir(), f"deepsched-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise OSError(f"{folder} is not a folder of this user's alone")
    return folder


class _Place(caching.CompileResultCacheImpl):
    _locator_classes: list[Any] = [  # noqa: RUF012 - as numba declares it
        _Guarded(way)
        for way in (*caching.CompileResultCacheImpl._locator_classes, _TemporaryFolder)  # noqa: SLF001
    ]


class _CheckedCache(caching.FunctionCache):
    _impl_class = _Place

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _CheckedFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._stamp(function),
        )

    def _stamp(self, function: Callable[..., Any]) -> Any:
        try:
            return _kernels_digest(Path(function.__code__.co_filename))
        except OSError:  # the sources are in an archive, or not there
            return self._impl.locator.get_source_stamp()


@functools.cache
def _kernels_digest(file: Path) -> str:
    """Return what changes with the source of any kernel that those of a file may call.

    numba looks at the file of a kernel alone. After an update of another one it would run code that
    was compiled into the first, which may know other tables.
    """
    ours, beside = Path(__file__).parent.glob("*.py"), file.parent.glob("*kernels.py")
    found = DIGEST()
    for path in sorted({file, *ours, *beside}):
        found.update(path.read_bytes())
    return found.hexdigest()


_said: list[str] = []  # at most one line a process


def _say_once(text: str) -> None:
    if not _said:
        _said.append(text)
        log.warning("deepsched: %s", text.encode("ascii", "backslashreplace").decode())
