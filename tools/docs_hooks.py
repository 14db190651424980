"""What MkDocs fills into pages: the help of every command, and the recipes.

A page names what it wants in a comment, such as ``<!-- commands -->``, so that nothing generated is
kept in the repository. ``mkdocs.yml`` names this file under ``hooks``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments; MkDocs calls this for each page."""
    for comment, fill in FILLED.items():
        if f"<!-- {comment} -->" in markdown:
            markdown = markdown.replace(f"<!-- {comment} -->", fill())
    return markdown


def commands() -> str:
    """Return a section for each command with what its ``--help`` prints."""
    from cifarlab.cli.main import app

    parts = []
    for name, command in walk(typer.main.get_command(app), "cifarlab"):
        context = command.make_context(name, ["--help"], resilient_parsing=True)
        context.info_name = name
        parts.append(f"## {name}\n\n```text\n{command.get_help(context).strip()}\n```\n")
    return "\n".join(parts)


def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every command below ``command`` with its full name, groups without their members."""
    members = getattr(command, "commands", {})
    if not members:
        yield name, command
    for member, below in members.items():
        yield from walk(below, f"{name} {member}")


def recipes() -> str:
    """Return a table of the recipes."""
    from cifarlab.recipes import RECIPES

    rows = [("recipe", "what", "network", "epochs", "batch size"), ("---",) * 5]
    rows += [
        (f"`{name}`", recipe.summary, recipe.model.name, str(recipe.epochs), str(recipe.batch_size))
        for name, recipe in RECIPES.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


FILLED = {"commands": commands, "recipes": recipes}
