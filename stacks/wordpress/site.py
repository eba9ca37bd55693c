"""The resources of one WordPress site on its host. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path

from socle.load.catalogue import load_module
from socle.model.plan import Plan, Site
from socle.sites.render import render
from socle.sites.resources import Directory, File, Link, Resource, Step, Unit

FOLDER = Path(__file__).parent
_SERVICE = load_module(FOLDER / "service.py")
ADMINISTRATOR = "administration"
UPLOAD_MIB = 64
LANGUAGES = ("fr_FR.mo", "admin-fr_FR.mo", "admin-network-fr_FR.mo", "continents-cities-fr_FR.mo")
THEME = "twentytwentyfive"
SHARED = "/usr/share/wordpress/wp-content"
_FOLDERS = ("", "/languages", "/plugins", "/themes", "/upgrade", "/uploads")
_WRITABLE = {"closed": ("/uploads",), "themes": ("/languages", "/themes", "/upgrade", "/uploads"), "open": None}
_SALTS = tuple(f"{name}_{kind}" for kind in ("KEY", "SALT") for name in ("AUTH", "SECURE_AUTH", "LOGGED_IN", "NONCE"))


def make_salts(secret: str) -> dict[str, str]:
    """WordPress's eight keys and salts, derived from the one secret of the site."""
    return {name: hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest() for name in _SALTS}


def make_options(site: Site) -> Mapping[str, str]:
    """The site's options, validated again: the plan keeps them as plain data."""
    options = _SERVICE.WordPressOptions.model_validate(site.options)
    return {
        "title": options.title or site.association_name,
        "tagline": options.tagline,
        "administration": options.administration.value,
    }


def make_writable(site: Site, administration: str) -> list[str]:
    """Paths PHP may write. Where nothing can be installed, only uploads, where nothing is ever run."""
    folders = _WRITABLE[administration]
    return [site.path] if folders is None else [f"{site.path}/wp-content{folder}" for folder in folders]


def make_install(site: Site, options: Mapping[str, str], secrets: Mapping[str, str]) -> Step:
    """The installation, done when WordPress's options are in the site's own database."""
    data = {
        "domain": site.domain,
        "title": options["title"],
        "tagline": options["tagline"],
        "administrator": ADMINISTRATOR,
        "password": secrets["admin_password"],
    }
    return Step(
        name=f"install {site.name}",
        done=f"table:{site.database}.wp_options",
        run=("/usr/lib/socle/wordpress", "install", site.name, str(site.database)),
        stdin=json.dumps(data, sort_keys=True).encode(),
    )


def make_socket_folder(site: Site) -> str:
    """Where the site's pool listens: for the site and nginx alone. Made here, and by tmpfiles.d at each boot."""
    return f"/run/socle/{site.name}"


def make_files(site: Site, plan: Plan, options: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[File, ...]:
    """Configuration of WordPress, of PHP, of the unit, and of nginx."""
    templates, administration = FOLDER / "templates", options["administration"]
    config = render(
        templates / "config.php.j2",
        database=site.database,
        database_password=secrets["database_password"],
        salts=make_salts(secrets["salt"]),
        address=f"https://{site.domain}",
        content=f"{site.path}/wp-content",
        administration=administration,
    )
    private_tmp = "/tmp"  # noqa: S108 (PrivateTmp: each site has its own)
    own = (site.path, f"/etc/wordpress/config-{site.name}.php", private_tmp, "/usr/share")
    fpm = render(templates / "fpm.conf.j2", site=site.name, open_basedir=":".join(own), upload_mib=UPLOAD_MIB)
    unit = render(
        templates / "site.service.j2",
        site=site.name,
        path=site.path,
        root=_SERVICE.ROOT,
        php=_SERVICE.PHP,
        memory=site.memory,
        writable=make_writable(site, administration),
    )
    nginx = render(
        templates / "nginx.conf.j2",
        site=site.name,
        domain=site.domain,
        path=site.path,
        listen=plan.host(site.host).address,
        upload_mib=UPLOAD_MIB,
    )
    # Not the unit's RuntimeDirectory=: its group would be the site's, and nginx must reach the socket too.
    tmpfiles = f"d {make_socket_folder(site)} 0750 {site.name} www-data -\n"
    return (
        File(f"/etc/tmpfiles.d/socle-{site.name}.conf", tmpfiles.encode()),
        File(f"/etc/wordpress/config-{site.name}.php", config.encode(), 0o640, "root", site.name),
        File(f"/etc/socle/php/{site.name}.conf", fpm.encode(), 0o640, "root", site.name),
        File(f"/etc/systemd/system/{site.unit}", unit.encode()),
        File(
            f"/etc/socle/nginx/sites/{site.name}.conf",
            nginx.encode(),
            reload="nginx.service",
            validate=("nginx", "-t", "-q"),
        ),
    )


def make_site(site: Site, plan: Plan, secrets: Mapping[str, str]) -> tuple[Resource, ...]:
    """Everything of one site on its host."""
    options, content = make_options(site), f"{site.path}/wp-content"
    files = make_files(site, plan, options, secrets)
    return (
        Directory(site.path, 0o2750, site.name, "www-data"),
        *(Directory(f"{content}{folder}", 0o2750, site.name, "www-data") for folder in _FOLDERS),
        Directory(make_socket_folder(site), 0o750, site.name, "www-data"),
        *(Link(f"{content}/languages/{name}", f"{SHARED}/languages/{name}") for name in LANGUAGES),
        Link(f"{content}/themes/{THEME}", f"{SHARED}/themes/{THEME}"),
        *files,
        Unit(site.unit, watches=tuple(file.key for file in files if not file.reload)),
        make_install(site, options, secrets),
    )
