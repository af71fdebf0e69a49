"""What RUN is given beside files: secrets, agents, networks, entitlements, devices, variables nobody depends on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from holdall.testing.building import Workshop
from holdall.testing.command import busybox_available
from holdall.testing.supervised import alive, eventually

pytestmark = [pytest.mark.root, pytest.mark.skipif(not busybox_available(), reason="needs root and busybox-static")]
VALUE = "very-secret-t0ken"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """A --secret option; the value ends with a newline."""
    (tmp_path / "token").write_text(VALUE + "\n")
    return f"id=token,src={tmp_path}/token"


def on_disk(workshop: Workshop, value: str) -> list[str]:
    """Files of the store and its run folder that hold a value."""
    found = []
    for top in (workshop.store.paths.root, workshop.store.paths.run_root):
        for folder, _, names in os.walk(top):
            for name in names:
                path = f"{folder}/{name}"
                if os.path.isfile(path) and value.encode() in Path(path).read_bytes():
                    found.append(path)
    return found


def test_a_secret_as_file_and_as_variable(workshop: Workshop, secret: str) -> None:
    workshop.fresh()
    text = """
    FROM bb
    RUN --mount=type=secret,id=token,uid=12,gid=34,mode=0440 busybox stat -c %u:%g:%a:%s /run/secrets/token > /kept; \
        busybox grep /run/secrets /proc/mounts | busybox cut -d' ' -f3,4 >> /kept
    WORKDIR /w
    RUN --mount=type=secret,id=token,target=rel --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=none \
        busybox wc -c < rel > /n; echo ${#TOKEN} >> /n; busybox test -e /run/secrets/none || echo none >> /n
    """
    image = workshop.build(text, "--secret", secret)
    shown = workshop.shown(image, "cat", "/kept", "/n").split("\n")
    assert shown[0] == "12:34:440:18"
    assert shown[1].startswith("tmpfs ro,nosuid,nodev,noexec")
    assert shown[2:] == ["18", "18", "none"]
    assert on_disk(workshop, VALUE) == []
    assert not workshop.paths(image) & {"/run", "/run/secrets", "/w/rel"}


def test_a_secret_from_the_environment(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN --mount=type=secret,id=KEY,env=KEY echo ${#KEY} > /n\n"
    image = workshop.build(text, "--secret", "id=KEY,env=MY_KEY", more={"MY_KEY": VALUE})
    assert workshop.shown(image, "cat", "/n") == "17"
    assert "MY_KEY" in workshop.fails(text, "--secret", "id=KEY,env=MY_KEY", "--no-cache")


def test_a_secret_is_not_in_the_key_and_may_be_required(workshop: Workshop, secret: str) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN --mount=type=secret,id=token,required=true test -e /run/secrets/token\n"
    said = workshop.fails(text)
    assert 'the secret "token" was not given' in said
    assert ">>> RUN --mount" in said
    first = workshop.build(text, "--secret", secret)
    assert "CACHED" in workshop.attempt(text).stderr
    assert workshop.build(text) == first


def test_output_does_not_show_secrets(workshop: Workshop, secret: str) -> None:
    workshop.fresh()
    text = (
        "FROM bb\nRUN --mount=type=secret,id=token"
        " cat /run/secrets/token; printf very-sec; sleep 0.1; echo ret-t0ken.\n"
    )
    done = workshop.attempt(text, "--secret", secret, "--no-cache")
    assert VALUE not in done.stderr
    assert "| ***\n" in done.stderr
    assert "| ***.\n" in done.stderr
    assert workshop.store.run("builder", "logs").split("\n") == ["***", "***."]
    failing = text.replace("ret-t0ken.", "ret-t0ken.; exit 1")
    assert VALUE not in workshop.fails(failing, "--secret", secret)
    assert on_disk(workshop, VALUE) == []


@pytest.mark.parametrize(
    ("command", "place"),
    [
        ("busybox cp /run/secrets/token /leak", "/leak"),
        ("busybox mkdir -p /a/b && (busybox seq 1 200000; cat /run/secrets/token) > /a/b/long", "/a/b/long"),
        ("echo -n x$(cat /run/secrets/token) | busybox base64 > /b64", "/b64"),
        ("busybox ln -s $(cat /run/secrets/token) /link", "/link"),
    ],
)
def test_a_secret_in_a_layer_fails_the_build(workshop: Workshop, secret: str, command: str, place: str) -> None:
    workshop.fresh()
    said = workshop.fails(f"FROM bb\nRUN --mount=type=secret,id=token {command}\n", "--secret", secret)
    assert f'the secret "token" is in "{place}" of the layer' in said
    assert ">>> RUN --mount" in said
    assert VALUE not in said
    assert on_disk(workshop, VALUE) == []


def test_a_secret_that_is_copied_or_set_fails_the_build(workshop: Workshop, secret: str) -> None:
    workshop.fresh({"env": f"TOKEN={VALUE}\n"})
    assert 'is in "/env" of the layer' in workshop.fails("FROM bb\nCOPY env /env\n", "--secret", secret)
    assert "the image's configuration" in workshop.fails(f"FROM bb\nLABEL x={VALUE}\n", "--secret", secret)
    workshop.fresh()


def test_a_killed_build_leaves_no_secret(workshop: Workshop, secret: str) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN --mount=type=secret,id=token --mount=type=secret,id=token,env=T echo up; sleep 1000\n"
    build = workshop.begin(text, "--secret", secret)
    assert build.stderr is not None
    seen = b""
    while b"| up" not in seen:
        seen += os.read(build.stderr.fileno(), 4096)
    assert on_disk(workshop, VALUE) == []
    build.kill()
    build.communicate()
    workshop.rests()
    assert on_disk(workshop, VALUE) == []
    assert workshop.store.debris() == []


needs_ssh = pytest.mark.skipif(
    not all(map(shutil.which, ("ssh-agent", "ssh-add", "ssh-keygen"))), reason="needs OpenSSH's client"
)


@pytest.fixture(scope="module")
def ssh_image(workshop: Workshop) -> str:
    """An image with ssh-add and busybox."""
    workshop.store.run("pack", "-q", "-t", "ssh", "ssh-add", "busybox")
    return "ssh"


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A private key without passphrase."""
    path = str(tmp_path / "key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a-test-key", "-f", path], check=True)
    os.chmod(path, 0o644)
    return path


ASK = """
FROM ssh
RUN --mount=type=ssh{0} [ "/usr/bin/ssh-add", "-l" ]
RUN --mount=type=ssh{0} [ "busybox", "sh", "-c", "ssh-add -D || echo refused; busybox stat -c %u:%g:%a $SSH_AUTH_SOCK" ]
"""


def agents() -> set[int]:
    """PIDs of running ssh-agents."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{name}/comm").read_text() == "ssh-agent\n":
                found.add(int(name))
        except OSError:
            continue
    return found


@needs_ssh
def test_keys_are_lent_to_a_command_by_an_agent_of_ours(workshop: Workshop, ssh_image: str, key: str) -> None:
    workshop.fresh()
    before = agents()
    done = workshop.attempt(ASK.format(",uid=5,gid=6,mode=0660"), "--ssh", f"default={key}", "--no-cache")
    assert done.returncode == 0, done.stderr
    assert "a-test-key (ED25519)" in done.stderr
    assert "| refused\n" in done.stderr
    assert "| 5:6:660\n" in done.stderr
    eventually(lambda: not {pid for pid in agents() - before if alive(pid)})


@needs_ssh
def test_an_agent_of_the_caller_is_forwarded(workshop: Workshop, ssh_image: str, key: str, tmp_path: Path) -> None:
    workshop.fresh()
    folder = tempfile.mkdtemp(prefix="agent-")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", folder + "/sock"], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: os.path.exists(folder + "/sock"))
        os.chmod(key, 0o600)
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": folder + "/sock"}, check=True)
        done = workshop.attempt(
            ASK.format(""), "--ssh", "default", "--no-cache", more={"SSH_AUTH_SOCK": folder + "/sock"}
        )
        assert done.returncode == 0, done.stderr
        assert "a-test-key (ED25519)" in done.stderr
        assert "| refused\n" in done.stderr
        assert "| 0:0:600\n" in done.stderr
        named = ASK.format(",id=mine,target=/a.sock,required")
        assert "a-test-key" in workshop.attempt(named, "--ssh", f"mine={folder}/sock", "--no-cache").stderr
        listed = subprocess.run(
            ["ssh-add", "-l"], env={**os.environ, "SSH_AUTH_SOCK": folder + "/sock"}, capture_output=True, check=True
        )
        assert b"a-test-key" in listed.stdout
    finally:
        agent.kill()
        agent.wait()
        shutil.rmtree(folder)


@needs_ssh
def test_a_killed_build_leaves_no_agent(workshop: Workshop, ssh_image: str, key: str) -> None:
    workshop.fresh()
    before = agents()
    build = workshop.begin(
        'FROM ssh\nRUN --mount=type=ssh [ "busybox", "sh", "-c", "echo up; busybox sleep 1000" ]\n',
        "--ssh", f"default={key}", "--no-cache",
    )  # fmt: skip
    assert build.stderr is not None
    seen = b""
    while b"| up" not in seen:
        piece = os.read(build.stderr.fileno(), 4096)
        assert piece, seen
        seen += piece
    [mine] = agents() - before
    build.kill()
    build.communicate()
    workshop.rests()
    # it looks every ten seconds whether it is still needed
    eventually(lambda: not alive(mine), 25)


def test_agents_that_are_not_there(workshop: Workshop, tmp_path: Path) -> None:
    workshop.fresh()
    (tmp_path / "key").write_text("no key\n")
    text = "FROM bb\nRUN --mount=type=ssh echo $SSH_AUTH_SOCK; busybox test ! -e $SSH_AUTH_SOCK\n"
    assert "| /run/buildkit/ssh_agent.0\n" in workshop.attempt(text, "--no-cache").stderr
    assert 'the ssh agent "default" was not given' in workshop.fails(
        text.replace("ssh ", "ssh,required ", 1), "--no-cache"
    )
    assert "SSH_AUTH_SOCK is not set" in workshop.fails(text, "--ssh", "default", more={"SSH_AUTH_SOCK": ""})
    assert "no such file" in workshop.fails(text, "--ssh", f"default={tmp_path}/none")
    if shutil.which("ssh-agent"):
        assert "no private key" in workshop.fails(text, "--ssh", f"default={tmp_path}/key", "--no-cache")


def test_networks(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN{} busybox ls /sys/class/net | busybox sort > /n; hostname >> /n; cat /etc/hosts >> /n\n"
    text = text.replace("hostname", "busybox hostname")
    host = sorted(os.listdir("/sys/class/net"))
    seen = {}
    for name, flag, options in (
        ("default", "", ()), ("none", " --network=none", ()), ("build none", "", ("--network", "none")),
        ("own default", " --network=default", ("--network", "none")),
        ("host", " --network=host", ("--allow", "network.host")), ("build host", "", ("--network", "host")),
    ):  # fmt: skip
        image = workshop.build(text.format(flag), *options)
        shown = workshop.shown(image, "cat", "/n").split("\n")
        seen[name] = shown[: shown.index("buildkitsandbox")]
    assert seen["none"] == ["lo"]
    assert seen["build none"] == ["lo"]
    assert seen["own default"] == ["lo"]
    assert "eth0" in seen["default"]
    assert len(seen["host"]) >= len([name for name in host if not name.startswith(("hd", "veth"))])
    assert seen["build host"] == seen["host"]
    assert "network.host is not allowed" in workshop.fails(text.format(" --network=host"))


def test_insecure_commands_have_to_be_allowed(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN{} busybox grep CapEff /proc/self/status > /caps\n"
    assert "security.insecure is not allowed" in workshop.fails(text.format(" --security=insecure"))
    plain = workshop.shown(workshop.build(text.format("")), "cat", "/caps")
    more = workshop.build(text.format(" --security=insecure"), "--allow", "security.insecure")
    assert int(workshop.shown(more, "cat", "/caps").split()[1], 16) > int(plain.split()[1], 16)
    assert "CACHED" in workshop.attempt(text.format(" --security=sandbox")).stderr
    assert "invalid value" in workshop.fails(text, "--allow", "everything")


CDI = {
    "cdiVersion": "0.6.0",
    "kind": "example.com/thing",
    "containerEdits": {"env": ["THING=yes"]},
    "devices": [
        {
            "name": "one",
            "annotations": {"org.mobyproject.buildkit.device.class": "things"},
            "containerEdits": {
                "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/null", "permissions": "rw"}],
                "mounts": [{"hostPath": "/etc/hostname", "containerPath": "/thing/name", "options": ["ro", "bind"]}],
                "additionalGids": [4242],
            },
        },
        {"name": "two", "containerEdits": {"env": ["TWO=2"]}},
        {"name": "odd", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/bin/true"}]}},
    ],
}


def test_devices_by_their_cdi_names(workshop: Workshop, tmp_path: Path) -> None:
    workshop.fresh()
    (tmp_path / "thing.json").write_text(json.dumps(CDI))
    (tmp_path / "other.yaml").write_text("cdiVersion: 0.6.0\nkind: example.com/other\ndevices:\n- name: y\n")
    more = {"HOLDALL_CDI_FOLDERS": str(tmp_path)}
    text = (
        "FROM bb\nRUN --device={} echo $THING$TWO > /n; echo x > /dev/thing && cat /thing/name > /dev/null"
        " && busybox id -G >> /n\n"
    )
    for name in ("example.com/thing=one", "example.com/thing", "things", "name=example.com/thing=one,required"):
        image = workshop.build(text.format(name), "--allow", "device", more=more)
        assert workshop.shown(image, "cat", "/n").split("\n") == ["yes", "0 4242"]
    assert "/thing" not in workshop.paths(image)
    two = "FROM bb\nRUN --device=example.com/thing=two echo $THING$TWO > /n\n"
    image = workshop.build(two, "--allow", "device=example.com/thing=two", more=more)
    assert workshop.shown(image, "cat", "/n") == "yes2"
    for name, options, words in (
        ("example.com/thing=one", (), ("example.com/thing=one", "is not allowed")),
        ("example.com/thing=odd", ("--allow", "device"), ('"hooks"',)),
        ("example.com/none=x,required", ("--allow", "device"), ('"example.com/none=x" is not here',)),
    ):
        said = workshop.fails(text.format(name), *options, "--no-cache", more=more)
        assert all(word in said for word in words), said
        assert ">>> RUN --device" in said
    image = workshop.build(two.replace("thing=two", "none=x"), more=more)
    assert workshop.shown(image, "cat", "/n") == ""


def test_proxies_are_seen_by_commands_and_nowhere_else(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN echo $HTTP_PROXY $http_proxy $no_proxy > /n\n"
    proxy = "http://proxy.example:3128"
    first = workshop.build(text, "--build-arg", f"HTTP_PROXY={proxy}", "--build-arg", "no_proxy=local")
    assert workshop.shown(first, "cat", "/n") == f"{proxy} {proxy} local"
    assert workshop.build(text) == first
    assert workshop.build(text, "--build-arg", "HTTPS_PROXY=http://other") == first
    workshop.store.run("save", "-o", f"{workshop.folder}/saved.tar", first)
    config = json.loads(workshop.store.run("image", "inspect", first))[0]
    assert proxy not in json.dumps(config)
    assert proxy not in workshop.store.run("history", "--no-trunc", first)
    declared = text.replace("RUN", "ARG HTTP_PROXY\nRUN")
    second = workshop.attempt(declared, "--build-arg", "HTTP_PROXY=http://a")
    assert "CACHED" not in second.stderr


def test_only_arguments_declared_before_a_command_are_in_its_key(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN echo first > /a\nARG VERSION\nRUN echo second > /b\n"
    workshop.build(text, "--build-arg", "VERSION=1")
    done = workshop.attempt(text, "--build-arg", "VERSION=2")
    assert done.stderr.count("CACHED") == 1
    assert "CACHED [stage-0 1/2]" in done.stderr
    assert workshop.attempt(text, "--build-arg", "VERSION=2").stderr.count("CACHED") == 2


def test_limits_and_hosts(workshop: Workshop) -> None:
    workshop.fresh()
    text = "FROM bb\nRUN busybox df -k /dev/shm | busybox tail -1 > /n; ulimit -n >> /n; cat /etc/hosts >> /n\n"
    options = ("--shm-size", "2m", "--ulimit", "nofile=123:456", "--add-host", "here:10.1.2.3", "--memory", "64m")
    image = workshop.build(text, *options)
    shown = workshop.shown(image, "cat", "/n")
    assert shown.split()[1] == "2048"
    assert shown.split("\n")[1] == "123"
    assert "10.1.2.3\there" in shown
    assert "CACHED" in workshop.attempt(text, *options[:-2], "--memory", "65m").stderr
    assert "CACHED" not in workshop.attempt(text, *options[2:]).stderr


def test_a_layer_of_the_cache_is_searched_for_what_is_a_secret_only_now(workshop: Workshop) -> None:
    workshop.fresh({"env": "TOKEN=late-but-found\n", "plain": "nothing\n"})
    secret, other = f"{workshop.folder}/late", f"{workshop.folder}/other"
    for path, value in ((secret, "late-but-found\n"), (other, "never-anywhere\n")):
        with open(path, "w") as file:
            file.write(value)
    text = "FROM bb AS one\nCOPY env /env\nFROM bb\nCOPY plain /plain\nRUN echo late-but-{} > /said\n{}"
    copied = text.format("not", "COPY --from=one /env /env\n")
    image = workshop.build(copied)
    for _ in range(2):
        said = workshop.fails(copied, "--secret", f"id=token,src={secret}")
        assert 'the secret "token" is in "/env" of the layer' in said
        assert ">>> COPY env /env" in said
    for _ in range(2):
        assert workshop.build(copied, "--secret", f"id=token,src={other}") == image
    run = text.format("found", "")
    workshop.build(run)
    assert 'is in "/said" of the layer' in workshop.fails(run, "--secret", f"id=token,src={secret}")
    assert 'is in "/env" of the layer' in workshop.fails("FROM files\n", "--secret", f"id=token,src={secret}",
        "--build-context", f"files={workshop.context}")  # fmt: skip
