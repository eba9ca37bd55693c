"""The nightly save of each site to the vault, by the host that serves it."""

from pydantic import ByteSize

from socle.model.service import Kind, Service

SERVICE = Service(
    name="backup",
    title="Sauvegardes",
    purpose="Saves every site of its host to the vault, every night.",
    kind=Kind.HOST,
    role="web",
    # restic itself is the baseline's (roles/restic_client).
    paths=(
        "/etc/socle/backups",
        "/etc/socle/vault.pem",
        "/etc/systemd/system/socle-backup.service",
        "/etc/systemd/system/socle-backup.timer",
        "/usr/lib/socle/backup",
        "/usr/lib/socle/backup_host",
        "/usr/lib/socle/restore",
        "/usr/lib/socle/restore_host",
        "/var/cache/socle-backup",
        "/var/lib/socle/backups",
    ),
    units=("socle-backup.service", "socle-backup.timer"),
    # At night, when sites sleep: the unit's own limit (templates/) is above what is promised here.
    memory=ByteSize(192 * 1024**2),
)
