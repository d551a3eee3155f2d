"""Tokens on a real store: told once, kept as hashes, on record, found again, revoked, expired."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from controller.errors import CodedError, StoreError
from controller.host.clock import utc_now
from controller.station.commands.tokens import CreateToken, RevokeToken
from controller.station.port import Access, Caller
from controller.station.tokens import create, listed, revoke
from controller.store.known_tokens import KnownTokens
from controller.store.layout import StoreLayout
from controller.store.store import Store
from controller.store.tokens import TokenFile
from tests.builders import audit_records

ANN = Caller("ann", Access.admin, "bob")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store.at(StoreLayout.at(tmp_path / "store"), utc_now)
    found.create_folders()
    return found


def test_a_token_is_told_once_and_only_its_hash_is_kept_for_its_owner_alone(store: Store) -> None:
    made = create(store, CreateToken("kiosk", "operator", "90d"), ANN)

    assert made.token.startswith(f"pvt_{made.id}_")
    secret = made.token.removeprefix(f"pvt_{made.id}_")
    assert len(secret) == 43
    files = [path for path in store.layout.root.rglob("*") if path.is_file()]
    assert store.layout.tokens in files
    assert not any(secret in path.read_text(errors="replace") for path in files)
    assert store.layout.tokens.stat().st_mode & 0o777 == 0o600
    (row,) = listed(store).tokens
    assert (row["name"], row["role"], row["created_by"], row["expired"]) == ("kiosk", "operator", "ann", False)


def test_making_and_revoking_is_on_record_with_name_role_and_expiry(store: Store) -> None:
    made = create(store, CreateToken("kiosk", "operator", "90d"), ANN)
    revoke(store, RevokeToken("kiosk"), ANN)

    rows = list(audit_records(store.audit))
    about = {"id": made.id, "role": "operator", "expires_at": made.expires_at}
    assert [(row["action"], row["outcome"], row["before"], row["after"]) for row in rows] == [
        ("token.create", "started", None, about), ("token.create", "succeeded", None, about),
        ("token.revoke", "started", about, None), ("token.revoke", "succeeded", about, None),
    ]  # fmt: skip
    assert {(row["actor"], row["worker"], row["object"]) for row in rows} == {("ann", "bob", "token/kiosk")}


def test_a_grant_is_on_record_and_lost_by_a_release_that_does_not_know_it(store: Store) -> None:
    made = create(store, CreateToken("vision", "viewer", recordings=True), ANN)
    create(store, CreateToken("wall", "viewer"), ANN)
    create(store, CreateToken("ci", "admin"), ANN)
    known, path = KnownTokens(store.layout, time.time), store.layout.tokens

    assert made.recordings
    assert {row["name"]: row["recordings"] for row in listed(store).tokens} == {
        "ci": True,
        "vision": True,
        "wall": False,
    }
    found = known.find(made.token)
    assert found is not None
    assert found.recordings
    (first, *_) = audit_records(store.audit)
    assert first["after"]["recordings"] is True
    document = json.loads(path.read_text())
    assert document["grants"] == {made.id: ["recordings"]}
    assert all("recordings" not in row for row in document["tokens"])  # it would refuse the whole file

    path.write_text(json.dumps({"tokens": document["tokens"]}))  # as the release before writes it
    found = known.find(made.token)
    assert found is not None
    assert not found.recordings


@pytest.mark.parametrize("grants", [7, [], {"x": 7}, "all"])
def test_grants_that_cannot_be_understood_let_nobody_in(store: Store, grants: object) -> None:
    made = create(store, CreateToken("vision", "viewer", recordings=True), ANN)
    path = store.layout.tokens
    rows = json.loads(path.read_text())["tokens"]
    path.write_text(json.dumps({"tokens": rows, "grants": {made.id: 7} if grants == {"x": 7} else grants}))

    with pytest.raises(StoreError, match="damaged"):
        KnownTokens(store.layout, time.time).find(made.token)


def test_a_name_is_taken_once_and_a_refusal_is_on_record(store: Store) -> None:
    create(store, CreateToken("kiosk", "viewer"), ANN)

    with pytest.raises(CodedError, match="there is a token 'kiosk' already"):
        create(store, CreateToken("kiosk", "admin"), ANN)
    assert [row["outcome"].split(":")[0] for row in audit_records(store.audit)] == [
        "started",
        "succeeded",
        "started",
        "failed",
    ]
    with pytest.raises(CodedError, match="no token 'other'"):
        revoke(store, RevokeToken("other"), ANN)


@pytest.mark.parametrize("expires", ["soon", "0s", "-1d", "90"])
def test_an_expiry_is_a_duration_to_come(store: Store, expires: str) -> None:
    with pytest.raises(CodedError, match="expires"):
        create(store, CreateToken("kiosk", "viewer", expires), ANN)
    assert listed(store).tokens == ()


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a\n", "a" * 57, "ä", ".."])
def test_a_name_can_stand_in_a_path_and_in_an_audit(name: str) -> None:
    with pytest.raises(CodedError, match="name is not valid"):
        CreateToken(name, "viewer")


def test_a_token_is_known_at_once_and_no_longer_when_revoked_or_expired(store: Store) -> None:
    clock = [time.time()]
    known = KnownTokens(store.layout, lambda: clock[0])
    assert not known.any_valid()
    made = create(store, CreateToken("kiosk", "operator", "1h"), ANN)
    other = create(store, CreateToken("wall", "viewer"), ANN)

    found = known.find(made.token)
    assert found is not None
    assert (found.name, found.role) == ("kiosk", "operator")
    assert known.by_id(made.id) == found
    mixed = other.token[:17] + made.token[17:]
    for wrong in ("", "x", made.token[:-1], made.token + "x", made.token[:-1] + "~", mixed):
        assert known.find(wrong) is None
    clock[0] += 3601
    assert known.find(made.token) is None
    assert known.by_id(made.id) is None
    revoke(store, RevokeToken("wall"), ANN)
    assert known.find(other.token) is None
    assert not known.any_valid()


def test_a_damaged_file_lets_nobody_in_and_says_what_to_do(store: Store) -> None:
    made = create(store, CreateToken("kiosk", "operator"), ANN)
    known = KnownTokens(store.layout, time.time)
    assert known.find(made.token) is not None
    document = json.loads(store.layout.tokens.read_text())

    store.layout.tokens.write_text(json.dumps(document)[:-5])

    with pytest.raises(StoreError, match="damaged"):
        known.find(made.token)
    with pytest.raises(StoreError, match="damaged"):
        TokenFile(store.layout).change(lambda tokens: tokens)
    store.layout.tokens.write_text(json.dumps(document))
    assert known.find(made.token) is not None


def test_what_is_no_token_makes_the_whole_file_damaged(store: Store) -> None:
    made = create(store, CreateToken("kiosk", "operator", "1h"), ANN)
    known, path = KnownTokens(store.layout, time.time), store.layout.tokens
    (row,) = json.loads(path.read_text())["tokens"]
    aside = path.with_name("aside")

    for damage in ({"role": "root"}, {"expires_at": "soon"}, {"expires_at": 7}, {"id": []}, {"more": 1}, {"name": 1}):
        path.rename(aside)
        path.write_text(json.dumps({"tokens": [row | damage]}))
        for asked in (known.any_valid, lambda: known.find(made.token), lambda: known.by_id(made.id)):
            with pytest.raises(StoreError, match="damaged"):
                asked()
        aside.replace(path)  # the same file as before, to the last stamp
        assert known.find(made.token) is not None, damage


@pytest.mark.parametrize("left", ["file", "link"])
def test_a_secret_is_not_written_to_what_somebody_left_in_its_place(store: Store, left: str) -> None:
    path, elsewhere = store.layout.tokens, store.layout.root / "elsewhere"
    temporary = path.with_name(f"{path.name}.tmp")
    if left == "link":
        temporary.symlink_to(elsewhere)
        with pytest.raises(StoreError, match="cannot write"):
            create(store, CreateToken("kiosk", "viewer"), ANN)
    else:
        temporary.touch(0o666)
        temporary.chmod(0o666)
    create(store, CreateToken("wall", "viewer"), ANN)

    assert path.stat().st_mode & 0o777 == 0o600
    assert not elsewhere.exists()
