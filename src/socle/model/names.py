"""Every name that will exist on a host, computed before anything is created (case C4).

A name is made of the service's tag and the association's identifier, so that no association, whatever
it is called ("logs", "www", "mysql": case C5), can meet a name of the system or of another service.
Identifiers hold only [a-z0-9-], tags only [a-z], so the first hyphen separates them without ambiguity.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator
from slugify import slugify

UNIX_USER_LIMIT = 32  # useradd(8), LOGIN_NAME_MAX
IDENTIFIER = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){0,62}")
_HASH_LENGTH = 6
REPOSITORY_VOLUME_LIMIT = 63  # Incus: names of devices have 64 characters
# slugify drops what it cannot fold, which is how "Cœur d’Ille" became "Cur dIlle" elsewhere.
_TRANSLITERATIONS = (("œ", "oe"), ("Œ", "oe"), ("æ", "ae"), ("Æ", "ae"), ("ß", "ss"), ("’", "-"), ("'", "-"))


def _check_identifier(value: str) -> str:
    if not IDENTIFIER.fullmatch(value):
        raise ValueError("expected 1 to 63 of a-z, 0-9 and single hyphens inside, such as amis-du-lac")
    return value


Identifier = Annotated[str, AfterValidator(_check_identifier)]


def make_identifier(name: str) -> str:
    """The identifier socle proposes for an association's name, by explicit transliteration."""
    return slugify(name, replacements=_TRANSLITERATIONS, max_length=63, word_boundary=True)


def make_limited(name: str, limit: int = UNIX_USER_LIMIT) -> str:
    """`name` cut to `limit` characters; what is cut is replaced by a hash of the whole, so that two long
    names with the same beginning stay apart. What is left can be read, and never changes."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: limit - _HASH_LENGTH - 1].rstrip('-')}-{digest}"


def make_site_name(tag: str, association: str) -> str:
    """The site's name: its Unix user, volume, folder and unit. At most 32 characters."""
    return make_limited(f"{tag}-{association}")


def make_database_name(site: str) -> str:
    """The site's database and database user: MariaDB allows 64 and 80 characters, a site's name has 32.
    Site names hold no underscore, so the mapping is one to one."""
    return site.replace("-", "_")


def make_data_name(host: str, service: str) -> str:
    """The volume of a service's shared data on a host. No site's name holds an underscore."""
    return f"{host}_{service}"


PLATFORM = "_platform"
"""The repository of the platform itself. No identifier begins with an underscore."""


def make_repository_volume(repository: str) -> str:
    """The volume of a repository on its vault. No site, and no service's data, has two underscores in its name."""
    return make_limited(f"repository__{repository}", REPOSITORY_VOLUME_LIMIT)
