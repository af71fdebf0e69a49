from __future__ import annotations

import pytest

from holdall.oci.digest import Digest
from holdall.registry.auth import Scope
from holdall.registry.server import scopes
from holdall.registry.server.refusal import Refusal
from holdall.registry.server.route import find

EMPTY = Digest.of(b"")


def parsed(*texts: str) -> list[str]:
    return [str(one) for one in scopes.parse(texts)]


def test_scopes_are_read_one_by_one_or_together() -> None:
    assert parsed("repository:a/b:pull") == ["repository:a/b:pull"]
    assert parsed("repository:a:pull repository:b:push", "repository:c:delete,pull") == [
        "repository:a:pull",
        "repository:b:push",
        "repository:c:delete,pull",
    ]
    assert parsed("repository:a:pull", "repository:a:push") == ["repository:a:pull,push"]
    assert parsed("registry:catalog:*") == ["registry:catalog:*"]
    assert parsed("repository(plugin):a:pull") == ["repository(plugin):a:pull"]


@pytest.mark.parametrize(
    "text",
    ["", "x", "repository", "repository:a", "repository:a:", "repository::pull", "repository:A:pull", "::", "a:b:c",
     "repository:a//b:pull", "repository:../a:pull", "registry:other:*", "repository:a:PULL", "repository:a\0:pull"],
)  # fmt: skip
def test_what_nobody_knows_is_left_out(text: str) -> None:
    assert parsed(text) == []


def test_more_than_a_client_has_reason_to_ask_is_refused() -> None:
    for text in (" ".join(f"repository:a{n}:pull" for n in range(17)), "repository:a:pull " * 1000):
        with pytest.raises(Refusal) as caught:
            scopes.parse([text])
        assert caught.value.status == 400


def test_a_grant_is_what_is_asked_for_and_allowed() -> None:
    def allow(action: str, name: str) -> bool:
        return name.startswith("team/") and action != "delete"

    def granted(text: str) -> list[dict[str, object]]:
        return scopes.grant(scopes.parse([text]), allow)

    assert granted("repository:team/a:pull,push,delete") == [
        {"type": "repository", "name": "team/a", "actions": ["pull", "push"]}
    ]
    assert granted("repository:team/a:pull") == [{"type": "repository", "name": "team/a", "actions": ["pull"]}]
    assert granted("repository:other:pull") == []
    assert granted("repository:team/a:*") == [{"type": "repository", "name": "team/a", "actions": ["pull", "push"]}]
    assert granted("registry:catalog:*") == [{"type": "registry", "name": "catalog", "actions": ["*"]}]
    everything = scopes.grant(scopes.parse(["repository:a:*"]), lambda action, name: True)
    assert everything == [{"type": "repository", "name": "a", "actions": ["pull", "push", "delete", "*"]}]


def test_what_is_granted_is_read_back() -> None:
    wanted = scopes.parse(["repository:a/b:pull,push repository:c:* registry:catalog:*"])
    grants = scopes.read(scopes.grant(wanted, lambda action, name: True))
    assert grants.catalog
    for action, name, fine in (
        ("pull", "a/b", True), ("push", "a/b", True), ("delete", "a/b", False), ("delete", "c", True),
        ("pull", "d", False), ("pull", "a", False),
    ):  # fmt: skip
        assert grants.allow(action, name) is fine


@pytest.mark.parametrize(
    "claim",
    [None, 1, "x", {}, [1, None, "x"], [{}], [{"type": "repository"}], [{"type": 1, "name": "a", "actions": ["pull"]}],
     [{"type": "repository", "name": "a", "actions": "pull"}], [{"type": "repository", "name": "a", "actions": [1]}],
     [{"type": "registry", "name": "a", "actions": ["*"]}], [{"type": "other", "name": "a", "actions": ["pull"]}]],
)  # fmt: skip
def test_a_malformed_claim_allows_nothing(claim: object) -> None:
    assert scopes.read(claim) == scopes.Grants(frozenset())


@pytest.mark.parametrize(
    ("path", "action", "source", "needed"),
    [
        ("/v2/", "pull", "", []),
        ("/v2/_catalog", "pull", "", ["registry:catalog:*"]),
        ("/v2/a/b/tags/list", "pull", "", ["repository:a/b:pull"]),
        (f"/v2/a/blobs/{EMPTY}", "pull", "", ["repository:a:pull"]),
        ("/v2/a/manifests/1", "push", "", ["repository:a:pull,push"]),
        ("/v2/a/manifests/1", "delete", "", ["repository:a:delete"]),
        ("/v2/a/blobs/uploads/", "push", "b", ["repository:a:pull,push", "repository:b:pull"]),
        ("/v2/a/blobs/uploads/", "push", "a", ["repository:a:pull,push"]),
        ("/v2/a/blobs/uploads/", "push", 'b"', ["repository:a:pull,push"]),
    ],
)
def test_a_request_needs_the_scopes_that_clients_expect(path: str, action: str, source: str, needed: list[str]) -> None:
    found = find(path)
    assert found is not None
    assert [str(one) for one in scopes.needed(found, action, source)] == needed
    assert all(isinstance(one, Scope) for one in scopes.needed(found, action, source))
