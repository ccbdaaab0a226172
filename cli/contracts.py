"""The published contracts as files: `docs/openapi.json`, `docs/asyncapi.json` and `docs/events.md`.

They are generated from the code (`python -m cli.contracts`); `--check` says where a file and the code differ, exit 1.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from adapters.cloudevents import CONTENT_TYPE, CloudEvent
from api.openapi import document as openapi_document
from api.routes import ROUTES
from domain.published import DATA_CLASSES

DOCS = Path(__file__).parents[1] / "docs"

_CHANNELS = {
    "stagedoor.tickets": "Everything that happens to listings, by listing.",
    "stagedoor.orders": "The life of orders and their money, by order.",
    "stagedoor.users": "Accounts, without any personal data, by account.",
}


def asyncapi_document() -> dict[str, Any]:
    """AsyncAPI 3.0: the three topics, every published type, the envelope and the data of each."""
    data_classes = [data_class for _, data_class in DATA_CLASSES.values()]
    (envelope, *payloads), schemas = msgspec.json.schema_components(
        [CloudEvent, *data_classes], ref_template="#/components/schemas/{name}"
    )
    messages = {
        name: {
            "name": name,
            "title": name,
            "summary": data_class.__doc__,
            "contentType": CONTENT_TYPE.partition(";")[0],
            "payload": {
                "allOf": [
                    envelope,
                    {"type": "object", "properties": {"type": {"const": name}, "data": payload}},
                ]
            },
        }
        for (name, (_, data_class)), payload in zip(DATA_CLASSES.items(), payloads, strict=True)
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Stagedoor events",
            "version": "1",
            "description": "CloudEvents 1.0 in structured mode. The key is the aggregate's id; per key `sequence` "
            "counts 1, 2, 3 … without gaps, and an event may come more than once with the same `id`.",
        },
        "channels": {
            topic: {
                "address": topic,
                "description": description,
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"}
                    for name, (of_topic, _) in DATA_CLASSES.items()
                    if of_topic == topic
                },
            }
            for topic, description in _CHANNELS.items()
        },
        "operations": {
            f"publish-{topic.partition('.')[2]}": {"action": "send", "channel": {"$ref": f"#/channels/{topic}"}}
            for topic in _CHANNELS
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def event_catalogue() -> str:
    """Every published type with its data, as a page for people."""
    lines = [
        "# Event catalogue",
        "",
        "Generated from `domain/published.py` by `python -m cli.contracts`. Each event is a CloudEvent 1.0 (JSON,",
        "structured mode) keyed by its aggregate's id; below is its `data`. Beside the standard attributes every event",
        "has `sequence` (1, 2, 3 … per key, no gaps), `position` (place in the log, grows with gaps), `causationid`,",
        "`correlationid` and, where there is one, `actor` and `traceparent`. The whole schema: `asyncapi.json`.",
        "",
        "After an older backup was restored and repaired (`stagedoor repair`), the topics begin anew: offsets start at",
        "0, and every event of the restored log comes again. Events published after that backup never come again, and",
        "their key and sequence may come with another event at a higher `position`. A consumer that keeps state",
        "empties it and reads from the beginning; it can tell by a partition that ends before its own offset.",
        "",
    ]
    for topic, description in _CHANNELS.items():
        lines += [f"## {topic}", "", description, "", "| type | when | data |", "|---|---|---|"]
        for name, (of_topic, data_class) in DATA_CLASSES.items():
            if of_topic == topic:
                names = ", ".join(f"`{field.name}`" for field in fields(data_class))
                lines.append(f"| {name} | {data_class.__doc__} | {names or '—'} |")
        lines.append("")
    return "\n".join(lines)


def generated() -> dict[Path, bytes]:
    """Every contract file and what the code says it should hold."""

    asyncapi = msgspec.json.encode(asyncapi_document(), order="sorted")
    return {
        DOCS / "openapi.json": msgspec.json.format(openapi_document(ROUTES), indent=2) + b"\n",
        DOCS / "asyncapi.json": msgspec.json.format(asyncapi, indent=2) + b"\n",
        DOCS / "events.md": event_catalogue().encode(),
    }


def main(arguments: list[str]) -> int:
    """Writes the files, or with `--check` compares them."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_bytes() != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(DOCS.parent)} differs from the code: run `make contracts`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_bytes(generated()[path])
        print(f"wrote {path.relative_to(DOCS.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
