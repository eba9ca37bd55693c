"""Running Pulumi: one stack at a time through the Automation API, contained, on local state only.

The state is in `<state>/pulumi`, its passphrase in `<state>/pulumi-passphrase` (0600). Our own lock of the
environment makes Pulumi's locks needless: those found are of runs that were killed, and are removed. A preview
holds no lock of ours, so it works on a copy: what it finds may belong to an apply that is at work.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import util
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from pulumi.automation import (
    CommandError,
    CommandResult,
    EngineEvent,
    LocalWorkspace,
    OpType,
    PulumiCommand,
    Stack,
)
from semver import VersionInfo

from socle.errors import Exit, SocleError
from socle.files import run_write
from socle.runs.process import make_contained

PROJECT = "socle"
TOOLS = Path("/usr/local/lib/socle/bin")
RUN_SECONDS = 3600
_KEPT_HISTORY = 20
_MARKED = re.compile(r"\[\[([A-Z]+)\|(.*?)\]\]", re.DOTALL)
_FOREIGN = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "PULUMI_STACK", "PULUMI_CONFIG")
_INTERNAL = ("pulumi:",)

Step = tuple[str, str, str]
"""What Pulumi did, or would do: operation, type of the resource, its name."""


class PulumiFailed(SocleError):
    """Pulumi ended with an error, said in the provider's words, with the provider's exit code."""

    def __init__(self, message: str, exit_code: Exit = Exit.UNEXPECTED) -> None:
        self.exit = exit_code
        super().__init__(message)


def make_pulumi_command(pulumi: str, arguments: list[str]) -> list[str]:
    """Pulumi in a PID namespace of its own that dies with us, plugin included (unshare(1), setpriv(1)).

    The variables dropped are those by which a person's own Pulumi would choose another state or passphrase.
    """
    unset = [part for name in _FOREIGN for part in ("-u", name)]
    bounded = ["timeout", "--signal=KILL", str(RUN_SECONDS)]
    return make_contained([*bounded, "env", *unset, pulumi, "--non-interactive", *arguments])


class ContainedCommand(PulumiCommand):
    """The Pulumi CLI, contained. Its version is asked once per process, not once per stack."""

    def __init__(self) -> None:
        self.pulumi = find_pulumi()
        self.version: VersionInfo = _load_version(self.pulumi)

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> CommandResult:
        """One Pulumi command. Raises CommandError when it fails."""
        program, *arguments = make_pulumi_command(self.pulumi, args)
        self.command = program
        return super().run(arguments, cwd, additional_env, on_output, on_error)


@cache
def _load_version(pulumi: str) -> VersionInfo:
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    output = subprocess.run(
        [pulumi, "version"], capture_output=True, text=True, env=environment, timeout=30, check=True
    )
    return VersionInfo.parse(output.stdout.strip().removeprefix("v"))


def find_pulumi() -> str:
    """The Pulumi CLI: the one that set-up installed, else the one on PATH."""
    found = shutil.which("pulumi", path=f"{TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if not found:
        raise SocleError("the Pulumi CLI is not installed", "run: make up")
    return found


class LeanStack(Stack):
    """A stack of which neither outputs nor history are read: that saves three starts of the CLI per run."""

    def __init__(self, name: str, workspace: LocalWorkspace) -> None:
        self.name = name
        self.workspace = workspace

    def outputs(self) -> Any:
        """None are declared."""
        return {}

    def info(self, show_secrets: bool = True) -> Any:  # noqa: ARG002 (the signature is Pulumi's)
        """What was done is read from the events."""
        return {}


@dataclass
class Events:
    """Steps and errors, from Pulumi's events."""

    steps: list[Step] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def take(self, event: EngineEvent, done: bool) -> None:
        """`done`: only what has been done counts, not what is going to be."""
        found = event.res_outputs_event if done else event.resource_pre_event
        if found and not found.metadata.type.startswith(_INTERNAL):
            name = found.metadata.urn.rsplit("::", 1)[-1]
            self.steps.append((OpType(found.metadata.op).value, found.metadata.type.rsplit(":", 1)[-1], name))
        if event.diagnostic_event and event.diagnostic_event.severity == "error":
            self.errors.append(event.diagnostic_event.message)


class Runner:
    """Pulumi for one environment. `folder` is the state folder, `stacks` the control repository's."""

    def __init__(self, folder: Path, platform: Path) -> None:
        self.home = folder / "pulumi"
        self._work = self.home / "work"
        self._copies = self.home / "previews"
        self._passphrase = folder / "pulumi-passphrase"
        self._platform = platform
        self._command = ContainedCommand()

    def run_prepare(self) -> None:
        """Make folders and passphrase, and clear what killed runs left. The caller holds the environment's lock."""
        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home.chmod(0o700)
        if not self._passphrase.is_file():
            run_write(self._passphrase, secrets.token_urlsafe(32).encode(), 0o600)
        run_write(self._work / "Pulumi.yaml", f"name: {PROJECT}\nruntime: python\n".encode(), 0o600)
        for folder in ("locks", "history", "backups"):
            _run_prune(self.home / ".pulumi" / folder, 0 if folder == "locks" else _KEPT_HISTORY)
        for path in (self.home / ".pulumi").rglob("*.attrs"):
            path.unlink()
        for path in self._states():
            run_forget_pending(path)
        for path in self._copies.glob("*"):
            if path.stat().st_mtime < time.time() - RUN_SECONDS:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def copied(self) -> Iterator[Runner]:
        """A prepared runner on a copy of the state, for previews: whatever it does, the state stays as it is."""
        self._copies.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._copies, ignore_cleanup_errors=True) as folder:
            copy = Runner(Path(folder), self._platform)
            if self._passphrase.is_file():
                copy._passphrase = self._passphrase
            for path in (*self._states(), *self._work.glob("Pulumi.*.yaml")):
                _run_copy(path, copy.home / path.relative_to(self.home))
            copy.run_prepare()
            yield copy

    def names(self) -> list[str]:
        """Stacks that have a state."""
        return sorted(path.stem for path in self._states())

    def _states(self) -> list[Path]:
        return list((self.home / ".pulumi" / "stacks" / PROJECT).glob("*.json"))

    def run_up(self, stack: str, program: Callable[[], None]) -> list[Step]:
        """Refresh and bring to what the program says. What was done. Raises PulumiFailed."""
        events = Events()
        with _condensed(stack, events):
            self._open(stack, program).up(
                refresh=True, continue_on_error=True, color="never", suppress_outputs=True,
                on_event=lambda event: events.take(event, done=True),
            )  # fmt: skip
        return events.steps

    def run_preview(self, stack: str, program: Callable[[], None]) -> list[Step]:
        """What `run_up` would do. Raises PulumiFailed."""
        events = Events()
        with _condensed(stack, events):
            self._open(stack, program).preview(
                refresh=True, color="never", on_event=lambda event: events.take(event, done=False)
            )
        return events.steps

    def _open(self, stack: str, program: Callable[[], None]) -> LeanStack:
        workspace = LocalWorkspace(
            work_dir=str(self._work),
            pulumi_home=str(self.home / "home"),
            program=program,
            env_vars=self.make_environment(),
            pulumi_command=self._command,
        )
        if stack not in self.names():
            workspace.create_stack(stack)
        return LeanStack(stack, workspace)

    def make_environment(self) -> dict[str, str]:
        """Pulumi's environment: local state, no telemetry, our provider first on the PATH."""
        plugins = self._platform / "bin"
        path = [str(plugins), str(Path(self._command.pulumi).parent), os.environ.get("PATH", os.defpath)]
        source = Path(__file__).resolve().parents[2]
        python = [str(source), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            # Without what is written beside each file, and not at once: a kill leaves it empty, and no state is read.
            "PULUMI_BACKEND_URL": f"file://{self.home}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": os.pathsep.join(python),
            "SOCLE_PYTHON": sys.executable,
            # Empty is no: compiled modules halve the provider's start, which every stack pays twice.
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def load_program(self) -> ModuleType:
        """stacks/platform/program.py."""
        return load_module(self._platform / "program.py")


@cache
def load_module(path: Path) -> ModuleType:
    """A module, by its file. Not the catalogue's: in threads, that one shows a module before it is whole."""
    spec = util.spec_from_file_location(f"socle_platform_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SocleError(f"{path} is missing", "is the clone complete? git status")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_forget_pending(path: Path) -> None:
    """Drop the operations a killed run left as pending in a state. Whether they happened is seen by the refresh,
    and a thing made but not recorded is taken up by its marker."""
    try:
        state = json.loads(path.read_text())
    except ValueError:
        # Pulumi writes by rename; what is not JSON is nothing we know. Markers bring all of it back.
        path.rename(path.with_suffix(".unreadable"))
        return
    latest = state.get("checkpoint", {}).get("latest") or {}
    if latest.pop("pending_operations", None):
        run_write(path, json.dumps(state, indent=4).encode(), 0o600)


def _run_copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # Just removed by the apply that is at work.
        shutil.copyfile(source, target)


def _run_prune(folder: Path, kept: int) -> None:
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime)
    for path in files[: len(files) - kept if kept else None]:
        path.unlink(missing_ok=True)


@contextmanager
def _condensed(stack: str, events: Events) -> Iterator[None]:
    """Pulumi's failure as one error a sysadmin can use."""
    try:
        yield
    except CommandError as error:
        raise parse_failure(stack, events.errors, str(error)) from None


def parse_failure(stack: str, errors: list[str], output: str) -> PulumiFailed:
    """What the provider said, once each; else the last lines of Pulumi's output."""
    marked = [match for text in [*errors, output] for match in _MARKED.findall(text)]
    if marked:
        messages = list(dict.fromkeys(message for _, message in marked))
        return PulumiFailed("\n".join(messages), Exit[marked[0][0]])
    lines = [line for text in errors for line in text.strip().splitlines()] or output.strip().splitlines()
    return PulumiFailed(f"Pulumi, stack {stack}: " + "\n".join(lines[-8:]))
