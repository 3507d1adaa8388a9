"""XML from strangers: no entities, no external parts, no document types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deepsched.baselines.errors import InvalidInput, extra_for
from deepsched.baselines.readers._graph_files import parsing

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROOT = re.compile(
    r"\s*(<\?xml.*?\?>\s*|<!--.*?-->\s*|<!DOCTYPE[^>\[]*(\[.*?\]\s*)?>\s*)*<([\w.:-]+)", re.DOTALL
)
HEAD = 20_000  # characters within which the root begins


def root_name(text: str) -> str:
    """Return the name of the root element, without its namespace; "" where it is no XML."""
    found = ROOT.match(text[:HEAD])
    return found[3].rpartition(":")[2] if found else ""


def parse_xml(text: str, where: str) -> Element:
    """Return the root element.

    Raises
    ------
    InvalidInput
        If it is not XML, naming line and column, or declares entities or external parts.
    NotInstalled
        Without the extra `formats`.
    """
    with extra_for(f"{where}: reading XML"):
        import defusedxml.ElementTree as ElementTree
        from defusedxml.common import DefusedXmlException
    with parsing(where, "XML"):
        try:
            # As bytes: an encoding that the text declares would be another one than it has.
            root: Element = ElementTree.fromstring(
                re.sub(r"^\s*<\?xml.*?\?>", "", text, count=1, flags=re.DOTALL),
                forbid_dtd=False,
            )
        except DefusedXmlException as error:
            what = type(error).__name__.removesuffix("Forbidden").lower()
            raise InvalidInput(f"{where}: XML with entities is not read ({what})") from None
    return root
