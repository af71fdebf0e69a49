"""Our default seccomp profile, equal in effect to Docker's of June 2026 (moby/profiles, commit cd3bed8).

One difference, towards safety: socket(2)'s family is compared as the `int` the kernel takes it for. Docker compares
64 bits, so that rubbish in the high word gets AF_ALG and AF_VSOCK past its filter.
"""

from __future__ import annotations

import errno

from holdall.linux.seccomp_profile import ALWAYS, Argument, Condition, Profile, Rule

ALLOWED = {
    "files": """
        cachestat close close_range copy_file_range creat dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl fcntl64
        fdatasync flock fsync ftruncate ftruncate64 ioctl _llseek lseek memfd_create memfd_secret name_to_handle_at open
        openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile
        sendfile64 splice sync sync_file_range syncfs tee truncate truncate64 vmsplice write writev
    """,
    "names and attributes": """
        access chdir chmod chown chown32 faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
        fgetxattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat getcwd getdents
        getdents64 getxattr getxattrat lchown lchown32 lgetxattr link linkat listmount listxattr listxattrat llistxattr
        lremovexattr lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat mq_unlink newfstatat readlink readlinkat
        removexattr removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64
        statmount statx symlink symlinkat umask unlink unlinkat utime utimensat utimensat_time64 utimes
    """,
    "memory": """
        brk madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync
        munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages shmat shmctl
        shmdt shmget
    """,
    "processes and identity": """
        capget capset execve execveat exit exit_group fork getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
        getgroups32 getpeername getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32
        getrlimit getrusage getsid gettid getuid getuid32 kill landlock_add_rule landlock_create_ruleset
        landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64 rseq seccomp setfsgid setfsgid32 setfsuid
        setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32
        setresuid setresuid32 setreuid setreuid32 setrlimit setsid set_tid_address setuid setuid32 sysinfo tgkill times
        tkill ugetrlimit uname uretprobe vfork wait4 waitid waitpid
    """,
    "signals and threads": """
        alarm futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getitimer get_robust_list
        get_thread_area pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
        rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo setitimer set_robust_list set_thread_area
        sigaltstack signalfd signalfd4 sigprocmask sigreturn
    """,
    "time and scheduling": """
        adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
        clock_nanosleep clock_nanosleep_time64 getcpu gettimeofday io_pgetevents_time64 ioprio_get ioprio_set
        mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 nanosleep ppoll_time64 pselect6_time64
        recvmmsg_time64 sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min
        sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
        sched_setparam sched_setscheduler sched_yield semtimedop semtimedop_time64 time timer_create timer_delete
        timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
        timerfd_gettime64 timerfd_settime timerfd_settime64
    """,
    "sockets and messages": """
        accept accept4 bind connect getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open msgctl msgget
        msgrcv msgsnd recv recvfrom recvmmsg recvmsg semctl semget semop send sendmmsg sendmsg sendto setsockopt
        shutdown socketcall socketpair
    """,
    "waiting": """
        epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
        eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
        io_getevents io_pgetevents io_setup io_submit _newselect poll ppoll pselect6 select
    """,
    "others": """
        getrandom riscv_hwprobe
    """,
}

# What more a capability of the bounding set allows.
BY_CAPABILITY = {
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

# What only some machines have (Docker's architecture names: those of the host, not of its 32-bit sides).
BY_MACHINE = {
    ("amd64", "x32"): "arch_prctl",
    ("amd64", "x32", "x86"): "modify_ldt",
    ("arm", "arm64"): "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2",
}

AF_ALG, AF_VSOCK = 38, 40
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
NEW_NAMESPACE = 0x7E020000
# PER_LINUX, PER_LINUX32, UNAME26, PER_LINUX32 | UNAME26, "what is it now?"
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

ARCHITECTURES = (
    ("SCMP_ARCH_X86_64", ("SCMP_ARCH_X86", "SCMP_ARCH_X32")),
    ("SCMP_ARCH_AARCH64", ("SCMP_ARCH_ARM",)),
)


def default_profile() -> Profile:
    """The profile with its conditions undecided; `seccomp_profile.resolve` decides them."""
    rules = [_allow(" ".join(ALLOWED.values()))]
    # before 4.8 ptrace could change a call after the filter had seen it
    rules.append(_allow("process_vm_readv process_vm_writev ptrace", includes=Condition(min_kernel=(4, 8))))
    rules += [_allow(names, includes=Condition(arches=arches)) for arches, names in BY_MACHINE.items()]
    rules += [_allow(names, includes=Condition((name,))) for name, names in BY_CAPABILITY.items()]
    for op, family in (("LT", AF_ALG), ("EQ", AF_ALG + 1), ("GT", AF_VSOCK)):
        rules.append(_allow("socket", Argument(0, op, family, 0, 32)))
    rules += [_allow("personality", Argument(0, "EQ", value)) for value in PERSONALITIES]
    without = Condition(("CAP_SYS_ADMIN",))
    rules.append(_allow("clone", Argument(0, "MASKED_EQ", NEW_NAMESPACE, 0), excludes=without))
    # clone3's flags lie in memory, unseen; ENOSYS makes the C library use clone
    rules.append(Rule(("clone3",), "SCMP_ACT_ERRNO", errno.ENOSYS, excludes=without))
    return Profile("SCMP_ACT_ERRNO", errno.EPERM, arch_map=ARCHITECTURES, rules=tuple(rules))


def _allow(names: str, *arguments: Argument, includes: Condition = ALWAYS, excludes: Condition = ALWAYS) -> Rule:
    return Rule(tuple(names.split()), "SCMP_ACT_ALLOW", None, arguments, includes, excludes)
