"""What live tests of backups share: saving, judging, and what a hosting host can do with what it was given."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from socle.backups.observe import load_verdicts
from socle.backups.verdict import Verdict
from socle.model.plan import Repository
from tests.live.environment import Lab

HOST, VAULT = "web1", "vault1"
SITE, OTHER = "wp-amis-du-lac", "wp-ecole-du-bourg"
ASSOCIATION, STRANGER = "amis-du-lac", "ecole-du-bourg"
# What a hosting host has: Python, the site's configuration, its certificate. It sends what it wants.
_REQUEST = """
import base64, hashlib, http.client, json, os, ssl, sys
from urllib.parse import urlsplit
asked = json.load(sys.stdin)
config = json.load(open(asked["configuration"]))
parts = urlsplit(config["url"].removeprefix("rest:"))
token = base64.b64encode(f'{config["user"]}:{config["credential"]}'.encode()).decode()
trust = ssl.create_default_context(cafile="/etc/socle/vault.pem")
answers = []
for method, path, body, random in asked["requests"]:
    data = os.urandom(random) if random else body.encode()
    path = path.replace("{sha256}", hashlib.sha256(data).hexdigest())
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=60, context=trust)
    try:
        connection.request(method, path, data or None, {"Authorization": f"Basic {token}"})
        answer = connection.getresponse()
        answers.append([answer.status, path])
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        answers.append([0, repr(error)])
    finally:
        connection.close()
print(json.dumps(answers))
"""


@dataclass
class Backups:
    """A lab, and its backups as its users and its hosts see them."""

    lab: Lab

    def run(self, *sites: str, code: int = 0) -> dict[str, Verdict]:
        """`socle backup run`, and its verdicts by site."""
        result = self.lab.socle("backup", "run", *sites, "--json", check=False)
        assert result.returncode == code, f"{result.stdout}\n{result.stderr}"
        return parse_verdicts(result.stdout)

    def status(self, code: int | None = None) -> dict[str, Verdict]:
        """`socle backup status`: verdicts by site. Its exit code must agree with them."""
        result = self.lab.socle("backup", "status", "--json", check=False)
        verdicts = parse_verdicts(result.stdout)
        complete = all(one.verdict == "complete" for one in verdicts.values())
        assert result.returncode == (0 if complete else 3), result.stderr
        assert code is None or result.returncode == code, verdicts
        return verdicts

    def at(self, hours: float) -> dict[str, Verdict]:
        """Verdicts as they would be so many hours from now, if nothing happened until then."""
        return {one.site: one for one in load_verdicts(self.lab.context(), time.time() + hours * 3600)}

    def mend(self, *options: str) -> dict[str, dict[str, Any]]:
        """`socle backup mend`: what it did, by repository."""
        found = json.loads(self.lab.socle("backup", "mend", "--json", *options).stdout)["repositories"]
        return {one["name"]: one for one in found}

    def repository(self, association: str = ASSOCIATION) -> Repository:
        found = self.lab.context().plan.repository(association)
        assert found
        return found

    def on_host(self, script: str, check: bool = True, host: str = HOST, timeout: float = 300) -> str:
        """A shell script on the hosting host, as root."""
        return self.lab.ssh(host, ["sh", "-euc", script], check=check, timeout=timeout)

    def ask(self, *requests: tuple[str, str, str, int], site: str = SITE) -> list[tuple[int, str]]:
        """What the vault answers to requests (method, path, body, random bytes instead of a body) that a hosting host
        makes with a site's own credential. `{sha256}` in a path is the body's."""
        asked = {"configuration": f"/etc/socle/backups/{site}.json", "requests": requests}
        said = self.lab.ssh(HOST, ["python3", "-c", _REQUEST], stdin=json.dumps(asked).encode(), timeout=600)
        return [(status, path) for status, path in json.loads(said)]

    def restic(self, *arguments: str, site: str = SITE, before: str = "", check: bool = True) -> str:
        """restic on the hosting host with a site's own credential and key. `before`: shell words before the command."""
        names = ("url", "key", "user", "credential")
        load = f"import json, sys; c = json.load(open(sys.argv[1])); print(*(c[name] for name in {names}))"
        script = f"""
            set -- $(python3 -c {shlex.quote(load)} /etc/socle/backups/{site}.json)
            export RESTIC_REPOSITORY="$1" RESTIC_PASSWORD="$2" RESTIC_REST_USERNAME="$3" RESTIC_REST_PASSWORD="$4"
            export HOME=/root
            {before} restic --cacert /etc/socle/vault.pem {shlex.join(arguments)}
        """
        return self.on_host(script, check=check)

    @contextmanager
    def stubbed(self, program: str, script: str) -> Iterator[None]:
        """A program of the hosting host replaced by a script, in which `$REAL` is the one that was there."""
        real = f"{program}.real"
        text = f"#!/bin/bash\nREAL={real}\n{script}\n"
        self.on_host(f"mv {program} {real}; cat > {program} <<'END'\n{text}\nEND\nchmod 755 {program}")
        try:
            yield
        finally:
            self.on_host(f"mv -f {real} {program}")

    @contextmanager
    def configured(self, site: str = SITE, **changes: Any) -> Iterator[None]:
        """A site's file on its host with other values."""
        path = f"/etc/socle/backups/{site}.json"
        before = self.lab.ssh(HOST, ["cat", path])
        self.write(path, json.dumps({**json.loads(before), **changes}))
        try:
            yield
        finally:
            self.write(path, before)

    def write(self, path: str, text: str) -> None:
        self.lab.ssh(HOST, ["sh", "-c", f"cat > {shlex.quote(path)}"], stdin=text.encode())

    def fill(self, repository: Repository) -> str:
        """A file on the vault that leaves no room in a repository's volume; its path."""
        path = str(PurePosixPath(repository.path, ".full"))
        script = f"dd if=/dev/urandom of={path} bs=1M count={repository.quota // 2**20 + 64} 2>&1 || true; sync"
        said = self.lab.ssh(VAULT, ["sh", "-c", script], timeout=600)
        assert "exceeded" in said or "No space" in said, said
        return path


def parse_verdicts(text: str) -> dict[str, Verdict]:
    return {one["site"]: Verdict.model_validate(one) for one in json.loads(text)["sites"]}


def find_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
