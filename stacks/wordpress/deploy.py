"""Installs WordPress's code, shared by all sites, and PHP, which each site runs by a unit of its own."""

from __future__ import annotations

from pathlib import Path

from pyinfra.api.host import Host
from pyinfra.operations import apt, files, server, systemd

from socle.load.catalogue import load_module
from socle.load.workspace import Workspace
from socle.model.plan import Plan

FOLDER = Path(__file__).parent
_SERVICE = load_module(FOLDER / "service.py")
_ROOT_FOLDERS = ("dev", "etc", "proc", "run", "srv", "srv/sites", "sys", "tmp", "usr", "var", "var/tmp")
_ROOT_LINKS = {
    **{name: f"usr/{name}" for name in ("bin", "lib", "lib64", "sbin")},
    "etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
}
_CODE = (
    "install.php",
    "login-link.php",
    "languages/fr_FR.l10n.php",
    "languages/twentytwentyfive-fr_FR.l10n.php",
    "patterns/footer.php",
    "mu-plugins/socle-french.php",
    "mu-plugins/socle.php",
)


def deploy(_host: Host, _plan: Plan, _workspace: Workspace) -> None:
    """Packages, the shared code of socle, and the timer of tasks."""
    apt.packages(name="WordPress and PHP", packages=list(_SERVICE.SERVICE.packages), no_recommends=True)
    # Debian's own pool would run as www-data, who may read the files of every site.
    pool = f"php{_SERVICE.PHP}-fpm.service"
    systemd.service(name="No common pool", service=pool, running=False, enabled=False)
    folders = (f"/usr/share/socle/wordpress/{name}" for name in ("languages", "mu-plugins", "patterns"))
    for path in ("/etc/socle/php", *folders):
        files.directory(name=f"Folder {path}", path=path, mode="755")
    for name in _CODE:
        files.put(
            name=f"WordPress, {name}",
            src=str(FOLDER / "php" / name),
            dest=f"/usr/share/socle/wordpress/{name}",
            mode="644",
        )
    files.put(
        name="WordPress, what root does",
        src=str(FOLDER / "host/wordpress"),
        dest="/usr/lib/socle/wordpress",
        mode="755",
    )
    files.put(
        name="Updates reach sites",
        src=str(FOLDER / "templates/90socle-wordpress"),
        dest="/etc/apt/apt.conf.d/90socle-wordpress",
        mode="644",
    )
    sockets = files.put(
        name="Sockets of sites",
        src=str(FOLDER / "templates/socle-sites.conf"),
        dest="/etc/tmpfiles.d/socle-sites.conf",
        mode="644",
    )
    if sockets.did_change():
        server.shell(name="Folder of sockets", commands=["systemd-tmpfiles --create /etc/tmpfiles.d/socle-sites.conf"])
    _deploy_root()
    _deploy_timer()


def _deploy_root() -> None:
    """The root of sites. systemd makes the places of what it mounts there; links are for us to make."""
    for folder in ("", *_ROOT_FOLDERS):
        files.directory(name=f"Root of sites, /{folder}", path=f"{_SERVICE.ROOT}/{folder}".rstrip("/"), mode="755")
    for name, target in _ROOT_LINKS.items():
        files.link(name=f"Root of sites, /{name}", path=f"{_SERVICE.ROOT}/{name}", target=target)


def _deploy_timer() -> None:
    changed = False
    for name in ("socle-wordpress-cron.service", "socle-wordpress-cron.timer"):
        unit = files.put(
            name=f"WordPress, {name}",
            src=str(FOLDER / "templates" / name),
            dest=f"/etc/systemd/system/{name}",
            mode="644",
        )
        changed = unit.did_change() or changed
    systemd.service(
        name="Tasks of sites run",
        service="socle-wordpress-cron.timer",
        running=True,
        enabled=True,
        restarted=changed,
        daemon_reload=changed,
    )
