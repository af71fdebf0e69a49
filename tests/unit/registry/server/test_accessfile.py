from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from holdall.errors import InvalidInput, LimitExceeded
from holdall.registry.server import accessfile
from holdall.registry.server.limits import Limit, Limits
from holdall.registry.server.token_settings import Issuer, TokenSettings
from holdall.registry.server.webhooks import Webhook, secret_of


def parse(text: str) -> accessfile.AccessFile:
    return accessfile.parse(tomllib.loads(text), "/etc/registry/access.toml")


def test_everything_at_once() -> None:
    found = parse(
        """
        htpasswd = "users"
        anonymous = ["pull"]
        trusted_proxies = ["10.0.0.0/8"]
        [tokens]
        service = "registry.example"
        lifetime = "10m"
        login_lifetime = "30d"
        [[issuer]]
        name = "git"
        issuer = "https://git.example"
        keys = "git.json"
        [limits]
        requests = 20
        bytes = "10m"
        burst_bytes = "2g"
        [[limits.user]]
        users = ["ci"]
        requests = 0.5
        burst = 3
        [[webhook]]
        url = "https://hooks.example/registry"
        secret_file = "hook.secret"
        events = ["push", "pull"]
        repositories = ["team/**"]
        blobs = true
        headers = { X-Team = "a" }
        timeout = 3
        [[webhook]]
        name = "second"
        url = "http://hooks.example:8080/other"
        secret = "s"
        """
    )
    assert found.files == ("/etc/registry/users", "/etc/registry/git.json")
    assert found.tokens == TokenSettings("", "registry.example", 600.0, 30 * 86400.0)
    assert found.issuers == (Issuer("git", "https://git.example", "/etc/registry/git.json"),)
    assert found.limits == Limits(Limit(20, 100, 10 << 20, 2 << 30), ((("ci",), Limit(0.5, 3)),))
    assert [str(one) for one in found.proxies] == ["10.0.0.0/8"]
    first, second = found.webhooks
    assert first == Webhook(
        "hooks.example", "https://hooks.example/registry", "", "/etc/registry/hook.secret", ("push", "pull"),
        ("team/**",), True, (("X-Team", "a"),), 3.0,
    )  # fmt: skip
    assert second == Webhook("second", "http://hooks.example:8080/other", "s")


def test_defaults() -> None:
    found = parse("")
    assert found == accessfile.AccessFile(found.rules)
    assert not found.limits.on
    assert parse("tokens = true").tokens == TokenSettings()
    assert parse("tokens = false").tokens is None
    assert parse("[tokens]").tokens == TokenSettings()
    assert parse("[limits]\nrequests = 2").limits.default == Limit(2, 10, 0, 0)
    assert parse('[limits]\nbytes = "1m"').limits.default == Limit(0, 1, 1 << 20, 60 << 20)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("token = true", '"token" is not known'),
        ("tokens = 1", "must be an object"),
        ("[tokens]\nlife = 1", '"life" is not known'),
        ('[tokens]\nlifetime = "5"', "is no time"),
        ('[tokens]\nlifetime = "5m x"', "is no time"),
        ('[tokens]\nlifetime = ""', "is no time"),
        ("[tokens]\nlifetime = 1", "at least 60"),
        ("[tokens]\nlifetime = true", "must be a string"),
        ("[tokens]\nlifetime = nan", "at least 60"),
        ("[tokens]\nlogin_lifetime = -1", "at least 60"),
        ('[tokens]\nrealm = "registry.example/token"', "is not the url"),
        ('[tokens]\nrealm = "https://a/\\""', "is not the url"),
        ('[tokens]\nrealm = "https://user@a/"', "is not the url"),
        ('[tokens]\nservice = "a\\"b"', "letters, digits"),
        ('[[issuer]]\nname = "a"\nissuer = "b"\nkeys = "c"', "needs tokens"),
        ('tokens = true\n[[issuer]]\nname = "a"\nissuer = "b"', '"keys" is missing'),
        ('tokens = true\n[[issuer]]\nname = "a:b"\nissuer = "b"\nkeys = "c"', "short name"),
        ('tokens = true\n[[issuer]]\nname = "token"\nissuer = "b"\nkeys = "c"', "short name"),
        ('tokens = true\n[[issuer]]\nname = "a"\nissuer = "b"\nkeys = "c"\nx = 1', '"x" is not known'),
        ("tokens = true" + 2 * '\n[[issuer]]\nname = "a"\nissuer = "b"\nkeys = "c"', "named twice"),
        ("limits = 1", "must be an object"),
        ("[limits]\nrequest = 1", '"request" is not known'),
        ("[limits]\nrequests = -1", "not negative"),
        ('[limits]\nrequests = "1"', "not negative"),
        ("[limits]\nrequests = nan", "not negative"),
        ("[limits]\nrequests = inf", "not negative"),
        ("[limits]\nrequests = 1\nburst = 0.5", "at least 1"),
        ("[limits]\nburst = 5", "needs requests"),
        ("[limits]\nburst_bytes = 5", "needs bytes"),
        ('[limits]\nbytes = "5x"', "is no size"),
        ('[limits]\nbytes = "-5"', "is no size"),
        ("[limits]\nbytes = -5", "at least 0"),
        ("[limits]\nbytes = 5\nburst_bytes = 0", "at least 1"),
        ("[[limits.user]]\nrequests = 1", '"users" is missing'),
        ('[[limits.user]]\nusers = ["a"]\nrequest = 1', '"request" is not known'),
        ("[limits]\nuser = 1", "must be a list"),
        ('trusted_proxies = "10.0.0.0/8"', "must be a list"),
        ('trusted_proxies = ["proxy"]', "no address or network"),
        ("[[webhook]]", '"url" is missing'),
        ('[[webhook]]\nurl = "ftp://a/"', "no http url"),
        ('[[webhook]]\nurl = "https://user:password@a/"', "no http url"),
        ('[[webhook]]\nurl = "https://"', "no http url"),
        ('[[webhook]]\nurl = "https://a:b/"', "no http url"),
        ('[[webhook]]\nurl = "https://a b/"', "no http url"),
        ('[[webhook]]\nurl = "https://[::1]/"', "short name"),
        ('[[webhook]]\nurl = "https://a/"\nname = "../x"', "short name"),
        ('[[webhook]]\nurl = "https://a/"\nevents = ["fly"]', '"fly" is not one of'),
        ('[[webhook]]\nurl = "https://a/"\nsecret = "a"\nsecret_file = "b"', "given twice"),
        ('[[webhook]]\nurl = "https://a/"\nheaders = { "Content-Type" = "x" }', "cannot be set"),
        ('[[webhook]]\nurl = "https://a/"\nheaders = { "X" = "a\\nb" }', "cannot be set"),
        ('[[webhook]]\nurl = "https://a/"\nheaders = { "X:" = "a" }', "cannot be set"),
        ('[[webhook]]\nurl = "https://a/"\nheaders = { "X" = 1 }', "strings only"),
        ('[[webhook]]\nurl = "https://a/"\ntimeout = 0', "at least 1"),
        ('[[webhook]]\nurl = "https://a/"\n[[webhook]]\nurl = "https://a/b"', 'called "a"'),
        ('[[webhook]]\nurl = "https://a/"\nblob = true', '"blob" is not known'),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert says in caught.value.message
    assert caught.value.message.startswith('"/etc/registry/access.toml"')


def test_too_many_tables() -> None:
    with pytest.raises(LimitExceeded):
        parse("\n".join(f'[[webhook]]\nurl = "https://a{n}/"' for n in range(101)))


@pytest.mark.parametrize("raw", [b"= x", b"\xff", b"a = [" + b"[" * 5000, b"tokens = true\ntokens = true"])
def test_what_is_not_toml(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(raw)
    with pytest.raises(InvalidInput, match="not valid toml"):
        accessfile.read(str(tmp_path / "a.toml"))


def test_a_secret_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s e c r e t\n")
    assert secret_of(Webhook("a", "https://a", secret_file=str(tmp_path / "secret"))) == b"s e c r e t"
    assert secret_of(Webhook("a", "https://a", "given")) == b"given"
    with pytest.raises(FileNotFoundError):
        secret_of(Webhook("a", "https://a", secret_file=str(tmp_path / "gone")))


def test_who_wants_what() -> None:
    hook = Webhook("a", "https://a", events=("push", "mount"), repositories=("team/*", "x"))
    assert hook.wants("push", "team/a", blob=False)
    assert not hook.wants("push", "team/a", blob=True)
    assert hook.wants("mount", "x", blob=True)
    assert not hook.wants("pull", "x", blob=False)
    assert not hook.wants("push", "team/a/b", blob=False)
    assert Webhook("a", "https://a", blobs=True).wants("delete", "any/thing", blob=True)
