"""Programs for other Python interpreters: PROBE asks where modules come from (Python 2.7 and later), COMPILE
compiles the files named on stdin and writes each as length and bytes, length 0 for one that does not compile.
"""

from __future__ import annotations

MARK = "\x1eholdall "

PROBE = r"""
import json, os, sys, sysconfig

def redirections():
    found = {}
    for finder in sys.meta_path:
        module = sys.modules.get(getattr(finder, "__module__", None) or "")
        for holder, name in ((module, "MAPPING"), (module, "NAMESPACES"), (finder, "_redirections")):
            mapping = getattr(holder, name, None)
            if isinstance(mapping, dict):
                for key, value in mapping.items():
                    values = value if isinstance(value, (list, tuple)) else [value]
                    found[str(key)] = [str(one) for one in values]
    return found

def cafile():
    try:
        import ssl
        return ssl.get_default_verify_paths().openssl_cafile
    except Exception:
        return ""

def user_site():
    try:
        import site
        return site.getuserbase(), site.getusersitepackages()
    except Exception:
        return "", ""

base, packages = user_site()
print("\x1eholdall " + json.dumps({
    "version": list(sys.version_info[:3]),
    "executable": sys.executable or "",
    "base_executable": getattr(sys, "_base_executable", None) or "",
    "prefix": sys.prefix,
    "base_prefix": getattr(sys, "base_prefix", sys.prefix),
    "stdlib": [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")],
    "os_module": os.path.dirname(os.__file__),
    "path": [one for one in sys.path if one],
    "cache_tag": getattr(getattr(sys, "implementation", None), "cache_tag", None) or "",
    "redirections": redirections(),
    "cafile": cafile(),
    "user_base": base,
    "user_site": packages,
}))
"""

COMPILE = r"""
import marshal, struct, sys, warnings
from importlib.util import MAGIC_NUMBER

warnings.simplefilter("ignore")
epoch = int(sys.argv[1])
flags = b"\0\0\0\0" if sys.version_info >= (3, 7) else b""
for line in sys.stdin.buffer.read().split(b"\0"):
    source = line.decode("utf-8", "surrogateescape")
    try:
        with open(source, "rb") as file:
            text = file.read()
        code = compile(text, source, "exec", dont_inherit=True, optimize=0)
        stamp = struct.pack("<II", epoch & 0xFFFFFFFF, len(text) & 0xFFFFFFFF)
        made = MAGIC_NUMBER + flags + stamp + marshal.dumps(code)
    except Exception:
        made = b""
    sys.stdout.buffer.write(struct.pack("<Q", len(made)) + made)
sys.stdout.buffer.flush()
"""
