//! A host: a thread with a network namespace of its own, and in it a TUN device that leads to the link.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use crate::driver::Missing;
use crate::ladder::EPHEMERAL;
use crate::recording::State;
use crate::scene;

const DEVICE: &str = "link0";

/// What would otherwise differ between machines, or between the first connection and the second.
const PINNED: [(&str, &str); 12] = [
    ("ipv4/tcp_congestion_control", "reno"),
    ("ipv4/tcp_autocorking", "0"),
    ("ipv4/tcp_no_metrics_save", "1"),
    ("ipv4/tcp_ecn", "0"),
    ("ipv4/tcp_rmem", "4096 131072 6291456"),
    ("ipv4/tcp_wmem", "4096 16384 4194304"),
    // Who joins a group says so once, and not again after a random time.
    ("ipv4/igmp_qrv", "1"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    // These two follow the size of a table that is small here.
    ("ipv4/tcp_max_syn_backlog", "2048"),
    ("ipv4/tcp_max_tw_buckets", "131072"),
];

/// How many buckets a host's table of connections has. It is walked each time that states are read, and the machine's
/// own, which hosts would share, has hundreds of thousands.
const BUCKETS: &str = "1024";

type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Host {
    jobs: Sender<Job>,
    /// Packets that the host sends are read here, and those that it gets are written.
    pub(super) device: OwnedFd,
    pub(super) addresses: Vec<IpAddr>,
}

impl Host {
    pub(super) fn new(host: &scene::Host, mtu: u16, with_ipv6: bool) -> Result<Host> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (sender, made) = mpsc::channel();
        let settings = host.clone();
        thread::Builder::new()
            .name(host.name.clone())
            .spawn(move || {
                let device = set_up(&settings, mtu, with_ipv6);
                if sender.send(device).is_ok() {
                    queue.iter().for_each(|job| job());
                }
            })
            .context("start a thread")?;
        let device = made
            .recv()
            .context("a host's thread ended")?
            .with_context(|| format!("set up the host {}", host.name))?;
        Ok(Host {
            jobs,
            device,
            addresses: host.addresses.clone(),
        })
    }

    /// Does something on the host: what it opens, and every process it starts, belongs to the host's network.
    pub(super) fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R> {
        let (sender, result) = mpsc::channel();
        self.jobs
            .send(Box::new(move || {
                let _ = sender.send(work());
            }))
            .map_err(|_| anyhow!("a host's thread ended"))?;
        result.recv().context("a host's thread ended")
    }

    /// How many sockets wait for clients or datagrams.
    pub(super) fn listening(&self) -> Result<usize> {
        self.run(|| {
            // /proc/self/net would be that of the main thread.
            let tables = ["tcp", "tcp6", "udp", "udp6"];
            let lines = |table| {
                fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default()
            };
            tables
                .map(lines)
                .iter()
                .flat_map(|table| table.lines().skip(1))
                // TCP_LISTEN, and TCP_CLOSE, which is what an unconnected UDP socket says.
                .filter(|line| matches!(line.split_whitespace().nth(3), Some("0A" | "07")))
                .count()
        })
    }
}

/// The TCP sockets of this thread's network, with their states.
pub(super) fn states() -> Vec<(SocketAddr, SocketAddr, State)> {
    let mut states = Vec::new();
    for table in ["tcp", "tcp6"] {
        let path = format!("/proc/thread-self/net/{table}");
        let text = fs::read_to_string(path).unwrap_or_default();
        states.extend(text.lines().skip(1).filter_map(socket_of));
    }
    states
}

/// A line such as `0: 0100007F:1F90 00000000:0000 0A …`: addresses, ports and state in hexadecimal.
fn socket_of(line: &str) -> Option<(SocketAddr, SocketAddr, State)> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (end(words.next()?)?, end(words.next()?)?);
    let state = State::of_linux(u8::from_str_radix(words.next()?, 16).ok()?)?;
    Some((local, remote, state))
}

/// An address is written as words of four bytes, each in the byte order of the machine.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(address, port))
}

fn set_up(host: &scene::Host, mtu: u16, with_ipv6: bool) -> Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .context("make a network namespace")?;
    // The first one only says how large the tables of the next one are. Before Linux 6.1 it can't, and all is slower.
    if set("ipv4/tcp_child_ehash_entries", BUCKETS).is_ok() {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
    }
    let ipv6 = if with_ipv6 { "0" } else { "1" };
    let last = EPHEMERAL + host.ports.max(1) - 1;
    let ports = format!("{EPHEMERAL} {last}");
    let pinned = PINNED.into_iter().chain([
        ("ipv6/conf/all/disable_ipv6", ipv6),
        ("ipv6/conf/default/disable_ipv6", ipv6),
        ("ipv4/ip_local_port_range", &ports),
    ]);
    for (name, value) in pinned {
        set(name, value)?;
    }
    look_up_by_scene(host)?;
    up("lo", None)?;
    let device = open_device()?;
    up(DEVICE, Some(mtu))?;
    for (number, address) in host.addresses.iter().enumerate() {
        give(*address, number).with_context(|| format!("give it the address {address}"))?;
    }
    for (name, value) in &host.sysctl {
        set(name, value)?;
    }
    Ok(device)
}

fn set(name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{name}");
    if name.contains("ipv6") && !Path::new("/proc/sys/net/ipv6").exists() {
        return Ok(()); // a kernel without IPv6 has nothing to switch off
    }
    fs::write(&path, value).with_context(|| format!("write {value:?} to {path}"))
}

/// Puts the scene's names and name server in the place of this machine's, for this host only.
fn look_up_by_scene(host: &scene::Host) -> Result<()> {
    if host.names.is_empty() && host.resolver.is_none() {
        return Ok(());
    }
    let mut names = String::new();
    for (name, addresses) in &host.names {
        for address in addresses {
            names += &format!("{address} {name}\n");
        }
    }
    let resolver = host
        .resolver
        .map_or(String::new(), |address| format!("nameserver {address}\n"));
    let none = None::<&str>;
    mount(none, "/tmp", Some("tmpfs"), MsFlags::empty(), none).context("mount a tmpfs")?;
    for (file, text) in [
        ("hosts", names.as_str()),
        ("resolv.conf", &resolver),
        ("nsswitch.conf", "hosts: files dns\n"),
    ] {
        let path = format!("/tmp/{file}");
        fs::write(&path, text).with_context(|| format!("write {path}"))?;
        mount(
            Some(path.as_str()),
            format!("/etc/{file}").as_str(),
            none,
            MsFlags::MS_BIND,
            none,
        )
        .with_context(|| format!("mount over /etc/{file}"))?;
    }
    umount("/tmp").context("unmount the tmpfs")
}

fn open_device() -> Result<OwnedFd> {
    const PATH: &str = "/dev/net/tun";
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(PATH);
    let missing = |why: &str| anyhow!(Missing(format!("{PATH}: {why}")));
    let file: File = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => missing("there is no such device; in a container, pass it in"),
        Some(libc::EACCES) => missing("this user may not open it; `chmod 666` is the usual mode"),
        Some(libc::EPERM) => missing("a container's device rules forbid it"),
        Some(libc::ENODEV) => missing("the kernel module tun is not loaded: modprobe tun"),
        _ => anyhow!(error).context(format!("open {PATH}")),
    })?;
    let mut request = request(DEVICE);
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as _;
    control(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request).context("make a TUN device")?;
    Ok(file.into())
}

/// Switches an interface on. The link's has no multicast: nothing but what programs send crosses the link.
fn up(name: &str, mtu: Option<u16>) -> Result<()> {
    let socket = socket(libc::AF_INET)?;
    let mut settings = request(name);
    if let Some(mtu) = mtu {
        settings.ifr_ifru.ifru_mtu = mtu.into();
        control(socket.as_raw_fd(), libc::SIOCSIFMTU as _, &mut settings)
            .with_context(|| format!("set the MTU of {name} to {mtu}"))?;
    }
    let mut flags = request(name);
    control(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &mut flags)?;
    // SAFETY: the kernel has just filled this field.
    let now = unsafe { flags.ifr_ifru.ifru_flags };
    flags.ifr_ifru.ifru_flags = (now | libc::IFF_UP as i16) & !(libc::IFF_MULTICAST as i16);
    control(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &mut flags)
        .with_context(|| format!("switch {name} on"))
}

/// Gives the link's interface its address with that number, with 255 others in reach.
fn give(address: IpAddr, number: usize) -> Result<()> {
    match address {
        IpAddr::V4(address) => {
            let socket = socket(libc::AF_INET)?;
            // The same name would replace the address before.
            let name = match number {
                0 => DEVICE.to_string(),
                _ => format!("{DEVICE}:{number}"),
            };
            for (code, address) in [
                (libc::SIOCSIFADDR, address),
                (libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0)),
            ] {
                let mut settings = request(&name);
                settings.ifr_ifru.ifru_addr = socket_address(address);
                control(socket.as_raw_fd(), code as _, &mut settings)?;
            }
            Ok(())
        }
        IpAddr::V6(address) => {
            let name = CString::new(DEVICE)?;
            // SAFETY: the name ends with a zero and outlives the call.
            let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
            let mut settings = Ipv6Request {
                address,
                prefix: 64,
                index: index as i32,
            };
            let socket = socket(libc::AF_INET6)?;
            control(socket.as_raw_fd(), libc::SIOCSIFADDR as _, &mut settings)?;
            until_usable(address)
        }
    }
}

/// The kernel lets an IPv6 address be used a moment after it was given, also where it asks nobody whether it is taken.
fn until_usable(address: Ipv6Addr) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        match UdpSocket::bind((address, 0)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error).context("wait for it"),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// `struct in6_ifreq` of the kernel's `include/uapi/linux/ipv6.h`.
#[repr(C)]
struct Ipv6Request {
    address: Ipv6Addr,
    prefix: u32,
    index: i32,
}

fn request(name: &str) -> libc::ifreq {
    // SAFETY: a struct of integers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut bytes = [0; 14];
    bytes[2..6].copy_from_slice(&address.octets()); // after the port
    libc::sockaddr {
        sa_family: libc::AF_INET as _,
        sa_data: bytes.map(|byte: u8| byte as libc::c_char),
    }
}

fn socket(family: libc::c_int) -> Result<OwnedFd> {
    // SAFETY: the call takes no pointers, and the descriptor is nobody else's.
    unsafe {
        let descriptor = libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if descriptor < 0 {
            return Err(io::Error::last_os_error()).context("open a socket for settings");
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

fn control<T>(descriptor: libc::c_int, code: libc::c_ulong, argument: &mut T) -> Result<()> {
    // SAFETY: every code here takes a pointer to a struct of the type that its caller passes.
    if unsafe { libc::ioctl(descriptor, code as _, std::ptr::from_mut(argument)) } < 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_is_read() {
        // As a little-endian machine writes it.
        if cfg!(target_endian = "big") {
            return;
        }
        for (line, local, remote, state) in [
            (
                "   0: 0200000A:1B6E 0100000A:9C40 08 00000000:00000000 00:00000000 00000000  1000 0 7 1",
                "10.0.0.2:7022",
                "10.0.0.1:40000",
                State::CloseWait,
            ),
            (
                "   1: 000000FD000000000000000002000000:1B59 00000000000000000000000000000000:0000 0A 0:0",
                "[fd00::2]:7001",
                "[::]:0",
                State::Listen,
            ),
            (
                "   2: 0000000000000000FFFF00000200000A:1B59 0000000000000000FFFF00000100000A:9C40 0C 0:0",
                "10.0.0.2:7001",
                "10.0.0.1:40000",
                State::SynReceived,
            ),
        ] {
            let wanted = (local.parse().unwrap(), remote.parse().unwrap(), state);
            assert_eq!(socket_of(line), Some(wanted), "{line}");
        }
        assert_eq!(socket_of("  sl  local_address rem_address   st"), None);
        assert_eq!(socket_of("0: 0200000A:1B6E 0100000A:9C40 63 0:0"), None);
    }
}
