from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdall.errors import HoldallError, InvalidInput, InvalidOption, RegistryError
from holdall.haul import wanted as wanting
from holdall.haul.copy import Choice
from holdall.haul.sync import BASE, PATH, SCOPED, Done, Goal, Job, plan, run
from holdall.haul.wanted import Filter, parse, read, word
from holdall.oci.jsonval import dumps
from holdall.registry.options import Options
from holdall.testing.images import random_image
from holdall.testing.registry import RegistryServer
from holdall.testing.scripted import Asked, ScriptedServer, response

IMAGES = {tag: random_image(seed=number, layers=1) for number, tag in enumerate(("1", "2", "latest"))}


@pytest.fixture
def quick(tmp_path: Path) -> Options:
    (tmp_path / "home").mkdir()
    return Options(environ={"HOME": str(tmp_path / "home")}, backoff=0.01, retries=1)


@pytest.fixture
def one() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        for name in ("team/app", "team/web", "lib/base"):
            for tag, image in IMAGES.items():
                server.store.add_image(name, tag, image)
        yield server


@pytest.fixture
def two() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


async def targets(words: list[str], goal: Goal, options: Options, tags: Filter = Filter()) -> list[str]:  # noqa: B008
    jobs = await plan([word(text, tags) for text in words], goal, options)
    return [str(job.target).partition("/")[2] if job.target.reference else str(job.target) for job in jobs]


async def all_done(jobs: tuple[Job, ...], options: Options, *, keep_going: bool = False) -> list[Done]:
    return [done async for done in run(jobs, choice=Choice(), keep_going=keep_going, options=options)]


async def test_words_name_repositories_tags_and_globs(one: RegistryServer, quick: Options) -> None:
    host = one.host
    base, path = Goal.parse("other.example/pre", BASE), Goal.parse("other.example/pre", PATH)
    assert await targets([f"{host}/team/app"], base, quick) == ["pre/app:1", "pre/app:2", "pre/app:latest"]
    assert await targets([f"docker://{host}/team/app:2"], base, quick) == ["pre/app:2"]
    assert await targets([f"{host}/team/app"], base, quick, Filter(("?",), ("1",))) == ["pre/app:2"]
    latest = Filter(("latest",))
    assert await targets([f"{host}/team/*"], path, quick, latest) == ["pre/team/app:latest", "pre/team/web:latest"]
    assert await targets([f"{host}/**"], base, quick, latest) == ["pre/base:latest", "pre/app:latest", "pre/web:latest"]
    scoped = Goal.parse("other.example", SCOPED)
    assert await targets([f"{host}/lib/base:1"], scoped, quick) == [f"{host.replace(':', '-')}/lib/base:1"]
    digest = IMAGES["1"].digest
    assert await targets([f"{host}/lib/base@{digest}"], base, quick) == [f"pre/base@{digest}"]
    assert await targets([f"{host}/lib/base:1"], Goal.parse("oci:/x", PATH), quick) == ["oci:/x/lib/base:1"]


async def test_two_sources_for_one_place_are_refused(one: RegistryServer, quick: Options) -> None:
    one.store.add_image("lib/app", "1", IMAGES["1"])
    with pytest.raises(InvalidOption, match="both") as caught:
        await targets([f"{one.host}/team/app:1", f"{one.host}/lib/app:1"], Goal.parse("o.example", BASE), quick)
    assert "--scoped" in str(caught.value.hint)
    assert (
        len(await targets([f"{one.host}/team/app:1", f"{one.host}/lib/app:1"], Goal.parse("o.example", PATH), quick))
        == 2
    )


async def test_a_whole_registry_is_copied_and_then_nothing(
    one: RegistryServer, two: RegistryServer, quick: Options
) -> None:
    jobs = await plan([word(f"{one.host}/**", Filter())], Goal.parse(f"{two.host}/m", PATH), quick)
    done = await all_done(jobs, quick)
    assert len(done) == 9
    assert all(item.copied is not None and not item.copied.there for item in done)
    assert sorted(name for name, found in two.store.repositories.items() if found.tags) == [
        "m/lib/base",
        "m/team/app",
        "m/team/web",
    ]
    # each blob came once, and was mounted for the other repositories
    assert one.count("GET", "blobs") == 6
    again = await all_done(jobs, quick)
    assert all(item.copied is not None and item.copied.there for item in again)
    assert one.count("GET", "blobs") == 6


async def test_layouts_and_back(one: RegistryServer, two: RegistryServer, quick: Options, tmp_path: Path) -> None:
    jobs = await plan([word(f"{one.host}/team/*", Filter())], Goal.parse(f"oci:{tmp_path}/tree", PATH), quick)
    await all_done(jobs, quick)
    assert (tmp_path / "tree/team/app/index.json").exists()
    back = await plan([word(f"oci:{tmp_path}/tree", Filter(exclude=("latest",)))], Goal.parse(two.host, PATH), quick)
    await all_done(back, quick)
    assert two.store.repository("team/web").tags == {tag: str(IMAGES[tag].digest) for tag in ("1", "2")}
    single = await plan([word(f"oci:{tmp_path}/tree/team/app:2", Filter())], Goal.parse(two.host, BASE), quick)
    assert [str(job.target).partition("/")[2] for job in single] == ["app:2"]


async def test_an_error_ends_it_or_is_told(one: RegistryServer, two: RegistryServer, quick: Options) -> None:
    jobs = await plan([word(f"{one.host}/team/app", Filter())], Goal.parse(two.host, BASE), quick)
    layer = IMAGES["1"].manifest.layers[0]
    del one.store.repository("team/app").blobs[str(layer.digest)]
    with pytest.raises(HoldallError):
        await all_done(jobs, quick)
    done = await all_done(jobs, quick, keep_going=True)
    assert [item.error is None for item in done] == [False, True, True]
    assert set(two.store.repository("app").tags) == {"2", "latest"}


FILE = """
registry.example.com:
  images:
    busybox: []
    team/redis: ["6", "sha256:%s"]
  images-by-tag-regex:
    nginx: ^1\\.2
  images-by-semver:
    alpine: ">= 3.18"
  credentials: {username: me, password: "s:x"}
  tls-verify: false
  cert-dir: /certs
docker.io:
  images:
    library/debian: ["12"]
""" % ("0" * 64)


def test_a_file_as_skopeo_has_it(tmp_path: Path) -> None:
    (tmp_path / "sync.yaml").write_text(FILE)
    found, access = read(str(tmp_path / "sync.yaml"))
    by_path = {one.path: one for one in found}
    assert set(by_path) == {"busybox", "team/redis", "nginx", "alpine", "library/debian"}
    assert by_path["team/redis"].names == ("6", "sha256:" + "0" * 64)
    assert by_path["busybox"].names == ()
    assert [tag for tag in ("1.25", "2", "1.2") if by_path["nginx"].filter.fits(tag)] == ["1.25", "1.2"]
    assert [tag for tag in ("3.17", "3.20", "edge") if by_path["alpine"].filter.fits(tag)] == ["3.20"]
    first = wanting.accesses(access)["registry.example.com"]
    assert first.credential is not None
    assert (first.credential.username, first.credential.password) == ("me", "s:x")
    assert (first.verify, first.cert_dir) == (False, "/certs")
    (tmp_path / "sync.toml").write_text('["r.example".images]\nbusybox = ["1"]\n')
    found, _ = read(str(tmp_path / "sync.toml"))
    assert (found[0].registry, found[0].path, found[0].names) == ("r.example", "busybox", ("1",))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "must be an object"),
        ("r.example: {}", "names no images"),
        ("r.example: {image: {}}", "is not known"),
        ("r.example: {images: {A: []}}", "lower case"),
        ("r.example: {images: {'a:1': []}}", "without tag"),
        ("r.example: {images: {a: ['sha256:1']}}", "digest"),
        ("r.example: {images: {a: 1}}", "must be a list"),
        ("r.example: {images-by-tag-regex: {a: '('}}", "no regular expression"),
        ("r.example: {images-by-semver: {a: y}}", "no version constraint"),
        ("r.example: {images: {a: []}, credentials: {username: x}}", "missing"),
        ("a: &a [x]\nb: *a", "aliases"),
        ("a: [", "cannot be read"),
    ],
)
def test_mistakes_in_a_file_are_refused(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises((InvalidInput, HoldallError), match=part):
        read(str(tmp_path / "f.yaml"))


@pytest.mark.parametrize("text", ["host.example/a:1", "oci:", "oci:a:b", "justaname", "host.example/A"])
def test_goals_that_are_none(text: str) -> None:
    with pytest.raises(HoldallError):
        Goal.parse(text, BASE)


def test_globs_need_a_host() -> None:
    with pytest.raises(InvalidOption, match="host"):
        word("team*", Filter())
    with pytest.raises(HoldallError):
        word("*/x", Filter())
    assert parse({"r.example": {"images": {"a": []}}}, "f")[0][0].registry == "r.example"


@pytest.mark.parametrize("name", ["../../elsewhere", "team/..", "/elsewhere", "team/app:1", "Team", "team//app", ""])
async def test_names_that_a_registry_makes_up_lead_nowhere(tmp_path: Path, quick: Options, name: str) -> None:
    def answer(asked: Asked) -> bytes:
        names = {"repositories": [name]} if "_catalog" in asked.target else {"tags": ["1"]}
        return response(200, dumps(names))

    async with ScriptedServer(answer) as server:
        goal = Goal.parse(f"oci:{tmp_path}/backup", PATH)
        with pytest.raises(RegistryError, match="no repository's name"):
            await plan([word(f"{server.host}/**", Filter())], goal, quick)
