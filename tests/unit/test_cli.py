"""The command line: data on stdout, talk on stderr, one clear error, documented exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import yaml

from socle.cli.main import main
from tests.live.environment import REPOSITORY


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A control repository with the example requests and the lab's platform, but no lab."""
    for folder in ("associations", "inventories/lab"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    (tmp_path / "root/stacks").symlink_to(REPOSITORY / "stacks")
    for name in ("amis-du-lac", "ecole-du-bourg"):
        text = (REPOSITORY / f"associations/{name}.yml").read_text()
        (tmp_path / f"root/associations/{name}.yml").write_text(text)
    platform = yaml.safe_load((REPOSITORY / "inventories/lab/platform.yml").read_text())
    (tmp_path / "root/inventories/lab/platform.yml").write_text(yaml.safe_dump(platform, allow_unicode=True))
    return tmp_path / "root"


def socle(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in this process: starting Python and importing Pulumi for each call takes seconds."""
    command = [*arguments, "--root", str(root)]
    stdout, stderr = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setenv("SOCLE_STATE", str(root.parent / "state"))
        patch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit) as end:
            main(command)
    code = end.value.code
    return subprocess.CompletedProcess(command, int(code or 0), stdout.getvalue(), stderr.getvalue())


def test_check_shows_requests_and_addresses(root: Path) -> None:
    result = socle(root, "request", "check")
    assert result.returncode == 0, result.stderr
    assert "école-du-bourg.example" in result.stdout
    assert "L’École du Bourg – Cœur d’Ille" in result.stdout
    assert "Next: socle request accept" in result.stderr


@pytest.mark.parametrize("night", ["02:30", "02:00"])
def test_hosts_begin_to_save_at_a_time_that_each_day_has_once(root: Path, night: str) -> None:
    (root / "backups").mkdir()
    (root / "backups/policy.yml").write_text(f'spread: 60\nnight: "{night}"\n')
    result = socle(root, "request", "check")
    assert result.returncode == 2
    assert f"backups/policy.yml:2: night: expected a time that each day has once: {night}" in result.stderr
    assert "in Europe/Paris" in result.stderr
    (root / "backups/policy.yml").write_text('night: "03:00"\n')
    assert socle(root, "request", "check").returncode == 0


def test_the_night_is_one_of_the_platforms_time_zone(root: Path) -> None:
    path = root / "inventories/lab/platform.yml"
    text = path.read_text()
    path.write_text(f"{text}\ntimezone: Europe/London\n")
    assert "01:30 does not exist" in socle(root, "request", "check").stderr, "that is what there is without a policy"
    path.write_text(f"{text}\ntimezone: Europe/Lutece\n")
    result = socle(root, "request", "check")
    assert result.returncode == 2
    assert "timezone: expected a time zone, found 'Europe/Lutece'" in result.stderr


def test_accept_gives_places_once(root: Path) -> None:
    dry = socle(root, "request", "accept", "--all", "--dry-run", "--json")
    assert not (root / "inventories/lab/allocations.yml").exists()
    first = socle(root, "request", "accept", "--all", "--json")
    assert json.loads(first.stdout) == json.loads(dry.stdout) == {"sites": ["wp-amis-du-lac", "wp-ecole-du-bourg"]}
    written = (root / "inventories/lab/allocations.yml").read_text()
    assert yaml.safe_load(written)["sites"]["wp-amis-du-lac"]["uid"] == 20000
    again = socle(root, "request", "accept", "--all", "--json")
    assert json.loads(again.stdout) == {"sites": []}
    assert (root / "inventories/lab/allocations.yml").read_text() == written


def test_every_problem_at_once_and_nothing_written(root: Path) -> None:
    path = root / "associations/amis-du-lac.yml"
    path.write_text(path.read_text().replace("38421", "38999").replace("quota: 512MiB", "qota: 1"))
    other = root / "associations/ecole-du-bourg.yml"
    other.write_text(other.read_text().replace("W381000003", "W3"))
    text = path.read_text().replace("qota: 1", "quota: 1GiB").replace("W381000001", "W381000007")
    (root / "associations/other.yml").write_text(text.replace("amis-du-lac.example", "other.example"))
    result = socle(root, "request", "accept", "--all", "--json")
    assert result.returncode == 2
    assert result.stdout == ""
    problems = json.loads(result.stderr)["problems"]
    assert [(p["path"], p["where"]) for p in problems] == [
        ("associations/amis-du-lac.yml", "services.wordpress.qota"),
        ("associations/ecole-du-bourg.yml", "rna_number"),
        ("associations/other.yml", "town"),
    ]
    assert all(p["remedy"] for p in problems)
    assert not (root / "inventories/lab/allocations.yml").exists()


def test_new_leaves_empty_what_it_does_not_know(root: Path) -> None:
    made = socle(root, "request", "new", "Cœur d’Ille", "--town", "38169", "--domain", "Cœur.example")
    assert made.stdout.strip() == "associations/coeur-d-ille.yml", made.stderr
    path = root / "associations/coeur-d-ille.yml"
    empty = {"decision_reference": None, "agreement_date": None}
    assert yaml.safe_load(path.read_text()) == {
        "name": "Cœur d’Ille",
        "town": "38169",
        "purpose": None,
        "rna_number": None,
        "convention": empty,
        "services": {"wordpress": {"domain": "Cœur.example"}},
    }
    check = socle(root, "request", "check", "--json")
    problems = json.loads(check.stderr)["problems"]
    assert check.returncode == 2
    assert [problem["where"] for problem in problems] == [
        "purpose",
        "rna_number",
        "convention.decision_reference",
        "convention.agreement_date",
    ]
    assert all("such as" in problem["remedy"] for problem in problems), problems
    text = path.read_text()
    for key, value in (
        ("purpose", "Lire"),
        ("rna_number", "W381000008"),
        ("decision_reference", "2026-9"),
        ("agreement_date", "2026-09-15"),
    ):
        text = text.replace(f"{key}:\n", f"{key}: {value}\n")
    path.write_text(text)
    assert socle(root, "request", "check").returncode == 0


def test_new_never_touches_a_request_that_exists(root: Path) -> None:
    before = (root / "associations/amis-du-lac.yml").read_text()
    again = socle(root, "request", "new", "Amis du Lac", "--town", "38169")
    assert again.returncode == 4
    assert "--id" in again.stderr
    assert (root / "associations/amis-du-lac.yml").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--town", "38999"], "--town: expected a member town, found 38999 (member towns: 38151"),
        (["--town", "38169", "--domain", "a..b"], "--domain: expected a domain name"),
        (["--town", "38169", "--id", "www"], "--id: expected another identifier: www is reserved"),
    ],
)
def test_new_refuses_what_check_would_refuse(root: Path, arguments: list[str], said: str) -> None:
    result = socle(root, "request", "new", "Nouvelle", *arguments)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert not (root / "associations/nouvelle.yml").exists()


def test_schema_and_example_are_those_in_the_repository(root: Path) -> None:
    assert socle(root, "request", "schema").stdout == (REPOSITORY / "associations/schema.json").read_text()
    example = socle(root, "request", "example").stdout
    assert example == (REPOSITORY / "docs/request.example.yml").read_text()
    (root / "associations/example.yml").write_text(example)
    for name in ("amis-du-lac", "ecole-du-bourg"):  # Of the one it has the domain, of the other the SIREN.
        (root / f"associations/{name}.yml").unlink()
    assert socle(root, "request", "check").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["plan", "--env", "nowhere"], 2, "choose --env among: lab"),
        (["plan"], 2, "socle lab up"),
        (["request", "accept"], 2, "or --all"),
        (["request", "accept", "nobody"], 2, "known: amis-du-lac, ecole-du-bourg"),
        (["plan", "--nonsense"], 2, "No such option"),
        (["lab", "down"], 4, "add --yes"),
    ],
)
def test_errors_are_one_clear_message(root: Path, arguments: list[str], code: int, said: str) -> None:
    result = socle(root, *arguments)
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "verb",
    ["plan", "apply", "adopt", "doctor", "journal", "login", "lab up", "lab down", "lab status", "secrets escrow"]
    + [f"request {verb}" for verb in ("new", "check", "accept", "schema", "example")],
)
def test_help_has_exit_codes_and_an_example(root: Path, verb: str) -> None:
    result = socle(root, *verb.split(), "--help")
    assert result.returncode == 0
    for needed in ("Exit codes: 0 done;", "Example: socle", "--env", "--json"):
        assert needed in result.stdout


def test_a_control_repository_is_needed(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "socle", "plan"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "SOCLE_ROOT"},
    )
    assert result.returncode == 2
    assert "SOCLE_ROOT" in result.stderr
