"""The vault's agent on real repositories: what it reads of them, and what it takes away."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from socle.vault.agent import making, programs, pruning, reading
from socle.vault.agent.programs import Failed

KEY = "x$HOME#y 50%5Fz q\"'\\ é"
SITE, STAGING = "wp-a", "staging/wp-a"


class Vault:
    """A repository as a vault has it, and a site's host that saves into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "vault/asso"
        self.folder, self.staging = root / "sites/wp-a", root / STAGING
        self.folder.mkdir(parents=True)
        self.staging.mkdir(parents=True)
        (self.folder / "page.txt").write_text("bonjour")
        (self.folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"image")
        self.path.parent.mkdir()

    def restic(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        result = programs.restic(str(self.path), KEY, arguments)
        assert not check or result.returncode == 0, result.stderr
        return result

    def save(self, dump: bytes = b"CREATE TABLE t;\n", site: str = SITE, claimed: str = "", manifest: str = "") -> str:
        """A snapshot; its id."""
        (self.staging / "database.sql").write_bytes(dump)
        (self.staging / "files.jsonl").write_text("{}\n")
        made = {"format": 1, "site": site, "database": {"bytes": len(dump)}}
        (self.staging / "manifest.json").write_text(manifest or json.dumps(made))
        when = ["--time", claimed] if claimed else []
        tags = ["--tag", f"site={site}", "--tag", "association=asso", "--tag", "format=1"]
        result = self.restic("backup", "--json", "--host", "web1", *tags, *when, str(self.folder), str(self.staging))
        short = json.loads(result.stdout.splitlines()[-1])["snapshot_id"]  # 8 digits before restic 0.16
        return next(path.name for path in (self.path / "snapshots").iterdir() if path.name.startswith(short))

    def spec(self, **more: Any) -> dict[str, Any]:
        places = {"folder": str(self.folder), "staging": str(self.staging)}
        return {"path": str(self.path), "key": KEY, "sites": {SITE: places}, **more}

    def read(self, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = reading.read({"repositories": {"asso": self.spec(**more)}})["repositories"]["asso"]
        return answer

    def act(self, mode: Any, **more: Any) -> dict[str, Any]:
        payload = {"repositories": {"asso": self.spec(subset="100%", **more)}}
        answer: dict[str, Any] = mode(payload)["repositories"]["asso"]
        return answer

    def junk(self, kind: str, content: bytes | None = None) -> str:
        """What a host can add: any content, under its own hash."""
        content = os.urandom(300) if content is None else content
        name = f"{kind}/{hashlib.sha256(content).hexdigest()}"
        (self.path / name).write_bytes(content)
        return name

    def age(self, name: str, seconds: float) -> None:
        moment = time.time() - seconds
        os.utime(self.path / name, (moment, moment))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository: making one costs a slow hash."""
    if not shutil.which("restic"):
        pytest.fail("restic is missing: setup/install installs it")
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "RUN_AS", {})
        programs.must(str(root / "asso"), KEY, ["init"])
    make_quick(next((root / "asso/keys").iterdir()))
    return root / "asso"


def make_quick(path: Path) -> None:
    """Seal restic's key again, with a hash that is quick: each call of restic opens it, and tests make hundreds."""

    def derive(n: int, r: int, p: int) -> tuple[bytes, bytes, bytes]:
        made = hashlib.scrypt(KEY.encode(), salt=salt, n=n, r=r, p=p, dklen=64, maxmem=2**28)
        return made[:32], made[32:48], made[48:64]

    def cipher(key: bytes, nonce: bytes, data: bytes) -> bytes:
        return Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor().update(data)

    shape = json.loads(path.read_text())
    salt, data = base64.b64decode(shape["salt"]), base64.b64decode(shape["data"])
    nonce, sealed = data[:16], data[16:-16]
    secret = cipher(derive(shape["N"], shape["r"], shape["p"])[0], nonce, sealed)
    key, mask, r = derive(2, 1, 1)
    sealed = cipher(key, nonce, secret)
    # Poly1305-AES, with r clamped (D. J. Bernstein, 2005).
    clamp = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    clamped = (int.from_bytes(r, "little") & clamp).to_bytes(16, "little")
    block = Cipher(algorithms.AES(mask), modes.ECB()).encryptor().update(nonce)  # noqa: S305 - one block, as restic's
    mac = Poly1305.generate_tag(clamped + block, sealed)
    quick = json.dumps(
        {**shape, "N": 2, "r": 1, "p": 1, "data": base64.b64encode(nonce + sealed + mac).decode()}
    ).encode()
    path.unlink()
    path.with_name(hashlib.sha256(quick).hexdigest()).write_bytes(quick)


@pytest.fixture
def vault(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    memory = Path("/dev/shm")  # restic syncs each file: on a busy disk that is most of the time
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        root = Path(folder)
        monkeypatch.setattr(programs, "RUN_AS", {})
        monkeypatch.setattr(making, "RECORDS", root / "records")
        monkeypatch.setattr(pruning, "ASIDE", root / "aside")
        monkeypatch.setattr(pruning, "LOCKS", root)
        vault = Vault(root)
        shutil.copytree(made, vault.path)
        subprocess.run(["chmod", "-R", "u+w", vault.path], check=True)
        yield vault


def test_what_is_read_of_a_snapshot(vault: Vault) -> None:
    empty = vault.read()
    assert (empty["error"], empty["snapshots"], empty["latest"]) == ("", [], {})
    saved = vault.save()
    answer = vault.read()
    assert answer["error"] == ""
    assert answer["foreign"] == answer["locks"] == []
    assert [one["id"] for one in answer["snapshots"]] == [saved]
    snapshot = answer["snapshots"][0]
    assert (snapshot["site"], snapshot["host"]) == (SITE, "web1")
    assert snapshot["paths"] == [str(vault.folder), str(vault.staging)]
    assert abs(snapshot["arrival"] - time.time()) < 60
    latest = answer["latest"][SITE]
    assert latest["manifest"]["site"] == SITE
    assert latest["error"] == ""
    listed = latest["listed"]
    assert (listed["folder"], listed["entries"], listed["files"], listed["bytes"]) == (True, 2, 2, 12)
    assert listed["dump"] == listed["parts"]["database.sql"] == 16
    assert set(listed["parts"]) == {"database.sql", "files.jsonl", "manifest.json"}
    assert answer["used"] == sum(path.stat().st_size for path in vault.path.rglob("*") if path.is_file())


def test_arrival_is_the_vaults_own(vault: Vault) -> None:
    saved = vault.save(claimed="2001-01-01 00:00:00")
    snapshot = vault.read()["snapshots"][0]
    assert snapshot["time"].startswith("2001-01-01")
    assert snapshot["arrival"] == (vault.path / "snapshots" / saved).stat().st_mtime


def test_what_is_known_is_not_read_again(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = vault.save()
    first = vault.read()
    known = vault.read(known={SITE: saved})
    assert known["latest"] == {SITE: {"snapshot": saved}}
    calls: list[list[str]] = []
    monkeypatch.setattr(programs, "restic", lambda *arguments, **_: calls.append(arguments))
    again = vault.read(known={SITE: saved}, stamp=first["stamp"], hint=first["hint"])
    assert (again["unchanged"], again["error"], calls) == (True, "", [])
    monkeypatch.undo()


def test_the_one_before_is_read_when_asked(vault: Vault) -> None:
    first = vault.save(dump=b"x" * 100)
    vault.save()
    before = vault.read(before=[SITE])["before"][SITE]
    assert (before["snapshot"], before["listed"]["dump"]) == (first, 100)


def test_a_repository_that_is_not_there_or_not_ours(vault: Vault) -> None:
    vault.save()
    wrong = reading.read({"repositories": {"asso": {**vault.spec(), "key": "wrong"}}})["repositories"]["asso"]
    assert "wrong password" in wrong["error"]
    shutil.rmtree(vault.path)
    gone = vault.read()
    assert gone["missing"]
    assert "no repository" in gone["error"]


def test_one_repository_that_fails_leaves_the_others(vault: Vault) -> None:
    vault.save()
    answers = reading.read({"repositories": {"bad": {"path": 3}, "asso": vault.spec()}})["repositories"]
    assert answers["bad"]["error"]
    assert answers["asso"]["error"] == ""


def test_a_manifest_without_bottom_is_none(vault: Vault) -> None:
    saved = vault.save(manifest="[" * 100_000 + "]" * 100_000)
    latest = vault.read()["latest"][SITE]
    assert (latest["snapshot"], latest["manifest"], latest["error"]) == (saved, None, "")
    assert latest["listed"]["files"] == 2


def test_a_manifest_is_read_as_far_as_it_may_be_long(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.save(manifest=json.dumps("x" * 5000))
    monkeypatch.setattr(reading, "MANIFEST_BYTES", 1000)
    size = reading.parse_list
    small = {"manifest.json": 900}  # as a node may claim
    monkeypatch.setattr(reading, "parse_list", lambda *some: {**size(*some), "parts": small})
    latest = vault.read()["latest"][SITE]
    assert (latest["manifest"], latest["error"]) == (None, "restic dump says more than 1000 bytes")


@pytest.mark.parametrize("mode", [reading.read, pruning.set_aside])
def test_what_nobody_foresaw_is_an_error_of_its_repository(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    vault.save()
    for module, name in ((reading, "read_newest"), (pruning, "make_reader")):
        monkeypatch.setattr(module, name, lambda *_: [].x)  # type: ignore[attr-defined]
    assert "unexpected AttributeError" in vault.act(mode)["error"]


@pytest.mark.parametrize("count", [1, 3])
def test_junk_index_is_found_and_set_aside(vault: Vault, count: int) -> None:
    vault.save()
    assert vault.restic("check").returncode == 0
    names = sorted(vault.junk("index") for _ in range(count))
    assert vault.restic("backup", str(vault.folder), check=False).returncode != 0, "this is why it matters"
    answer = vault.read()
    assert answer["foreign"] == names
    assert f"{count} of its index files" in answer["error"]
    assert answer["stamp"] == "", "it is read again"
    moved = vault.act(pruning.set_aside, names=names)
    assert moved["error"] == ""
    assert sorted(one["name"] for one in moved["aside"]) == names
    assert vault.read()["error"] == ""
    vault.save()
    vault.restic("check")
    records = [json.loads(line) for line in next(vault.root.glob("aside/asso/*/record.jsonl")).read_text().splitlines()]
    assert sorted(one["name"] for one in records) == names
    assert all(one["kept"] for one in records)
    kept = next(vault.root.glob("aside/asso/*/index_*"))
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == kept.name.removeprefix("index_")


def test_junk_index_is_found_when_nothing_new_was_saved(vault: Vault) -> None:
    saved = vault.save()
    first = vault.read()
    name = vault.junk("index")
    answer = vault.read(known={SITE: saved}, stamp=first["stamp"], hint=first["hint"])
    assert answer["foreign"] == [name]


def test_junk_keys_do_not_lock_us_out(vault: Vault) -> None:
    saved = vault.save()
    own = next((vault.path / "keys").iterdir()).name
    shape = json.loads((vault.path / "keys" / own).read_text())
    names = [vault.junk("keys", json.dumps({**shape, "hostname": f"x{number}"}).encode()) for number in range(30)]
    for name in ("config", f"keys/{own}"):
        vault.age(name, 7200)
    answer = vault.read()
    assert answer["error"] == ""
    assert answer["foreign"] == sorted(names)
    assert answer["latest"][SITE]["snapshot"] == saved
    assert vault.act(pruning.set_aside, names=names)["error"] == ""
    assert [path.name for path in (vault.path / "keys").iterdir()] == [own]


def test_keys_on_record_are_ours(vault: Vault) -> None:
    own = next((vault.path / "keys").iterdir()).name
    (vault.root / "records").mkdir()
    record = {"id": "x", "recipient": "", "keys": [own]}
    (vault.root / "records/asso.json").write_text(json.dumps(record))
    name = vault.junk("keys")
    assert vault.read()["foreign"] == [name], "however early it came"
    refused = vault.act(pruning.set_aside, names=[f"keys/{own}"])
    assert "can be set aside" in refused["error"]
    assert (vault.path / "keys" / own).exists()


def test_keys_that_we_add_are_ours_however_late(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """An escrow key may come a year after the repository: it must not pass for a host's, nor a host's for it."""
    vault.save()
    own = next((vault.path / "keys").iterdir()).name
    for name in ("config", f"keys/{own}"):
        vault.age(name, 365 * 86400)
    junk = vault.junk("keys", json.dumps({**json.loads((vault.path / "keys" / own).read_text()), "p": 2}).encode())
    monkeypatch.setattr(making.os.path, "ismount", lambda _: True)
    monkeypatch.setattr(making, "USER", "root")
    escrow = {"recipient": "age1x", "sealed": "1f", "key": "another"}
    wanted = {"path": str(vault.path), "key": KEY, "known": "", "escrow": escrow}
    first = making.make_repository("asso", wanted)
    assert len(first["keys"]) == 2
    assert own in first["keys"]
    assert making.read_record("asso") == first
    assert vault.read()["foreign"] == [junk]
    second = making.make_repository("asso", {**wanted, "escrow": {**escrow, "sealed": "2e", "key": "third"}})
    assert len(second["keys"]) == 2, "the former escrow's is gone"
    assert second["keys"] != first["keys"], "what is sealed now is the key that came last, whoever it is sealed for"
    assert (second["recipient"], second["sealed"]) == ("age1x", "2e")
    assert programs.restic(str(vault.path), "third", ["cat", "config"]).returncode == 0
    assert making.make_repository("asso", {**wanted, "escrow": None}) == second
    assert vault.read()["foreign"] == [junk]


def test_junk_snapshots_and_locks_are_found_and_set_aside(vault: Vault) -> None:
    saved = vault.save()
    names = sorted([vault.junk("snapshots"), vault.junk("locks")])
    assert vault.restic("check", check=False).returncode != 0
    answer = vault.read()
    assert answer["foreign"] == sorted(names)
    assert answer["latest"][SITE]["snapshot"] == saved
    assert vault.act(pruning.set_aside, names=names)["error"] == ""
    vault.restic("check")


def test_what_has_no_shape_of_restics_is_found(vault: Vault) -> None:
    vault.save()
    (vault.path / "index/readme").write_text("x")
    cut = f"{'1' * 64}.rest-server-temp"
    for kind in ("index", "locks"):
        (vault.path / kind / cut).write_text("x")
    vault.age(f"locks/{cut}", 2 * 86400)
    (vault.path / "data/zz").mkdir()
    (vault.path / "snapshots" / ("0" * 64)).symlink_to("/etc/passwd")
    expected = ["data/zz", "index/readme", f"locks/{cut}", f"snapshots/{'0' * 64}"]
    assert vault.read()["foreign"] == expected
    assert vault.act(pruning.set_aside, names=expected)["error"] == ""
    assert vault.read()["foreign"] == []
    assert Path("/etc/passwd").exists()
    assert not list(vault.root.glob("aside/asso/*/snapshots_*")), "a link is not followed"


def test_too_large_a_snapshot_is_not_even_opened(vault: Vault) -> None:
    vault.save()
    name = vault.junk("snapshots", os.urandom(reading.SMALL_BYTES + 1))
    assert vault.read()["foreign"] == [name]


def test_what_is_too_large_is_recorded_and_deleted(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.save()
    monkeypatch.setattr(pruning, "KEPT_BYTES", 100)
    name = vault.junk("index")
    moved = vault.act(pruning.set_aside, names=[name])
    assert [one["kept"] for one in moved["aside"]] == [False]
    assert not (vault.path / name).exists()
    assert [path.name for path in vault.root.glob("aside/asso/*/*")] == ["record.jsonl"]


@pytest.mark.parametrize("name", ["config", "data", "../x", "index/../config", "keys", "", "snapshots", "/etc/passwd"])
def test_nothing_of_the_repository_itself_is_set_aside(vault: Vault, name: str) -> None:
    assert "can be set aside" in vault.act(pruning.set_aside, names=[name])["error"]
    vault.restic("check")


def test_packs_are_not_set_aside(vault: Vault) -> None:
    vault.save()
    pack = next((vault.path / "data").glob("*/*")).relative_to(vault.path)
    assert "can be set aside" in vault.act(pruning.set_aside, names=[str(pack)])["error"]


def test_a_dead_clients_lock_is_named_and_cleared(vault: Vault) -> None:
    vault.save()
    lock = os.urandom(16).hex()
    process = subprocess.Popen(
        ["restic", "--repo", vault.path, "--no-cache", "backup", "--stdin", "--host", lock],
        stdin=subprocess.PIPE,
        env={**os.environ, "RESTIC_PASSWORD": KEY},
    )
    for _ in range(200):
        if [path for path in (vault.path / "locks").iterdir() if len(path.name) == 64]:  # longer until it is whole
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    name = f"locks/{next((vault.path / 'locks').iterdir()).name}"
    answer = vault.read()
    assert [one["id"] for one in answer["locks"]] == [name.removeprefix("locks/")]
    assert f"pid {process.pid}" in answer["locks"][0]["holder"]
    assert vault.act(pruning.set_aside)["unlocked"] == [], "its client may live"
    vault.age(name, pruning.LOCK_SECONDS + 60)
    assert vault.act(pruning.set_aside)["unlocked"] == [name.removeprefix("locks/")]
    assert vault.read()["locks"] == []


def test_forgetting_takes_what_it_is_told_and_prunes(vault: Vault) -> None:
    (vault.folder / "big").write_bytes(os.urandom(2 * 1024**2))
    first = vault.save()
    (vault.folder / "big").unlink()
    second = vault.save()
    before = vault.read()["used"]
    answer = vault.act(pruning.forget, ids=[first])
    assert (answer["error"], answer["forgotten"]) == ("", [first])
    after = vault.read()
    assert [one["id"] for one in after["snapshots"]] == [second]
    assert after["used"] < before - 1024**2
    vault.restic("check", "--read-data")


def test_no_site_loses_its_last_snapshot(vault: Vault) -> None:
    first, second = vault.save(), vault.save()
    other = vault.save(site="wp-b")
    answer = vault.act(pruning.forget, ids=[other])
    assert "last snapshot of site=wp-b" in answer["error"]
    assert "last snapshot" in vault.act(pruning.forget, ids=[first, second])["error"]
    assert "expected the id" in vault.act(pruning.forget, ids=["latest"])["error"]
    assert {one["id"] for one in vault.read()["snapshots"]} == {first, second, other}


def test_verifying_finds_a_changed_byte(vault: Vault) -> None:
    vault.save()
    found = vault.act(pruning.check)
    assert (found["error"], found["looked"]) == ("", True)
    pack = max((vault.path / "data").glob("*/*"), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    data = bytearray(pack.read_bytes())
    data[10] ^= 1
    pack.write_bytes(data)
    found = vault.act(pruning.check)
    assert ("restic check" in found["error"], found["looked"]) == (True, True)


def test_what_ends_before_restic_does_found_nothing(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.save()
    monkeypatch.setattr(pruning, "WAIT_SECONDS", 0.1)
    with pruning.alone("asso"):
        assert not vault.act(pruning.check).get("looked")
    killed = subprocess.CompletedProcess([], -9, b"", b"")
    monkeypatch.setattr(reading.Reader, "restic", lambda *_: killed)
    found = vault.act(pruning.check)
    assert (found["error"], found["looked"]) == ("restic check: no reason given", False)
    monkeypatch.setattr(reading.Reader, "restic", lambda *_: programs.restic("/nowhere", KEY, ["check"], timeout=0.0))
    found = vault.act(pruning.check)
    assert ("did not end within" in found["error"], found["looked"]) == (True, False)


def test_sweeping_deletes_only_what_no_index_names(vault: Vault) -> None:
    vault.save()
    (vault.path / "data/ab").mkdir(exist_ok=True)
    old, new = vault.junk("data/ab"), vault.junk("data/ab")
    for path in (vault.path / "data").glob("*/*"):
        vault.age(str(path.relative_to(vault.path)), 7200)
    vault.age(new, 60)
    answer = vault.act(pruning.set_aside, sweep=True)
    assert (answer["error"], answer["swept"]) == ("", {"packs": 1, "bytes": 300})
    assert not (vault.path / old).exists()
    assert (vault.path / new).exists()
    vault.restic("check", "--read-data")


def test_nothing_is_swept_when_an_index_cannot_be_read(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.save()
    pack = vault.junk("data/00") if (vault.path / "data/00").is_dir() else ""
    assert pack
    vault.age(pack, 2 * 3600)
    monkeypatch.setattr(pruning, "parse_json", lambda _: None)
    assert "cannot be read: nothing is swept" in vault.act(pruning.set_aside, sweep=True)["error"]
    assert (vault.path / pack).exists()


@pytest.mark.parametrize(
    ("script", "said"), [("sleep 60", "did not end within 0 s"), ("yes", "says more than 99 bytes")]
)
def test_restic_is_ended_when_it_has_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program = tmp_path / "restic"
    program.write_text(f"#!/bin/sh\nexec {script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(programs, "RUN_AS", {"env": {"PATH": f"{tmp_path}:{os.environ['PATH']}"}})
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Failed, match=said):
        programs.restic("/nowhere", KEY, ["cat"], timeout=0.3, limit=99)


def test_one_of_us_at_a_time(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.save()
    monkeypatch.setattr(pruning, "WAIT_SECONDS", 0.3)
    with pruning.alone("asso"):
        assert "another run is at work" in vault.act(pruning.set_aside)["error"]
    assert vault.act(pruning.set_aside)["error"] == ""


def test_a_list_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "NODES", 10)
    with pytest.raises(Failed, match="lists more than"):
        reading.parse_list((b'{"path": "/a"}' for _ in range(20)), "/a", "/b")
