"""Drift guards on the roles of the baseline: what they say about themselves is what they do."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PATH_KEYS = ("dest", "path")
PATH_MODULES = ("copy", "template", "file", "lineinfile", "blockinfile", "get_url", "unarchive", "assemble")
UNIT_MODULES = ("systemd_service", "systemd", "service")

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


@cache
def load_yaml(path: Path) -> Any:
    """The content of a YAML file; None when there is no such file."""
    return yaml.load(path.read_bytes(), yaml.CSafeLoader) if path.exists() else None


def load_tasks(role: Path) -> list[dict[str, Any]]:
    """All tasks and handlers of a role, those of blocks included."""
    files = [*(role / "tasks").glob("*.yml"), *(role / "handlers").glob("*.yml")]
    return [task for path in files for task in iter_tasks(load_yaml(path) or [])]


def iter_tasks(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tasks one by one, going into blocks."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from iter_tasks(task.get(part, []))


def parse_arguments(task: dict[str, Any], *modules: str) -> dict[str, Any]:
    """The arguments that a task gives to one of these builtin modules; empty when it uses none of them."""
    for module in modules:
        if f"ansible.builtin.{module}" in task:
            return dict(task[f"ansible.builtin.{module}"])
    return {}


def make_patterns(task: dict[str, Any], value: str) -> set[str]:
    """What a value may become: one per item of a literal loop, else `*` for each expression."""
    loop = task.get("loop")
    if value == "{{ item }}" and isinstance(loop, list):
        return {str(item) for item in loop}
    return {re.sub(r"{{.*?}}", "*", value)}


def find_packages(tasks: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for task in tasks:
        names = parse_arguments(task, "apt").get("name", [])
        found |= set(names if isinstance(names, list) else [names])
    return found


def find_paths(tasks: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for task in tasks:
        arguments = parse_arguments(task, *PATH_MODULES)
        for key in PATH_KEYS:
            if key in arguments:
                found |= make_patterns(task, arguments[key])
    return found


def find_units(tasks: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for task in tasks:
        name = parse_arguments(task, *UNIT_MODULES).get("name")
        found |= make_patterns(task, name) if name else set()
    return found


def load_owned(role: Path, kind: str) -> set[str]:
    return set(load_yaml(role / "meta" / "owns.yml")[kind])


def load_specs(role: Path) -> dict[str, Any]:
    return dict(load_yaml(role / "meta" / "argument_specs.yml")["argument_specs"])


def load_options(role: Path) -> dict[str, Any]:
    return {name: option for spec in load_specs(role).values() for name, option in spec["options"].items()}


def test_roles_are_found() -> None:
    assert "firewall" in {role.name for role in ROLES}


def test_play_names_each_role_once() -> None:
    play = load_yaml(ROOT / "playbooks" / "baseline.yml")[0]
    assert sorted(entry["role"] for entry in play["roles"]) == [role.name for role in ROLES]


@each_role
def test_each_entry_point_has_a_specification(role: Path) -> None:
    specs = load_specs(role)
    assert "main" in specs
    assert all((role / "tasks" / f"{name}.yml").exists() for name in specs)


@each_role
def test_defaults_and_specification_agree(role: Path) -> None:
    defaults = load_yaml(role / "defaults" / "main.yml") or {}
    options = load_options(role)
    assert set(defaults) == set(options)
    computed = {name for name, value in defaults.items() if isinstance(value, str) and "{{" in value}
    assert {name: options[name].get("default") for name in defaults if name not in computed} == {
        name: value for name, value in defaults.items() if name not in computed
    }
    assert not [name for name in computed if "default" in options[name]]


@each_role
def test_variables_carry_the_role_name(role: Path) -> None:
    own = f"{role.name}_"
    names = {name for folder in ("defaults", "vars") for name in load_yaml(role / folder / "main.yml") or {}}
    for task in load_tasks(role):
        names |= set(task.get("vars", {})) | ({task["register"]} if "register" in task else set())
    assert [name for name in sorted(names) if not name.startswith(own)] == []


@each_role
def test_only_builtin_modules(role: Path) -> None:
    actions = {key for task in load_tasks(role) for key in task if "." in key}
    assert [action for action in sorted(actions) if not action.startswith("ansible.builtin.")] == []
    shells = {"ansible.builtin.shell", "ansible.builtin.raw"}
    assert not actions & shells


@each_role
def test_files_have_an_owner_and_a_mode(role: Path) -> None:
    for task in load_tasks(role):
        arguments = parse_arguments(task, "copy", "template", "file")
        if not arguments or arguments.get("state") == "absent":
            continue
        wanted = {"owner", "group"} if arguments.get("state") == "link" else {"owner", "group", "mode"}
        assert wanted <= set(arguments), task["name"]


@each_role
def test_packages_are_declared(role: Path) -> None:
    assert find_packages(load_tasks(role)) == load_owned(role, "packages")


@each_role
def test_paths_are_declared(role: Path) -> None:
    assert find_paths(load_tasks(role)) == load_owned(role, "paths")


@each_role
def test_units_are_declared(role: Path) -> None:
    assert find_units(load_tasks(role)) == load_owned(role, "units")


@pytest.mark.parametrize("kind", ["packages", "paths", "units"])
def test_roles_own_nothing_in_common(kind: str) -> None:
    for one, other in combinations(ROLES, 2):
        clashes = [
            (left, right)
            for left in load_owned(one, kind)
            for right in load_owned(other, kind)
            if fnmatchcase(left, right) or fnmatchcase(right, left)
        ]
        assert clashes == [], f"{one.name} and {other.name}"


@each_role
def test_no_role_names_an_association(role: Path) -> None:
    requests = [path.stem for path in (ROOT / "associations").glob("*.yml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in role.rglob("*") if path.is_file())
    words = ["association", *requests]
    assert [word for word in words if re.search(rf"\b{re.escape(word)}", text)] == []


@each_role
def test_every_configuration_file_says_who_manages_it(role: Path) -> None:
    for template in (role / "templates").glob("*.j2"):
        head = "\n".join(template.read_text(encoding="utf-8").splitlines()[:2])
        assert f"Managed by socle (roles/{role.name})" in head, template.name


@each_role
def test_handlers_act_again_after_an_interrupted_run(role: Path) -> None:
    """A handler that is not in the common topic would be lost by a kill between the change and it."""
    handlers = load_yaml(role / "handlers" / "main.yml") or []
    chained = {name for handler in handlers for name in [handler.get("notify")] if name}
    lost = [h["name"] for h in handlers if h.get("listen") != "Apply everything again" and h["name"] not in chained]
    assert lost == []
