"""The files of the result as a tar or a folder: outputs of type tar and local."""

from __future__ import annotations

import os
import threading

from holdall.errors import InvalidOption, PathNotFound
from holdall.layer.entry import Entry, Kind
from holdall.layer.fromfs import Recorder
from holdall.layer.unpack import extract_into
from holdall.layer.walk import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdall.layer.hashing import Writable
    from holdall.oci.platform import Platform

    Roots = Sequence[tuple[str, int]]

CHUNK = 1 << 20


def subfolder(platform: Platform) -> str:
    """The name of one platform's folder: linux_arm64."""
    return str(platform).replace("/", "_")


def write_tar(roots: Roots, out: Writable, epoch: int) -> None:
    """Write the trees below these descriptors as one tar, each below its name ("" for none). Raises OSError."""
    recorder = Recorder(out)
    for name, fd in roots:
        prefix = name.encode()
        if prefix:
            recorder.put(Entry(prefix, Kind.DIRECTORY, 0o755, mtime_ns=epoch * 1_000_000_000))
        for node in walk(fd, one_mount=True):
            path = prefix + b"/" + node.path if prefix else node.path
            recorder.add(path, node.fd, node.name, node.status, empty=node.foreign)
    recorder.close()


def write_folder(roots: Roots, folder: str, epoch: int) -> None:
    """Put the trees into a folder, made if it is missing, as files of the caller's; what is there stays beside them.

    Nothing is written through symlinks that lie there: what is in the way of a folder or file is replaced, and the
    root is not left. Devices are left out, and set-id bits where they were another owner's.
    Raises OSError, InvalidOption, PathNotFound.
    """
    try:
        os.mkdir(folder, 0o755)
    except FileExistsError:
        pass
    except FileNotFoundError as err:
        raise PathNotFound(f'cannot make "{folder}": the folder above is not there') from err
    try:
        target = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError as err:
        raise InvalidOption(f'"{folder}" is no folder', hint="use type=tar,dest=FILE for a tar") from err
    reader, writer = os.pipe2(os.O_CLOEXEC)
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with open(writer, "wb", buffering=CHUNK) as out:
                write_tar(roots, out, epoch)
        except BrokenPipeError:
            pass
        except BaseException as err:  # noqa: BLE001  (raised again by whoever waits)
            failed.append(err)

    thread = threading.Thread(target=write, name="export", daemon=True)
    thread.start()
    try:
        with open(reader, "rb", buffering=CHUNK) as stream:
            extract_into(stream, target, owner=(os.geteuid(), os.getegid()), devices=False)
    except BaseException:
        thread.join()
        if failed:
            raise failed[0] from None
        raise
    finally:
        os.close(target)
    thread.join()
    if failed:
        raise failed[0]
