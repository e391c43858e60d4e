//! The namespaces that hold a scene, made without being root.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getgid, getuid};

use crate::driver::Missing;

/// A folder that every Linux has and nobody's repository lies in.
const SCRATCH: &str = "/dev/shm";

/// Moves into new user, mount and process namespaces and goes on there as a child, which is the first process of
/// its namespace: when it ends, or when we are killed, the kernel kills every process that it started.
///
/// The process must have a single thread. The parent does not return; it ends as the child ends.
pub(crate) fn enter() -> Result<()> {
    let (uid, gid) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID).map_err(
        |errno| match errno {
            Errno::ENOSPC => anyhow!(Missing(
                "user namespaces are used up or switched off: see /proc/sys/user/max_user_namespaces".to_string()
            )),
            Errno::EPERM => anyhow!(Missing(
                "this process may not make a user namespace: a container's seccomp filter or \
                 kernel.unprivileged_userns_clone=0 forbids it"
                    .to_string()
            )),
            Errno::EINVAL => anyhow!("a user namespace can't be made by a process with threads"),
            Errno::ENOSYS => anyhow!(Missing("this kernel has no user namespaces".to_string())),
            errno => anyhow!(errno).context("make a user namespace"),
        },
    )?;
    // Not 0: programs must not have the right to bind port 80 that a reader does not have.
    let maps = [
        ("setgroups", "deny".to_string()),
        ("uid_map", format!("1000 {uid} 1")),
        ("gid_map", format!("1000 {gid} 1")),
    ];
    for (file, map) in maps {
        fs::write(format!("/proc/self/{file}"), map).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => anyhow!(Missing(format!(
                "/proc/self/{file} can't be written: AppArmor restricts user namespaces here \
                 (on Ubuntu: kernel.apparmor_restrict_unprivileged_userns)"
            ))),
            _ => anyhow!(error).context(format!("write /proc/self/{file}")),
        })?;
    }
    // What is mounted for a host stays with that host.
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .context("make the mounts private")?;
    // A place for files that is empty at first, and goes with the scene.
    if Path::new(SCRATCH).is_dir() {
        mount(
            None::<&str>,
            SCRATCH,
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("mount a tmpfs over {SCRATCH}"))?;
    }

    let (alive, parent) = io::pipe().context("make a pipe")?;
    // SAFETY: the process has a single thread, so the child may do whatever the parent could.
    match unsafe { fork() }.context("fork into the process namespace")? {
        ForkResult::Parent { child } => {
            drop(alive);
            let status = loop {
                match waitpid(child, None) {
                    Err(Errno::EINTR) => {}
                    status => break status,
                }
            };
            drop(parent);
            std::process::exit(match status {
                Ok(WaitStatus::Exited(_, code)) => code,
                _ => 1,
            });
        }
        ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
                .context("ask to end with the parent")?;
            drop(parent);
            // If the parent has gone already, no signal will come, but its end of the pipe is closed. And the
            // process that wants the scene holds the other end of our standard input.
            std::thread::Builder::new()
                .name("parents".to_string())
                .spawn(move || {
                    let input = io::stdin();
                    let mut ends = [alive.as_fd(), input.as_fd()]
                        .map(|end| PollFd::new(end, PollFlags::empty()));
                    while poll(&mut ends, PollTimeout::NONE).is_err() {}
                    std::process::exit(1);
                })
                .context("watch the parents")?;
            Ok(())
        }
    }
}
