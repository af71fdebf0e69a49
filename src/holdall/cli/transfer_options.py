"""Options that `pull`, `push` and `login` share."""

from __future__ import annotations

from holdall.engine.transfer import TransferOptions
from holdall.errors import InvalidOption

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from holdall.cli.arguments import Parser


def add(parser: Parser, *, credentials: bool = True) -> None:
    """Declare the options. Without `credentials` --creds is left out, where two registries would hear of them."""
    parser.flag("--tls-verify", help="check the registry's certificate (default true)", default=True)
    if credentials:
        parser.value("--creds", help="credentials for this once", metavar="USER:PASSWORD")
    parser.value("--cert-dir", help="folder with CA and client certificates", metavar="DIR")
    parser.value("--concurrency", help="layers moved side by side (default 4)", type=int, default=4, metavar="N")
    parser.value("--retries", help="attempts after a failed one (default 5)", type=int, default=5, metavar="N")


def read(options: Namespace) -> TransferOptions:
    """The options as one value. Raises InvalidOption."""
    credentials = pair("--creds", getattr(options, "creds", None))
    return TransferOptions(options.tls_verify, credentials, options.cert_dir, options.concurrency, options.retries)


def pair(option: str, text: str | None) -> tuple[str, str] | None:
    """User and password of an option's value, None when it was not given. Raises InvalidOption."""
    if text is None:
        return None
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise InvalidOption(f"invalid value for {option}", hint="write USER:PASSWORD")
    return user, password
