"""Installs the host `outside`. Operations run at once, in this order (see socle.remote.working_on)."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from pyinfra.facts.files import File
from pyinfra.operations import apt, files, server, systemd

from socle.lab.outside import OWN_ZONE, Outside
from socle.load.catalogue import load_module
from socle.sites.render import render as render_template

_FOLDER = Path(__file__).parent
SERVICE = load_module(_FOLDER / "service.py").SERVICE

ACME = f"acme.{OWN_ZONE}"
SHORT = f"short.{OWN_ZONE}"
MAIL = f"mail.{OWN_ZONE}"
MAILBOX = "/var/lib/socle-mail"
"""A Maildir: what arrived is in its folder `new`, one file a mail."""
_AUTHORITY = "/var/lib/caddy/.local/share/caddy/pki/authorities/local"
ROOT_CERTIFICATE = f"{_AUTHORITY}/root.crt"
_CERTIFICATE_DAYS = 3650
_SIGN = (
    "umask 077 && cd /etc/mail && openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
    f"-days {_CERTIFICATE_DAYS} -config socle.cnf -extensions server -CA {ROOT_CERTIFICATE} "
    f"-CAkey {_AUTHORITY}/root.key -keyout socle.key -out socle.crt"
)
_TRUSTED = "/usr/local/share/ca-certificates/socle-lab.crt"


def render_files(outside: Outside) -> Mapping[str, str]:
    """The files of the host, by path. The TSIG key is in one of them."""
    zones = (OWN_ZONE, *outside.zones)

    def render(name: str, **values: object) -> str:
        return render_template(_FOLDER / "templates" / name, **values)

    addresses = {"ipv4": outside.ipv4, "ipv6": outside.ipv6}
    key, algorithm, secret = outside.tsig.split(":")
    return {
        "/etc/knot/tsig.conf": render("tsig.conf", key=key, algorithm=algorithm, secret=secret),
        "/etc/knot/knot.conf": render("knot.conf", key=key, zones=zones, **addresses),
        "/etc/systemd/resolved.conf.d/socle.conf": render("resolved.conf", zones=zones),
        "/etc/caddy/Caddyfile": render("Caddyfile", acme=ACME, short=SHORT),
        "/etc/systemd/system/caddy.service.d/socle.conf": render("caddy.conf"),
        "/etc/pebble/config.json": render("pebble.json"),
        "/etc/mail/socle.cnf": render("mail-certificate.cnf", mail=MAIL, **addresses),
        "/etc/smtpd.conf": render("smtpd.conf", mail=MAIL, **addresses),
        "/etc/systemd/system/socle-short-authority.service": render("socle-short-authority.service"),
        **{
            f"/var/lib/knot/{zone}.zone": render(
                "zone", zone=zone, own=OWN_ZONE, names=("ns", "acme", "mail", "short"), **addresses
            )
            for zone in zones
        },
    }


def deploy(host: object, outside: Outside) -> None:
    """Everything on the host, from a bare Debian or from what a killed run left."""
    apt.packages(
        name="packages",
        packages=list(SERVICE.packages),
        no_recommends=True,
        _retries=2,
        _retry_delay=5,
    )
    for path, content in render_files(outside).items():
        _put(host, path, content)
    systemd.daemon_reload(name="units")
    systemd.service(name="resolver", service="systemd-resolved", restarted=True)
    server.shell(name="check knot", commands=["knotc conf-check"])
    systemd.service(name="knot", service="knot", restarted=True, enabled=True)
    server.shell(name="check caddy", commands=["caddy validate --adapter caddyfile --config /etc/caddy/Caddyfile"])
    systemd.service(name="authority", service="caddy", restarted=True, enabled=True)
    server.shell(
        name="trust the authority, as a visitor does",
        commands=[f"install -m 644 {ROOT_CERTIFICATE} {_TRUSTED} && update-ca-certificates"],
    )
    _deploy_mail()


def _deploy_mail() -> None:
    """A mail server, with a certificate of the lab's authority and one mailbox for all."""
    server.user(name="mailbox", user="mailbox", system=True, home=MAILBOX)
    files.directory(name=MAILBOX, path=MAILBOX, user="mailbox", group="mailbox", mode="700")
    server.shell(name="certificate of the mail server", commands=[_SIGN])
    server.shell(name="check smtpd", commands=["smtpd -n"])
    systemd.service(name="mail", service="opensmtpd", restarted=True, enabled=True)


def _put(host: object, path: str, content: str) -> None:
    zone = path.endswith(".zone")
    # Zones live: their file is only the first state, and knot writes into it at each update.
    if zone and host.get_fact(File, path=path):  # type: ignore[attr-defined]
        return
    secret = path == "/etc/knot/tsig.conf"
    files.put(
        name=path,
        src=StringIO(content),
        dest=f"{path}.first" if zone else path,
        create_remote_dir=True,
        user="knot" if zone or secret else "root",
        group="knot" if zone or secret else "root",
        mode="600" if secret else "644",
    )
    if zone:  # Renamed whole: half a zone left by a kill would be taken for a living one.
        server.shell(name=f"first state of {path}", commands=[f"mv {path}.first {path}"])
