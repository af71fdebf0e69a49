"""What every process on its way into a container does alike: shed the maker's state, talk, and take the last steps.

Security, for both `init` and `join`:
- The import system is switched off before anything of the container is visible: no module can come from its root.
- The process is not dumpable from its first step to execve(2), so no process of the container without CAP_SYS_PTRACE
  can trace it, read its memory or open its /proc entries (CVE-2016-9962, CVE-2019-5736).
- All descriptors but the standard ones and the status socket are closed first, and that socket is close-on-exec, so
  nothing of the host is inherited (CVE-2024-21626); the working folder is checked to be inside the root.
- An interpreter started by `interpreter.open_readonly` sits on a read-only mount of its own: even a command that
  executes /proc/self/exe cannot get it opened for writing. Without that, `command.find` refuses the direct case only.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import signal
import stat
import sys

from holdall.errors import CommandNotExecutable, CommandNotFound, HoldallError, StartError
from holdall.linux import process, tty
from holdall.runtime import command, credentials, reaper, status, user

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from holdall.oci.runtime_spec import ProcessSpec
    from holdall.runtime.launch import Stdio

HIGH_FD = 10
DEFAULT_UMASK = 0o022


class Child:
    """The state of a process between fork and exec."""

    def __init__(self, sock: socket.socket, stdio: Stdio | None, keep: tuple[int, ...]) -> None:
        """Shed what came from the maker. `keep` are descriptors needed a little longer, all above `HIGH_FD`."""
        gc.disable()
        process.set_dumpable(dumpable=False)
        sys.meta_path.clear()
        sys.path.clear()
        self.sock = sock
        self.doing = "start the container"
        self.own_terminal = False
        if stdio is not None:
            _arrange((stdio.stdin, stdio.stdout, stdio.stderr))
        process.close_all_but((0, 1, 2, sock.fileno(), *keep))
        reset_signals()
        os.setsid()
        os.umask(0)

    def warn(self, text: str) -> None:
        """Report something that was left out."""
        status.send(self.sock, status.WARNING, text)

    def join_cgroups(self, files: tuple[str, ...]) -> None:
        """Write ourselves to each cgroup.procs file."""
        for path in files:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, b"0")
            os.close(fd)

    def set_oom_score(self, score: int | None) -> None:
        """Write /proc/self/oom_score_adj of the host's /proc; a refusal is only a warning."""
        if score is None:
            return
        try:
            write_file("/proc/self/oom_score_adj", str(score))
        except PermissionError:
            self.warn(f"cannot lower oom_score_adj to {score}: not permitted")

    def set_labels(self, spec: ProcessSpec) -> None:
        """The AppArmor profile or SELinux label for the next exec, through the host's /proc."""
        for name, text in (("apparmor", spec.apparmor_profile), ("selinux", spec.selinux_label)):
            if not text:
                continue
            value = f"exec {text}" if name == "apparmor" else text
            path = f"/proc/self/attr/{name}/exec"
            try:
                write_file(path if os.path.exists(path) else "/proc/self/attr/exec", value)
            except OSError as err:
                raise StartError(f'cannot apply {name} label "{text}": {(err.strerror or "").lower()}') from err

    def adopt_terminal(self, other: int) -> None:
        """Make a pseudo-terminal's other end our standard streams and controlling terminal."""
        for number in (0, 1, 2):
            os.dup2(other, number)
        os.close(other)
        tty.make_controlling(0)
        self.own_terminal = True

    def _give_streams(self, uid: int) -> None:
        """Pipes and our own terminal belong to the user, or one that is not root could not open /dev/stdout again."""
        for number in (0, 1, 2):
            found = os.fstat(number)
            if found.st_uid == uid or not (stat.S_ISFIFO(found.st_mode) or self.own_terminal):
                continue
            try:
                os.fchown(number, uid, -1)
            except OSError as err:
                if err.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):
                    raise

    def await_proceed(self) -> None:
        """Wait for the maker's byte; when the maker is gone, so are we."""
        if not self.sock.recv(1):
            os._exit(StartError.exit_code)

    def finish(
        self,
        spec: ProcessSpec,
        who: tuple[str | None, tuple[str, ...]],
        seccomp: Callable[[], None] | None,
        *,
        init: bool = False,
    ) -> None:
        """Inside the root: user, working folder, privileges, command. Returns only by raising."""
        self.doing = "find the user"
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        account = user.resolve(who[0], spec.user.uid, spec.user.gid, who[1], root)
        os.close(root)
        environ = command.environment(spec.env, account.home, terminal=spec.terminal)
        self._give_streams(account.uid)
        later = not _change_folder(spec.cwd, strict=False)
        self.doing = "set the process's privileges"
        os.umask(DEFAULT_UMASK if spec.user.umask is None else spec.user.umask)
        found: list[str] = []

        def look() -> None:
            if later:
                _change_folder(spec.cwd, strict=True)
            _check_folder()
            found.append(command.find(spec.args, environ))
            process.cloexec_from(3)

        credentials.become(spec, account, look, seccomp, self.warn)
        self.doing = "execute the command"
        if init:
            reaper.fork(self.sock, spec.args, terminal=spec.terminal)
        status.send(self.sock, status.EXECUTING)
        raise command.execute(found[0], spec.args, environ)


def run(sock: socket.socket, make: Callable[[], Child], body: Callable[[Child], None]) -> None:
    """Make a Child and run `body` on it; whatever goes wrong is reported, and the process ends here."""
    child: Child | None = None
    error: HoldallError
    try:
        child = make()
        body(child)
        error = StartError("the container's first process came back from its command")
    except HoldallError as err:
        error = err
    except OSError as err:
        error = _explain("start the container" if child is None else child.doing, err)
    except BaseException as err:  # noqa: BLE001  (nothing may unwind into the maker's frames)
        error = StartError(f"internal error in the container's first process: {type(err).__name__}: {err}")
    try:
        status.send_failure(sock, error)
    finally:
        os._exit(error.exit_code if error.exit_code > 1 else StartError.exit_code)


def _explain(doing: str, err: OSError) -> StartError:
    reason = (err.strerror or str(err)).lower()
    what = os.fsdecode(err.filename) if isinstance(err.filename, (str, bytes)) else ""
    return StartError(f'cannot {doing}: "{what}": {reason}' if what else f"cannot {doing}: {reason}")


def reset_signals() -> None:
    """Default action for every signal, none blocked: nothing of the maker's shows in the container."""
    for number in range(1, signal.NSIG):
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def write_file(path: str, text: str, dir_fd: int | None = None) -> None:
    """One write(2) to an existing file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _arrange(sources: tuple[int, int, int]) -> None:
    """dup2 to 0, 1, 2 by way of high numbers, since the sources may be any of them in any order."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD) for fd in sources]
    for number, fd in enumerate(high):
        os.dup2(fd, number)


def _change_folder(path: str, *, strict: bool) -> bool:
    """chdir; False when not permitted yet and not `strict`. Raises CommandNotFound or CommandNotExecutable."""
    try:
        os.chdir(path)
    except OSError as err:
        if err.errno == errno.EACCES and not strict:
            return False
        kind = CommandNotFound if err.errno == errno.ENOENT else CommandNotExecutable
        raise kind(f'chdir to working directory "{path}" failed: {(err.strerror or "").lower()}') from err
    return True


def _check_folder() -> None:
    try:
        inside = os.getcwd().startswith("/")
    except FileNotFoundError:
        inside = False
    if not inside:
        raise StartError("the working directory is outside of the container's root")
