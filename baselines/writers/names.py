"""Names as others wrote them, in places where some of their characters would do more than show."""

from __future__ import annotations

import re

# Controls, marks that turn the direction of writing, line and paragraph separators, halves of
# surrogate pairs, and what is no character: all that changes the text around it, or no text at all.
UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\uffff]"
)


def legible(text: str) -> str:
    r"""Return a text of one line that shows as it is stored; what would not, as \n or \u202e."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
