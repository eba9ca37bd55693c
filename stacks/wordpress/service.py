"""WordPress from Debian: code shared and updated with security updates, everything else per site."""

from enum import StrEnum

from pydantic import ByteSize, Field

from socle.model.service import Kind, Secret, Service, SiteOptions, State

PHP = "8.4"
"""Debian 13's. Named everywhere by its version, so that pages and tasks never run two (case D4)."""

ROOT = "/var/lib/socle-wordpress/root"
"""What every site's processes see as /: empty folders, over which each unit mounts what is its own."""


class Administration(StrEnum):
    """What the association's administrators may install. Nobody edits code from the browser, and
    WordPress itself is always updated by Debian."""

    CLOSED = "closed"
    THEMES = "themes"
    OPEN = "open"


class WordPressOptions(SiteOptions):
    """What a request says of its WordPress."""

    title: str | None = Field(
        default=None,
        min_length=1,
        max_length=250,
        title="Titre du site",
        description="At installation only, then the association's own. Default: the association's name.",
        examples=["Les Amis du Lac"],
    )
    tagline: str = Field(
        default="",
        max_length=250,
        title="Slogan",
        description="At installation only.",
        examples=["Protéger, observer, transmettre"],
    )
    administration: Administration = Field(
        default=Administration.CLOSED,
        title="Droits d'administration",
        description="closed: nothing can be installed. themes: themes. open: themes and plugins. "
        "What is installed is then updated by itself.",
        examples=["closed"],
    )


SERVICE = Service(
    name="wordpress",
    title="Site WordPress",
    purpose="A web site that the association writes itself.",
    kind=Kind.SITE,
    role="web",
    tag="wp",
    requires=("mariadb", "nginx", "edge"),
    packages=(
        f"php{PHP}-fpm",
        f"php{PHP}-curl",
        f"php{PHP}-gd",
        f"php{PHP}-intl",
        f"php{PHP}-mbstring",
        f"php{PHP}-mysql",
        f"php{PHP}-xml",
        f"php{PHP}-zip",
        "php-fpm",
        "php",
        "wordpress",
        "wordpress-l10n",
        "wordpress-theme-twentytwentyfive",
    ),
    paths=(
        "/etc/apt/apt.conf.d/90socle-wordpress",
        "/etc/php",
        "/etc/socle/php",
        "/etc/systemd/system/socle-wordpress-cron.service",
        "/etc/systemd/system/socle-wordpress-cron.timer",
        "/etc/tmpfiles.d/socle-sites.conf",
        "/etc/wordpress",
        "/usr/lib/socle/wordpress",
        "/usr/share/socle/wordpress",
        "/var/lib/socle-wordpress",
    ),
    units=(f"php{PHP}-fpm.service", "socle-wordpress-cron.service", "socle-wordpress-cron.timer"),
    secrets=(
        Secret(name="admin_password", length=24),
        Secret(name="database_password"),
        Secret(name="salt"),
    ),
    options=WordPressOptions,
    database=True,
    state=State(exclude=("wp-content/upgrade", "wp-content/cache")),
    site_memory=ByteSize(256 * 1024**2),
)
