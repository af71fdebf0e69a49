"""`holdall registry serve`."""

from __future__ import annotations

from holdall.cli import registry_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser
    from holdall.cli.state import State

HELP = (
    "Serve images to this machine or to others (OCI distribution-spec 1.1), until interrupted. Without credentials it"
    " listens on loopback only."
)


def arguments(parser: Parser) -> None:
    """Options of the command."""
    parser.value(
        "--addr", help="where to listen (default 127.0.0.1:5000)", metavar="HOST:PORT", default="127.0.0.1:5000"
    )
    registry_options.add(parser)
    parser.flag("--s3-redirect", help="send clients to the object store for blobs (default true)", default=True)
    parser.value("--scratch", help="with s3://…: folder for what is under way on this machine", metavar="DIR")
    parser.value("--access", help="file of users and rules by repository, read again when it changes", metavar="FILE")
    parser.value("--htpasswd", help="users and their bcrypt hashes (htpasswd -B), read again on change", metavar="FILE")
    parser.flag("--anonymous-pull", help="with --htpasswd or --tokens: pulling needs no log-in")
    parser.flag("--tokens", help="give out signed tokens at /token, and ask clients for them (Docker's scheme)")
    parser.value("--tls-cert", help="certificate chain (PEM), loaded again when it changes", metavar="FILE")
    parser.value("--tls-key", help="its key, unless it is in the same file", metavar="FILE")
    parser.flag("--tls-generate", help="make an authority and a certificate, keep them in the storage, renew them")
    parser.values("--tls-name", help="with --tls-generate: a host name or address clients use", metavar="NAME")
    parser.flag("--web", help="a page for people at /ui/: repositories, tags, layers; who may pull may look")
    parser.value("--mirrors", help="file of registries to serve through this one, read again on change", metavar="FILE")
    parser.value("--policy", help="file of retention rules and quotas, read again on change", metavar="FILE")
    parser.value("--access-log", help='a JSON line for each request; "-" is standard error', metavar="FILE")
    parser.value("--audit-log", help="a JSON line for each change and each refusal", metavar="FILE")
    parser.value("--workers", help="processes that serve (default: the processors, 4 at most)", metavar="N", type=int)
    parser.value("--max-blob", help="largest blob (default 1TiB)", metavar="SIZE", default="1t")
    parser.value(
        "--drain", help="how long requests may go on after SIGTERM (default 30s)", metavar="DURATION", default="30s"
    )
    parser.value("--gc-every", help="time between collections (default 1h; 0s: none)", metavar="DURATION", default="1h")
    parser.value(
        "--gc-lease",
        help="how long unused blobs are kept for pushes under way (default 1h)",
        metavar="DURATION",
        default="1h",
    )
    parser.value("--gc-untagged", help="age at which manifests without a tag go (default: never)", metavar="DURATION")


def main(state: State, options: Namespace) -> int:
    """Run the command."""
    from holdall.engine.syntax import parse_size
    from holdall.engine.times import parse_duration
    from holdall.registry.server.options import ServeOptions, address, default_workers
    from holdall.registry.server.serve import serve

    where = registry_options.read(options, redirect=options.s3_redirect, scratch=options.scratch or "")
    host, port = address(options.addr)
    chosen = ServeOptions(
        storage=options.storage,
        where=where,
        host=host,
        port=port,
        access_file=options.access or "",
        htpasswd=options.htpasswd or "",
        anonymous_pull=options.anonymous_pull,
        tokens=options.tokens,
        tls_cert=options.tls_cert or "",
        tls_key=options.tls_key or "",
        tls_generate=options.tls_generate,
        tls_names=tuple(options.tls_name),
        web=options.web,
        mirrors=options.mirrors or "",
        policy=options.policy or "",
        access_log=options.access_log or "",
        audit_log=options.audit_log or "",
        workers=default_workers() if options.workers is None else options.workers,
        max_blob=parse_size(options.max_blob, "--max-blob"),
        drain=parse_duration(options.drain) / 1e9,
        gc_every=parse_duration(options.gc_every) / 1e9,
        lease=parse_duration(options.gc_lease) / 1e9,
        untagged=-1.0 if options.gc_untagged is None else parse_duration(options.gc_untagged) / 1e9,
    )

    def ready(url: str) -> None:
        state.note(f"serving {options.storage} on {url}")
        if chosen.tls_generate:
            for line in chosen.certificates().advice(int(url.rpartition(":")[2])):
                state.note(line)

    return serve(chosen, ready)
