"""Where numbers come from: a package that is not installed is no reason to fail."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from deepsched.pipeline.common.provenance import PACKAGES, provenance, versions
from deepsched.pipeline.dataset.storage import Dataset
from deepsched.pipeline.label import command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that is not installed, on a machine without torch."""
    real = metadata.version

    def version(name: str) -> str:
        if name in ("deepsched", "torch"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)


def test_versions_are_the_distributions_of_what_is_installed() -> None:
    found = versions(["numpy", "no-such-package-anywhere", "ray"])
    assert found == {"numpy": metadata.version("numpy"), "ray": metadata.version("ray")}


@pytest.mark.usefixtures("bare")
def test_provenance_leaves_out_what_is_not_installed() -> None:
    found = provenance(data="x")
    assert found["data"] == "x"
    assert list(found["versions"]) == [
        "python",
        *(name for name in PACKAGES if name not in ("deepsched", "torch")),
    ]
    assert found["date"].endswith(" UTC")


@pytest.mark.usefixtures("bare")
def test_a_checkout_that_is_not_installed_makes_datasets(tmp_path: Path) -> None:
    arguments = ["--preset", "small", "--samples", "4", "--workers", "0", "--out", str(tmp_path)]
    assert command.main(arguments, standalone_mode=False) == 0
    assert list(Dataset.open(str(tmp_path)).manifest.made_with) == ["numpy", "numba", "pyarrow"]
