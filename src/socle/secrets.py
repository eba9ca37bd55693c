"""Secrets: one age-encrypted file per association, in the state folder, outside git.

Recipients are the operators and an escrow key. The escrow key's private half is shown once, by
`socle secrets escrow`, and never written on the machine.
"""

from __future__ import annotations

import hashlib
import json
import secrets as random
import string
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyrage
from pyrage import x25519

from socle.errors import Problem, Refused
from socle.files import run_write
from socle.model.plan import Site
from socle.model.service import Secret

ESCROW_FOLDER = "escrow"
"""In the folder of secrets: of each repository the key that only escrow can read."""
REPOSITORY = "repository"
"""In an association's file: what its repository is opened and reached with. No site has this name."""
_REPOSITORY = (Secret(name="key"), Secret(name="credential"))
_ALPHABET = string.ascii_letters + string.digits
SiteSecrets = dict[str, dict[str, str]]


def _make_missing(path: Path, what: str) -> Refused:
    remedy = "bring it back from the platform's backup; if no request was ever accepted: socle request accept --all"
    return Refused([Problem(str(path), 0, "", f"expected {what}", remedy)])


def _make_value(secret: Secret) -> str:
    return "".join(random.choice(_ALPHABET) for _ in range(secret.length))


class SecretStore:
    """The secrets of an environment. Values leave it only through `site`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cache: dict[str, SiteSecrets] = {}

    @property
    def _identity_path(self) -> Path:
        return self._folder / "operator.key"

    @property
    def _recipients_path(self) -> Path:
        return self._folder / "recipients.txt"

    def run_create(self) -> None:
        """Make the operator's key if there is none. What is encrypted stays readable: a key is never replaced."""
        if self._identity_path.exists():
            return
        if list(self._folder.glob("*.age")):
            remedy = "bring it back from the platform's backup; a new key could not read the secrets that exist"
            raise Refused([Problem(str(self._identity_path), 0, "", "expected the operator's key", remedy)])
        identity = x25519.Identity.generate()
        run_write(self._recipients_path, f"operator {identity.to_public()}\n".encode())
        run_write(self._identity_path, f"{identity}\n".encode())

    def has_escrow(self) -> bool:
        """Whether an escrow key can read the secrets too."""
        return bool(self.escrow())

    def run_escrow(self) -> str:
        """Make an escrow key, let it read every secret, and return its private half: it is kept nowhere."""
        identity = x25519.Identity.generate()
        kept = [(name, key) for name, key in self._load_recipients() if name != "escrow"]
        lines = [*kept, ("escrow", str(identity.to_public()))]
        run_write(self._recipients_path, "".join(f"{name} {key}\n" for name, key in lines).encode())
        for path in sorted(self._folder.glob("*.age")):
            self._run_save(path.stem, self._load(path.stem))
        return str(identity)

    def escrow(self) -> str:
        """The escrow's public key; empty when there is none."""
        return next((key for name, key in self._load_recipients() if name == "escrow"), "")

    def run_ensure_repository(self, name: str) -> bool:
        """Generate the key and the credential of a repository, if they are not there."""
        return self.run_ensure(name, REPOSITORY, _REPOSITORY)

    def repository(self, name: str) -> Mapping[str, str]:
        """The `key` of a repository, and the `credential` of its account; empty before they are made."""
        return self._load(name).get(REPOSITORY, {})

    def run_seal(self, name: str) -> str:
        """A new key of a repository that only the escrow key will read. It is returned once, to be given to the
        repository, and kept nowhere else."""
        key = _make_value(_REPOSITORY[0])
        sealed = pyrage.encrypt(key.encode(), [x25519.Recipient.from_str(self.escrow())])
        run_write(self._find_sealed(name), sealed)
        return key

    def sealed(self, name: str) -> str:
        """A digest of what `run_seal` left for escrow, by which the repository's record names it; empty when there is
        nothing."""
        path = self._find_sealed(name)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def _find_sealed(self, name: str) -> Path:
        return self._folder / ESCROW_FOLDER / f"{name}.age"

    def run_ensure(self, association: str, site: str, declared: Iterable[Secret]) -> bool:
        """Generate what a site's service declares and is not there yet. What exists is never changed."""
        known = self._load(association)
        values = dict(known.get(site, {}))
        missing = [secret for secret in declared if secret.name not in values]
        if not missing:
            return False
        for secret in missing:
            values[secret.name] = _make_value(secret)
        self._run_save(association, {**known, site: values})
        return True

    def site(self, site: Site) -> Mapping[str, str]:
        """The secrets of a site, by declared name. Raises Refused when one is missing."""
        values = self._load(site.association).get(site.name, {})
        missing = sorted(set(site.secrets) - set(values))
        if missing:
            expected = f"expected all secrets of {site.name}: no {', '.join(missing)}"
            remedy = "run: socle apply, which makes those that are missing"
            raise Refused([Problem(str(self._folder / f"{site.association}.age"), 0, "", expected, remedy)])
        return values

    def _load_recipients(self) -> list[tuple[str, str]]:
        if not self._recipients_path.is_file():
            raise _make_missing(self._recipients_path, "the list of keys that read the secrets")
        lines = self._recipients_path.read_text().splitlines()
        return [(name, key) for name, _, key in (line.partition(" ") for line in lines) if key]

    def _load(self, association: str) -> SiteSecrets:
        if association not in self._cache:
            path = self._folder / f"{association}.age"
            self._cache[association] = self._decrypt(path) if path.exists() else {}
        return self._cache[association]

    def _decrypt(self, path: Path) -> SiteSecrets:
        if not self._identity_path.is_file():
            raise _make_missing(self._identity_path, "the operator's key")
        try:
            identity = x25519.Identity.from_str(self._identity_path.read_text().strip())
            return dict(json.loads(pyrage.decrypt(path.read_bytes(), [identity])))
        except (pyrage.DecryptError, pyrage.IdentityError):
            expected = f"expected the right key: {path.name} cannot be read with the operator's key"
            remedy = "bring back the right key from the platform's backup"
            raise Refused([Problem(str(self._identity_path), 0, "", expected, remedy)]) from None

    def _run_save(self, association: str, values: SiteSecrets) -> None:
        recipients = [x25519.Recipient.from_str(key) for _, key in self._load_recipients()]
        text = json.dumps(values, sort_keys=True).encode()
        run_write(self._folder / f"{association}.age", pyrage.encrypt(text, recipients))
        self._cache[association] = values
