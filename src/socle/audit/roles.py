"""What the baseline's roles write, without Ansible: to be compared with what is in force on a host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_role(roles: Path, role: str, template: str, given: Mapping[str, Any]) -> str:
    """A template of a role with its defaults and what the host is given. Raises jinja2's errors."""
    folder = roles / role
    path = folder / "defaults/main.yml"
    defaults = yaml.safe_load(path.read_text()) if path.is_file() else {}
    # As Ansible sets Jinja up, with those of its filters and tests that our templates use.
    environment = Environment(
        loader=FileSystemLoader(folder / "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (no HTML here)
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["regex_replace"] = lambda text, pattern, new: re.sub(pattern, new, text)
    environment.tests["search"] = lambda text, pattern: re.search(pattern, text) is not None
    return environment.get_template(template).render({**defaults, **given})


def render_files(roles: Path, given: Mapping[str, Any]) -> dict[str, bytes]:
    """The files that roles write on every host, by path: what their main tasks say. Files of tasks that depend on
    what a host is, and those whose content is another check's matter (keys), are not among them."""
    found = {}
    for path in sorted(roles.glob("*/tasks/main.yml")):
        for kind, task in _find_tasks(yaml.safe_load(path.read_text())):
            role = path.parent.parent.name
            if kind == "template":
                found[str(task["dest"])] = render_role(roles, role, task["src"], given).encode()
            elif "{{" not in task.get("content", "{{"):
                found[str(task["dest"])] = str(task["content"]).encode()
    return found


def _find_tasks(tasks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for task in tasks:
        for kind in ("template", "copy"):
            if f"ansible.builtin.{kind}" in task:
                yield kind, task[f"ansible.builtin.{kind}"]
