"""YAML from strangers: plain data without tags, aliases and repeated keys."""

from __future__ import annotations

from typing import Any

from deepsched.baselines.errors import InvalidInput, extra_for
from deepsched.baselines.readers._values import clipped, echo
from deepsched.baselines.text import printable

DEEPEST = 100  # levels of nesting


def parse_yaml(text: str, where: str) -> Any:
    """Return the document of a YAML text.

    Raises
    ------
    InvalidInput
        If it is not YAML, naming line and column, or has tags, aliases (a few lines of which can
        mean gigabytes), a key twice or several documents.
    NotInstalled
        Without the extra `formats`.
    """
    with extra_for(f"{where}: reading YAML"):
        import yaml  # type: ignore[import-untyped]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml.parse(text, Loader=loader), where)
        node = yaml.compose(text, Loader=loader)
        if node is not None:
            _check_keys(node, where)
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1} column {mark.column + 1}: " if mark else ""
        problem = _said(error.problem or error.context)
        raise InvalidInput(f"{where}: {place}not YAML: {problem}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{where}: not YAML: {_said(error)}") from None
    except (ValueError, OverflowError, RecursionError) as error:  # 2001-99-99, 9 thousand digits
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{where}: a value that is no plain data: {_said(error)}") from None


def _said(error: object) -> str:
    return clipped(printable(" ".join(str(error).split())), 300)


def _check_events(events: Any, where: str) -> None:
    import yaml

    depth = documents = 0
    for event in events:
        place = f"{where}: line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise InvalidInput(f"{place}: an alias (*{event.anchor[:40]}), which is not read")
        if getattr(event, "tag", None) is not None:
            raise InvalidInput(f"{place}: a tag ({event.tag[:40]}), which is not read")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise InvalidInput(f"{place}: a second document; give a file with one")
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise InvalidInput(f"{place}: nested too deeply to be a problem")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_keys(root: Any, where: str) -> None:
    import yaml

    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending += node.value
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        line = key.start_mark.line + 1
                        raise InvalidInput(
                            f"{where}: line {line}: key {echo(key.value)} is given twice"
                        )
                    seen.add(key.value)
                pending.append(value)
