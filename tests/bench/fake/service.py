"""What all contenders make: a site of nine resources that needs nothing but MariaDB."""

from socle.model.service import Kind, Secret, Service

SERVICE = Service(
    name="fake",
    title="Service du banc d'essai",
    purpose="A site of nine resources, for `make bench` only.",
    kind=Kind.SITE,
    role="web",
    tag="fk",
    requires=("mariadb",),
    paths=("/etc/fake",),
    secrets=(Secret(name="database_password"),),
    database=True,
)
