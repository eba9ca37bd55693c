"""Where everything of an environment is: the control repository, and the state folder outside git."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from socle.errors import InvalidInput, Problem, Refused
from socle.files import run_write

STATE_HOME = Path("/var/lib/socle")
_MARK_LENGTH = 4


@dataclass(frozen=True)
class Workspace:
    """Paths of one environment of one control repository.

    `name` is the environment's name with a mark of the clone, such as `lab-3f2a`: two clones on one
    machine never meet.
    """

    root: Path
    environment: str
    state: Path

    @property
    def mark(self) -> str:
        """Four hexadecimal digits that tell this clone's environment from any other's."""
        return hashlib.sha256(f"{self.root}:{self.environment}".encode()).hexdigest()[:_MARK_LENGTH]

    @property
    def name(self) -> str:
        return f"{self.environment}-{self.mark}"

    @property
    def project(self) -> str:
        """The Incus project."""
        return f"socle-{self.name}"

    @property
    def associations(self) -> Path:
        return self.root / "associations"

    @property
    def inventory(self) -> Path:
        return self.root / "inventories" / self.environment

    @property
    def stacks(self) -> Path:
        return self.root / "stacks"

    @property
    def ssh(self) -> Path:
        return self.state / "ssh"

    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def run_prepare(self) -> None:
        """Make the state folder, readable by its owner only. Raises Refused when it is another clone's."""
        self._check_clone()
        for folder in (self.state, self.ssh, self.secrets, self.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        # By this the doctor finds the states of clones that are gone.
        run_write(self.state / "clone", f"{self.root}\n".encode())

    def _check_clone(self) -> None:
        """Marks have four digits: two clones can have one. The second would change what is the first one's."""
        note = self.state / "clone"
        other = note.read_text().strip() if note.is_file() else ""
        if other and other != str(self.root) and Path(other).is_dir():
            expected = f"expected a state of this clone: {other} has the same mark, {self.name}"
            remedy = (
                "move one of the two clones to another folder, since the mark comes from its path "
                "(SOCLE_STATE moves the state only: the names in Incus would still be the same)"
            )
            raise Refused([Problem(str(note), 0, "", expected, remedy)])


def find_root(start: Path) -> Path:
    """The control repository that holds `start`: the nearest folder with associations/ and inventories/."""
    for folder in (start, *start.parents):
        if (folder / "associations").is_dir() and (folder / "inventories").is_dir():
            return folder
    remedy = "go to the clone, or say where it is with --root or SOCLE_ROOT"
    raise InvalidInput(
        [Problem(str(start), 0, "", "expected a control repository (associations/, inventories/)", remedy)]
    )


def load_workspace(environment: str, root: Path | None = None) -> Workspace:
    """The workspace of `environment`. `SOCLE_STATE` moves the state folder's parent."""
    found = (root or find_root(Path.cwd())).resolve()
    if not (found / "inventories" / environment / "platform.yml").is_file():
        place = f"inventories/{environment}/platform.yml"
        known = sorted(path.parent.name for path in (found / "inventories").glob("*/platform.yml"))
        remedy = f"choose --env among: {', '.join(known) or 'none yet'}"
        raise InvalidInput([Problem(place, 0, "", "expected an environment", remedy)])
    draft = Workspace(root=found, environment=environment, state=Path())
    home = Path(os.environ.get("SOCLE_STATE", STATE_HOME))
    return Workspace(root=found, environment=environment, state=home / draft.name)
