mod support;

use std::net::SocketAddr;
use std::process::Command;

use socket2::{Domain, Socket, Type};
use support::Program;

fn server() -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knock-server"));
    Program::start(command.arg("127.0.0.1:0"))
}

fn client(args: &[&str]) -> Program {
    Program::start(Command::new(env!("CARGO_BIN_EXE_knock-client")).args(args))
}

/// A port where nobody listens: taken, so that nobody else gets it either.
fn deaf() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

#[test]
fn the_accepted_socket_has_the_port_of_the_listener() {
    let mut server = server();
    let addr = server.address().to_string();
    for limit in [None, Some("30000")] {
        let args: Vec<&str> =
            [addr.as_str()].into_iter().chain(limit).collect();
        let (status, stdout, stderr) = client(&args).finish();
        assert!(status.success(), "{stderr:?}");
        let said = stdout[0].strip_prefix("connected ").unwrap();
        let (local, rest) = said.split_once(" to ").unwrap();
        assert!(rest.starts_with(&format!("{addr}, after ")), "{said}");
        assert_eq!(server.log(), format!("local {addr}, peer {local}"));
    }
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let (_deaf, addr) = deaf();
    let addr = addr.to_string();
    for args in [&[addr.as_str()][..], &[&addr, "30000"]] {
        let (status, stdout, stderr) = client(args).finish();
        assert!(!status.success());
        assert!(stdout.is_empty(), "{stdout:?}");
        let begin = format!("knock-client: connect to {addr}: ");
        let said = stderr[0].strip_prefix(&begin).unwrap();
        assert!(said.to_lowercase().contains("refused"), "{said}");
        assert!(said.ends_with(" ms"), "{said}");
    }
}

/// On Linux, a connection to a full queue is not answered.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_ends_the_waiting() {
    use std::net::TcpStream;

    let (listener, addr) = deaf();
    listener.listen(0).unwrap();
    let _queued = TcpStream::connect(addr).unwrap();
    let (status, _, stderr) = client(&[&addr.to_string(), "200"]).finish();
    assert!(!status.success());
    let after = stderr[0].rsplit_once("timed out, after ").unwrap().1;
    let after: u64 = after.trim_end_matches(" ms").parse().unwrap();
    assert!(after >= 200, "{stderr:?}");
}

#[test]
fn a_wrong_argument_is_named() {
    for (args, said) in [
        (
            &["here"][..],
            "knock-client: here as an address and a port: ",
        ),
        (
            &["127.0.0.1:1", "soon"],
            "knock-client: soon as milliseconds: ",
        ),
    ] {
        let (status, _, stderr) = client(args).finish();
        assert!(!status.success());
        assert!(stderr[0].starts_with(said), "{stderr:?}");
    }
}
