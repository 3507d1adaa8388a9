"""The report of a search: one HTML page that needs nothing from the network."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from deepsched.pipeline.common.markup import html_figure, html_table
from deepsched.pipeline.tuning import figures
from deepsched.pipeline.tuning.importance import importance

Document = Mapping[str, Any]

CHOSEN = {"random": "at random", "optuna": "by Optuna's TPE, from what others came to"}
ENDED = {
    "asha": "ASHA stopped trials that were worse than others after as many validations",
    "pbt": "PBT let bad trials go on from good ones' weights, with changed settings; those shown "
    "are the last ones",
    "none": "all trials went on to their end",
}


def render(document: Document) -> str:
    """Return the report of a search, see `results.search_document`; the best trial comes first."""
    results = document["results"]
    names = list(document["ranges"])
    shares = importance([r["params"] for r in results], [r["score"] for r in results])
    template = resources.files(__package__).joinpath("templates/report.html")
    parts = {
        "title": html.escape(f"Search of {document['network']} by {document['objective']}"),
        "subtitle": html.escape(_subtitle(document)),
        "best": html.escape(_best(document)),
        "table": _table(document, names),
        "coordinates": html_figure(
            figures.parallel_coordinates(results, names),
            "One line a trial through its settings to its score (below is better). Red is the "
            "best, dark is better than bright; dotted ones failed.",
        ),
        "importance": _importance(shares),
        "curves": html_figure(
            figures.learning_curves(results),
            "The score in each validation; a line that ends early was stopped.",
        ),
        "space": _space(document),
    }
    return Template(template.read_text(encoding="utf-8")).substitute(parts)


def _subtitle(document: Document) -> str:
    results = document["results"]
    counts = {
        state: sum(result["state"] == state for result in results)
        for state in ("finished", "stopped", "failed")
    }
    how = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    left = document["trials"] - len(results)
    never = f"; {left} of {document['trials']} did not begin in time" if left else ""
    return (
        f"{len(results)} trials on {document['data']}: {how}{never}. Settings were chosen "
        f"{CHOSEN[document['searcher']]}; {ENDED[document['scheduler']]}."
    )


def _best(document: Document) -> str:
    best = document["results"][0]
    text = f"Best: trial {best['trial']}, {best['score']:.4f} × HEFT in validation."
    for result in document["results"]:
        if result["params"] == document["defaults"] and result["score"] is not None:
            text += f" The defaults came to {result['score']:.4f} in {result['steps']} steps."
            break
    return text


def _table(document: Document, names: list[str]) -> str:
    rows = []
    for rank, result in enumerate(document["results"], 1):
        score = "–" if result["score"] is None else f"{result['score']:.4f}"
        note = result["error"] or ""
        if result["params"] == document["defaults"]:
            note = f"the defaults {note}".strip()
        values = [figures.value_text(result["params"].get(name)) for name in names]
        cells = [str(rank), str(result["trial"]), score, str(result["steps"]), result["state"]]
        rows.append(([*cells, *values, note], "" if rank > 1 else "own"))
    titles = [name.removeprefix("network_options.") for name in names]
    headings = ("rank", "trial", "score", "steps", "end", *titles, "note")
    return html_table(headings, rows, "The score is that of the best validation.", style="notes")


def _importance(shares: Mapping[str, float | None]) -> str:
    if all(share is None for share in shares.values()):
        return "<p>Too few trials to tell.</p>"
    return html_figure(
        figures.importance_bars(shares),
        "How much of the variance of the trials' ranks each setting explains by itself: between "
        "trials of its values, or of its lowest, middle and highest third. What chance would "
        "explain is taken off; what settings do together is not seen.",
    )


def _space(document: Document) -> str:
    rows = [([name, text], "") for name, text in document["ranges"].items()]
    return html_table(("setting", "values"), rows, style="words")
