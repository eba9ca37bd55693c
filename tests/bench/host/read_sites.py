"""Runs on the host: what there is of each fake site, read by none of the contenders' own means. JSON in, JSON out."""

from __future__ import annotations

import grp
import json
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(arguments: list[str], stdin: str = "") -> list[str]:
    result = subprocess.run(arguments, input=stdin, capture_output=True, text=True, timeout=60, check=True)
    return result.stdout.splitlines()


def sql(statement: str) -> list[list[str]]:
    return [line.split("\t") for line in run(["mariadb", "--batch", "--raw", "--skip-column-names"], statement)]


def read_path(path: str) -> dict[str, Any] | None:
    try:
        info = Path(path).stat()
    except OSError:
        return None
    found = {
        "mode": oct(info.st_mode & 0o7777),
        "owner": pwd.getpwuid(info.st_uid).pw_name,
        "group": grp.getgrgid(info.st_gid).gr_name,
    }
    if Path(path).is_file():
        found["content"] = Path(path).read_text(encoding="utf-8")
    return found


def read_user(name: str) -> dict[str, Any] | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return {"home": entry.pw_dir, "shell": entry.pw_shell, "group": grp.getgrgid(entry.pw_gid).gr_name}


def read_unit(name: str) -> dict[str, str]:
    wanted = "UnitFileState,ActiveState,User,NeedDaemonReload"
    lines = run(["systemctl", "show", f"--property={wanted}", name])
    return dict(line.split("=", 1) for line in lines)


def main() -> None:
    sites = json.load(sys.stdin)
    databases = {row[0] for row in sql("SHOW DATABASES")}
    hashes = dict(
        sql("SELECT User, JSON_VALUE(Priv, '$.authentication_string') FROM mysql.global_priv WHERE Host = 'localhost'")
    )
    grants: dict[str, list[list[str]]] = {}
    for grantee, schema, privilege in sql(
        "SELECT GRANTEE, TABLE_SCHEMA, PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES"
    ):
        grants.setdefault(grantee, []).append([schema.replace("\\", ""), privilege])
    found = {}
    for site in sites:
        account = site["database"]
        found[site["name"]] = {
            "user": read_user(site["name"]),
            **{path: read_path(path) for path in site["paths"]},
            "database": account in databases,
            "account": hashes.get(account),
            "grants": sorted(grants.get(f"'{account}'@'localhost'", [])),
            "unit": read_unit(site["unit"]),
        }
    json.dump(found, sys.stdout)


main()
