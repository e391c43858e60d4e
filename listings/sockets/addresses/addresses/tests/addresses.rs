mod namespace;
mod support;

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::process::Command;

use support::{DEADLINE, Program, again, python};

const VALUES: &str = env!("CARGO_BIN_EXE_addresses-values");
const LOOK_UP: &str = env!("CARGO_BIN_EXE_addresses-look-up");
const TRY_ALL: &str = env!("CARGO_BIN_EXE_addresses-try-all");
const LISTEN: &str = env!("CARGO_BIN_EXE_addresses-listen");
const LOCALHOST: &str = env!("CARGO_BIN_EXE_addresses-localhost");
const EVERYWHERE: &str = env!("CARGO_BIN_EXE_addresses-everywhere");

/// What a program without arguments prints; it must succeed.
fn output_of(command: &mut Command) -> Vec<String> {
    let (status, stdout, stderr) = Program::start(command).finish();
    assert!(status.success(), "{stderr:?}");
    stdout
}

/// The one line that a program leaves on stderr; it must fail.
fn error_of(command: &mut Command) -> String {
    let (status, _, stderr) = Program::start(command).finish();
    assert!(!status.success());
    assert_eq!(stderr.len(), 1, "{stderr:?}");
    stderr[0].clone()
}

/// Whether this host has the IPv6 loopback address; says so where it has not.
fn has_ipv6() -> bool {
    match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => true,
        Err(error) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "IPv6 is missing, and CI needs it: {error}"
            );
            eprintln!(
                "skipped: needs the address ::1, which is not on this host: {error}"
            );
            false
        }
    }
}

#[test]
fn an_address_holds_what_the_chapter_says() {
    assert_eq!(
        output_of(&mut Command::new(VALUES)),
        [
            "192.0.2.7:7001: host 192.0.2.7, port 7001",
            "[2001:db8::7]:7001: host 2001:db8::7, port 7001",
            "[fe80::7%2]:7001: scope 2, flow info 0",
            "[fe80::7%2]:7001 == [fe80::7%3]:7001: false",
            "port 7001 travels as 0x1b 0x59",
            "in the wrong order it is port 22811",
            "192.0.2.7 travels as [192, 0, 2, 7]",
            "192.0.2.7 is the same host",
        ]
    );
}

#[test]
fn flow_info_makes_another_address_too() {
    let plain = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7001, 0, 0);
    let flow = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7001, 1, 0);
    assert_ne!(plain, flow);
}

#[test]
fn a_numeric_address_comes_back_as_it_is() {
    let lines = output_of(Command::new(LOOK_UP).arg("192.0.2.7:7001"));
    assert_eq!(lines, ["192.0.2.7:7001"]);
    let lines = output_of(Command::new(LOOK_UP).arg("[2001:db8::7]:7001"));
    assert_eq!(lines, ["[2001:db8::7]:7001"]);
}

#[test]
fn a_port_is_part_of_the_address() {
    assert_eq!(
        error_of(Command::new(LOOK_UP).arg("192.0.2.7")),
        "addresses-look-up: 192.0.2.7: invalid socket address"
    );
}

#[test]
fn connect_tries_every_address_and_reports_the_last() {
    let lines = output_of(&mut Command::new(TRY_ALL));
    assert_eq!(lines[0], "the second one answered: true");
    assert!(lines[1].starts_with("nobody answered: "), "{lines:?}");
    assert!(!lines[1].contains("127.0.0.1"), "{lines:?}");
}

#[test]
fn a_datagram_goes_to_the_first_address_only() {
    if !has_ipv6() {
        return;
    }
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(DEADLINE)).unwrap();
    let right = receiver.local_addr().unwrap();
    let wrong = SocketAddr::from((Ipv6Addr::LOCALHOST, right.port()));

    // The first one is of the wrong family for this socket; the second is never tried.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(sender.send_to(b"first", &[wrong, right][..]).is_err());
    sender.send_to(b"second", &[right, wrong][..]).unwrap();
    let mut buffer = [0; 16];
    let n = again(|| receiver.recv(&mut buffer)).unwrap();
    assert_eq!(&buffer[..n], b"second");
}

#[test]
fn port_0_gives_each_listener_a_port_of_its_own() {
    let lines =
        output_of(Command::new(LISTEN).args(["127.0.0.1:0", "127.0.0.1:0"]));
    assert_eq!(lines.len(), 2);
    assert_ne!(lines[0], lines[1]);
    for line in &lines {
        assert!(line.starts_with("listening on 127.0.0.1:"), "{line}");
        assert!(!line.ends_with(":0"), "{line}");
    }
}

#[test]
#[cfg(not(windows))] // whose resolver takes it for all addresses of this host
fn the_empty_host_is_nobody_in_rust() {
    let error = error_of(Command::new(LISTEN).arg(":0"));
    assert!(error.starts_with("addresses-listen: bind :0: "), "{error}");
}

#[test]
fn all_addresses_of_this_host_have_an_address() {
    let lines = output_of(Command::new(LISTEN).arg("0.0.0.0:0"));
    assert!(lines[0].starts_with("listening on 0.0.0.0:"), "{lines:?}");
}

#[test]
fn the_empty_host_is_everybody_in_python() {
    let Some(mut python) = python("python/empty-host.py") else {
        return;
    };
    assert_eq!(output_of(&mut python), ["bound 0.0.0.0"]);
}

#[test]
fn a_foreign_address_is_not_available() {
    // Reserved for documentation, so no host has it.
    let error = error_of(Command::new(LISTEN).arg("203.0.113.77:0"));
    let expected = "addresses-listen: bind 203.0.113.77:0: ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn whatever_localhost_is_here_127_0_0_1_is_served_by_its_own_listener() {
    let lines = output_of(&mut Command::new(LOCALHOST));
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(lines[3], "connect 127.0.0.1: connected");
}

#[test]
fn an_ipv6_listener_takes_ipv4_clients_only_if_it_is_told_to() {
    let lines = output_of(&mut Command::new(EVERYWHERE));
    if !has_ipv6() {
        return;
    }
    assert_eq!(lines[0], "IPv6 only: true");
    assert!(lines[1].starts_with("  an IPv4 client gets: "), "{lines:?}");
    assert_eq!(
        lines[2..5],
        [
            "IPv6 only: false",
            "  an IPv4 client is ::ffff:127.0.0.1, loopback: false",
            "  in its own form 127.0.0.1, loopback: true",
        ]
    );
    assert!(lines[5].starts_with("listening on [::]:"), "{lines:?}");
}

#[cfg(target_os = "linux")]
mod on_linux {
    use std::io::ErrorKind;
    use std::net::{TcpStream, ToSocketAddrs};

    use super::*;
    use namespace::{ALL, FILES, namespace, replace};

    /// A hosts file as many systems have it.
    const BOTH: &str = "127.0.0.1 localhost\n::1 localhost\n";

    /// Names come from these hosts alone: nothing is asked over the network, and no setting of
    /// this machine changes their order.
    fn hosts(test: &str, hosts: &str) -> String {
        let ranking = replace("/etc/gai.conf", test, "");
        [
            replace("/etc/hosts", test, hosts),
            replace("/etc/nsswitch.conf", test, "hosts: files\n"),
            format!("[ ! -e /etc/gai.conf ] || {ranking}"),
        ]
        .concat()
    }

    #[test]
    fn only_the_resolver_knows_the_name_of_a_scope() {
        assert!("[fe80::7%lo]:7001".parse::<SocketAddr>().is_err());
        if !has_ipv6() {
            return;
        }
        // "lo" is interface number 1 of every network namespace.
        let addrs = ("fe80::7%lo", 7001).to_socket_addrs().unwrap();
        assert_eq!(
            addrs.collect::<Vec<_>>(),
            ["[fe80::7%1]:7001".parse().unwrap()]
        );
    }

    #[test]
    fn a_link_local_address_without_its_scope_is_invalid() {
        if !has_ipv6() {
            return;
        }
        let error = TcpStream::connect("[fe80::7]:7001").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }

    #[test]
    fn the_free_port_is_from_the_ephemeral_range() {
        let setup = "ip link set lo up\n\
            echo 40000 40001 > /proc/sys/net/ipv4/ip_local_port_range";
        let Some(mut command) = namespace(&ALL, setup) else {
            return;
        };
        command.args([LISTEN, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"]);
        let (status, mut stdout, stderr) =
            Program::start(&mut command).finish();
        stdout.sort();
        let two = [
            "listening on 127.0.0.1:40000",
            "listening on 127.0.0.1:40001",
        ];
        assert_eq!(stdout, two);
        assert!(!status.success());
        assert_eq!(
            stderr,
            [
                "addresses-listen: bind 127.0.0.1:0: Address already in use (os error 98)"
            ]
        );
    }

    #[test]
    fn a_client_can_hold_the_port_that_a_server_wants() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect_timeout(
            &listener.local_addr().unwrap(),
            DEADLINE,
        )
        .unwrap();
        let error =
            TcpListener::bind(client.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    }

    #[test]
    fn every_address_of_127_is_this_host() {
        let listener = TcpListener::bind("127.200.30.4:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let stream = TcpStream::connect_timeout(&addr, DEADLINE).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addr);

        // One port, two addresses: two listeners. Somebody else may have one of them; try again.
        let two = (0..16).find_map(|_| {
            let first = TcpListener::bind("127.200.30.4:0").ok()?;
            let port = first.local_addr().ok()?.port();
            let second = TcpListener::bind(("127.200.30.5", port)).ok()?;
            Some((first, second))
        });
        assert!(two.is_some());
    }

    #[test]
    fn a_low_port_needs_permission() {
        // A user who is nobody in a new namespace keeps no capabilities when a program starts.
        let Some(mut command) = namespace(&["--user", "--net"], "") else {
            return;
        };
        let error = error_of(command.args([LISTEN, "0.0.0.0:80"]));
        assert_eq!(
            error,
            "addresses-listen: bind 0.0.0.0:80: Permission denied (os error 13)"
        );
    }

    #[test]
    fn a_capability_or_a_setting_opens_low_ports() {
        let options = ["--user", "--map-root-user", "--net"];
        let Some(mut command) = namespace(&options, "") else {
            return;
        };
        let lines = output_of(command.args([LISTEN, "0.0.0.0:80"]));
        assert_eq!(lines, ["listening on 0.0.0.0:80"]);

        // Without any capability, and with the limit lowered to 80.
        let setup = "echo 80 > /proc/sys/net/ipv4/ip_unprivileged_port_start\n\
            set -- setpriv --bounding-set -all --inh-caps -all \"$@\"";
        let Some(mut command) = namespace(&options, setup) else {
            return;
        };
        let (status, stdout, stderr) =
            Program::start(command.args([LISTEN, "0.0.0.0:80", "0.0.0.0:79"]))
                .finish();
        assert!(!status.success());
        assert_eq!(stdout, ["listening on 0.0.0.0:80"]);
        assert_eq!(
            stderr,
            [
                "addresses-listen: bind 0.0.0.0:79: Permission denied (os error 13)"
            ]
        );
    }

    #[test]
    fn localhost_is_ipv6_first_however_the_hosts_file_is_sorted() {
        if !has_ipv6() {
            return;
        }
        for (test, text) in [
            ("v4-first", BOTH),
            ("v6-first", "::1 localhost\n127.0.0.1 localhost\n"),
        ] {
            let Some(mut command) = namespace(&FILES, &hosts(test, text))
            else {
                return;
            };
            let lines = output_of(command.args([LOOK_UP, "localhost:7001"]));
            assert_eq!(lines, ["[::1]:7001", "127.0.0.1:7001"], "{test}");
        }
    }

    #[test]
    fn who_binds_localhost_may_refuse_ipv4() {
        if !has_ipv6() {
            return;
        }
        let Some(mut command) =
            namespace(&FILES, &hosts("localhost-both", BOTH))
        else {
            return;
        };
        assert_eq!(
            output_of(command.arg(LOCALHOST)),
            [
                "bind localhost: listening on ::1",
                "connect 127.0.0.1: Connection refused (os error 111)",
                "bind 127.0.0.1: listening on 127.0.0.1",
                "connect 127.0.0.1: connected",
            ]
        );

        let ipv4 = hosts("localhost-v4", "127.0.0.1 localhost\n");
        let Some(mut command) = namespace(&FILES, &ipv4) else {
            return;
        };
        let lines = output_of(command.arg(LOCALHOST));
        assert_eq!(
            lines[..2],
            [
                "bind localhost: listening on 127.0.0.1",
                "connect 127.0.0.1: connected"
            ]
        );
    }

    #[test]
    fn python_connects_to_the_first_address_only_unless_told_otherwise() {
        let Some(script) = python("python/connect.py") else {
            return;
        };
        let two =
            hosts("two-addresses", "127.0.0.2 two.test\n127.0.0.3 two.test\n");
        let Some(mut command) = namespace(&FILES, &two) else {
            return;
        };
        let lines = output_of(command.args([LOOK_UP, "two.test:7001"]));
        assert_eq!(lines, ["127.0.0.2:7001", "127.0.0.3:7001"]);

        let run = |server: &str| {
            let listener = TcpListener::bind((server, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut command = namespace(&FILES, &two).unwrap();
            command.arg(script.get_program()).args(script.get_args());
            output_of(command.args(["two.test", &port.to_string()]))
        };
        let first = ["connect: 127.0.0.2", "create_connection: 127.0.0.2"];
        assert_eq!(run("127.0.0.2"), first);
        let second = [
            "connect: ConnectionRefusedError",
            "create_connection: 127.0.0.3",
        ];
        assert_eq!(run("127.0.0.3"), second);
    }

    #[test]
    fn std_leaves_dual_stack_to_a_setting_of_linux() {
        let bind = |v6_only: bool| {
            let setup = format!(
                "echo {} > /proc/sys/net/ipv6/bindv6only",
                u8::from(v6_only)
            );
            let mut command =
                namespace(&["--user", "--map-root-user", "--net"], &setup)?;
            // The second takes the port of the first for IPv4, if IPv4 is left.
            Some(
                Program::start(command.args([
                    LISTEN,
                    "[::]:7001",
                    "0.0.0.0:7001",
                ]))
                .finish(),
            )
        };
        if !has_ipv6() {
            return;
        }
        let Some((status, stdout, stderr)) = bind(false) else {
            return;
        };
        assert!(!status.success());
        assert_eq!(stdout, ["listening on [::]:7001"]);
        assert_eq!(
            stderr,
            [
                "addresses-listen: bind 0.0.0.0:7001: Address already in use (os error 98)"
            ]
        );
        let (status, stdout, _) = bind(true).unwrap();
        assert!(status.success());
        assert_eq!(
            stdout,
            ["listening on [::]:7001", "listening on 0.0.0.0:7001"]
        );
    }
}
