"""JSON of the stages holds no number that JSON does not know."""

from __future__ import annotations

import json
import math

from deepsched.pipeline.common.strict_json import json_text


def test_what_is_no_number_becomes_null() -> None:
    document = {"a": [1.5, math.nan, {"b": (math.inf, -math.inf, "NaN", True, None)}], 2: 3}
    assert json.loads(json_text(document)) == {
        "a": [1.5, None, {"b": [None, None, "NaN", True, None]}],
        "2": 3,
    }
    for word in ("Infinity", ": NaN", " NaN,"):
        assert word not in json_text(document)
