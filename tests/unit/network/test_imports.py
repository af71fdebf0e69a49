"""The network is on the path of `run`: nothing heavy may come in with it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"dataclasses", "inspect", "typing", "pathlib", "subprocess", "asyncio", "logging", "ipaddress", "re", "json"}


def test_the_network_loads_nothing_heavy():
    names = "bridge veth nat ports ipam files plan forward leaks published host legacy holder sysctl".split()
    code = f"import sys; import {', '.join('holdall.network.' + name for name in names)}; print(*sys.modules)"
    bare = subprocess.run([sys.executable, "-I", "-S", "-c", "import sys; print(*sys.modules)"], capture_output=True)
    paths = "; ".join(f"sys.path.append({path!r})" for path in sys.path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; {paths}; {code}"], capture_output=True, text=True, check=True
    )
    assert not (set(done.stdout.split()) - set(bare.stdout.decode().split())) & HEAVY
