"""The same sites by pyinfra, as its documentation has them written: one operation per resource, `host.loop`
over one fixed catalogue, and only pyinfra's own operations."""

import json
from pathlib import Path

from pyinfra.context import host
from pyinfra.operations import files, mysql, server, systemd
from pyinfra.operations.util import any_changed

TEMPLATES = Path(__file__).parents[1] / "fake" / "templates"
CATALOGUE = json.loads(Path(host.data.catalogue).read_text())

for site in host.loop(CATALOGUE["sites"]):  # type: ignore[no-untyped-call]
    name = site["name"]
    values = {"site": name, "path": site["path"], "database": site["database"], "password": site["password"]}

    server.user(  # noqa: S604 (its shell, not one of ours)
        name=f"{name}: user",
        user=name,
        home=site["path"],
        shell="/usr/sbin/nologin",
        create_home=False,
        ensure_home=False,
    )
    files.directory(name=f"{name}: data", path=site["path"], user=name, group=name, mode="750")
    files.directory(name=f"{name}: configuration", path=f"/etc/fake/{name}", user="root", group=name, mode="750")
    settings = files.template(
        name=f"{name}: settings",
        src=str(TEMPLATES / "service.conf.j2"),
        dest=f"/etc/fake/{name}/service.conf",
        user="root",
        group=name,
        mode="640",
        **values,
    )
    files.template(
        name=f"{name}: limit of the database",
        src=str(TEMPLATES / "limit.json.j2"),
        dest=f"/etc/socle/quota/{name}.json",
        user="root",
        group="root",
        mode="644",
        database=site["database"],
        bytes=site["limit"],
    )
    unit = files.template(
        name=f"{name}: unit file",
        src=str(TEMPLATES / "unit.service.j2"),
        dest=f"/etc/systemd/system/{site['unit']}",
        user="root",
        group="root",
        mode="644",
        **values,
    )
    mysql.database(name=f"{name}: database", database=site["database"], charset="utf8mb4")
    mysql.user(name=f"{name}: account", user=site["database"], password=site["password"])
    mysql.privileges(
        name=f"{name}: grant",
        user=site["database"],
        privileges=CATALOGUE["privileges"],
        database=site["database"],
    )
    systemd.daemon_reload(name=f"{name}: units read again", _if=unit.did_change)
    systemd.service(name=f"{name}: runs", service=site["unit"], running=True, enabled=True)
    systemd.service(name=f"{name}: restart", service=site["unit"], restarted=True, _if=any_changed(settings, unit))
