//! Starts the server under test, watches it from outside, and talks to it with
//! a deadline on everything.

use std::env;
use std::fs::{self, File};
use std::hint;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::panic;
use std::path::PathBuf;
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

/// How long any single answer may take, if nobody says.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a whole case may take before its server is killed.
const LIMIT: Duration = Duration::from_secs(600);

/// A running server. It is killed when it goes out of scope.
pub struct Server {
    pub addr: SocketAddr,
    pub patience: Duration,
    child: Arc<Mutex<Child>>,
    id: u32,
    log: PathBuf,
    _watchdog: Sender<()>, // dropped, it tells the watchdog to go home
}

/// What a server uses, as `/proc` says.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub descriptors: usize,
    /// In KiB.
    pub memory: u64,
    /// In hundredths of a second since the server was started.
    pub cpu: u64,
}

impl Server {
    /// Starts `program 127.0.0.1:0 args…`, with no more than so many
    /// descriptors if there is a number, and waits until it listens. Nothing
    /// with it may take longer than `patience`.
    pub fn start(
        program: &str,
        args: &[String],
        descriptors: Option<u32>,
        patience: Duration,
    ) -> Result<Server> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = env::temp_dir()
            .join(format!("contract-{}-{count}.log", process::id()));
        let log_file = File::create(&log)
            .with_context(|| format!("create {}", log.display()))?;

        let mut command = match descriptors {
            None => Command::new(program),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell
                    .arg("-c")
                    .arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\""))
                    .arg(program);
                shell
            }
        };
        let mut child = command
            .arg("127.0.0.1:0")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        let id = child.id();
        let stdout = child.stdout.take().context("stdout is piped")?;
        let child = Arc::new(Mutex::new(child));
        let mut server = Server {
            addr: SocketAddr::from(([0, 0, 0, 0], 0)), // not known yet
            patience,
            _watchdog: watch(Arc::clone(&child)),
            child,
            id,
            log,
        };
        let line = first_line(BufReader::new(stdout))
            .recv_timeout(patience)
            .unwrap_or_default();
        server.addr = line
            .strip_prefix("listening on ")
            .and_then(|addr| addr.parse().ok())
            .with_context(|| {
                format!(
                    "expected `listening on ADDR` as the first line of \
                     stdout, got {line:?}{}",
                    server.last_words()
                )
            })?;
        Ok(server)
    }

    /// A new connection with a deadline on each call.
    pub fn connect(&self) -> Result<TcpStream> {
        self.connect_from(None)
    }

    /// A new connection from an address of 127/8: each has ephemeral ports of
    /// its own.
    pub fn connect_from(&self, source: Option<Ipv4Addr>) -> Result<TcpStream> {
        let socket = self.socket()?;
        if let Some(source) = source {
            let source = SocketAddr::from((IpAddr::V4(source), 0));
            socket
                .bind(&source.into())
                .with_context(|| format!("bind {source}"))?;
        }
        self.finish(socket)
    }

    /// A new connection with small buffers in the kernel on our side, so that
    /// the server notices early when we don't read.
    pub fn connect_small(&self) -> Result<TcpStream> {
        let socket = self.socket()?;
        socket.set_recv_buffer_size(64 * 1024)?;
        socket.set_send_buffer_size(64 * 1024)?;
        self.finish(socket)
    }

    fn socket(&self) -> Result<Socket> {
        Socket::new(Domain::for_address(self.addr), Type::STREAM, None)
            .context("make a socket")
    }

    fn finish(&self, socket: Socket) -> Result<TcpStream> {
        socket
            .connect_timeout(&self.addr.into(), self.patience)
            .with_context(|| {
                format!("connect to {}{}", self.addr, self.last_words())
            })?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub fn usage(&self) -> Result<Usage> {
        let folder = PathBuf::from(format!("/proc/{}", self.id));
        let read = |name: &str| {
            fs::read_to_string(folder.join(name)).with_context(|| {
                format!("look at the server{}", self.last_words())
            })
        };
        let memory = read("status")?
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .with_context(|| {
                format!("the server has no memory{}", self.last_words())
            })?;
        let cpu = time_in(&read("stat")?)?;
        let descriptors = fs::read_dir(folder.join("fd"))
            .context("count the descriptors of the server")?
            .count();
        Ok(Usage {
            descriptors,
            memory,
            cpu,
        })
    }

    /// Watches the server for a second, or longer on a busy machine. Returns
    /// for how many hundredths of a second it ran, and for how many a thread
    /// of ours did that never waits: a server that spins gets about as much.
    pub fn running(&self) -> Result<(u64, u64)> {
        let before = self.usage()?.cpu;
        let measure = thread::spawn(spin).join();
        let measure = measure.unwrap_or_else(|p| panic::resume_unwind(p))?;
        Ok((self.usage()?.cpu - before, measure))
    }

    /// How many lines the server has logged.
    pub fn log_lines(&self) -> Result<usize> {
        let log = fs::read(&self.log).context("read the log of the server")?;
        Ok(log.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Asks the server to end, as `kill` and service managers do.
    pub fn terminate(&self) -> Result<()> {
        let status = Command::new("kill")
            .args(["-s", "TERM", &self.id.to_string()])
            .status()
            .context("run kill")?;
        ensure!(status.success(), "kill: {status}{}", self.last_words());
        Ok(())
    }

    /// Waits until the server has ended.
    pub fn wait(&self, patience: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            let status = lock(&self.child).try_wait().context("wait")?;
            if let Some(status) = status {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("expected the server to end within {patience:?}; it runs on")
    }

    /// For a failure: whether the server has ended, and its last log line.
    pub fn last_words(&self) -> String {
        // Its sockets are closed a moment before it has ended.
        let Ok(status) = self.wait(Duration::from_millis(100)) else {
            return String::new();
        };
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().last().unwrap_or_default();
        format!("; the server has ended with {status}, its last words: {last}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Runs for a second, or until it has had a fair part of a processor; returns
/// for how many hundredths of a second it really ran.
fn spin() -> Result<u64> {
    let begun = Instant::now();
    loop {
        for _ in 0..1_000_000 {
            hint::spin_loop();
        }
        let stat = fs::read_to_string("/proc/thread-self/stat")
            .context("read /proc/thread-self/stat")?;
        let time = time_in(&stat)?;
        let passed = begun.elapsed().as_secs();
        if (passed >= 1 && time >= 20) || passed >= 4 {
            return Ok(time);
        }
    }
}

/// The user and system time in a `stat` of `/proc`, in hundredths of a second.
fn time_in(stat: &str) -> Result<u64> {
    // The name of the program stands in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("stat has no )")?;
    fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().context("time in stat"))
        .sum()
}

/// A child has no state that a panic could leave half made.
fn lock(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills the child when it has lived for `LIMIT`: all that wait for it get an
/// error then.
fn watch(child: Arc<Mutex<Child>>) -> Sender<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        if receiver.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _ = lock(&child).kill();
            // All that wait for it now get an error that does not say so.
            let _ = writeln!(
                io::stderr(),
                "contract: the server was killed after {LIMIT:?}"
            );
        }
    });
    sender
}

/// The first line, in a thread that then reads on, so that nothing that the
/// server prints can fill the pipe.
fn first_line(mut stdout: impl BufRead + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = stdout.read_line(&mut line);
        let _ = sender.send(line.trim_end().to_string());
        let _ = io::copy(&mut stdout, &mut io::sink());
    });
    receiver
}

/// Sends `message`, and expects it back.
pub fn ping(stream: &mut TcpStream, message: &[u8]) -> Result<()> {
    send(stream, message)?;
    receive(stream, message)
}

pub fn send(stream: &mut TcpStream, message: &[u8]) -> Result<()> {
    stream
        .write_all(message)
        .with_context(|| format!("send {} bytes", message.len()))
}

/// Expects these bytes, and leaves what follows them.
pub fn receive(stream: &mut TcpStream, expected: &[u8]) -> Result<()> {
    let got = receive_prefix(stream, expected)?;
    ensure!(
        got == expected.len(),
        "expected {} bytes back, got {got} and the end of the stream",
        expected.len()
    );
    Ok(())
}

/// Expects the beginning of these bytes; returns how many came before the end
/// of the stream, or all of them.
pub fn receive_prefix(
    stream: &mut TcpStream,
    expected: &[u8],
) -> Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let mut got = 0;
    while got < expected.len() {
        let most = buffer.len().min(expected.len() - got);
        let n = match stream.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => bail!(
                "expected {} bytes back, got {got} and then nothing for {:?}",
                expected.len(),
                stream.read_timeout()?.unwrap_or_default()
            ),
            Err(error) => bail!(
                "expected {} bytes back, got {got} and then: {error}",
                expected.len()
            ),
        };
        if buffer[..n] != expected[got..got + n] {
            let at = (0..n).find(|i| buffer[*i] != expected[got + i]);
            bail!(
                "byte {} of {} came back as another one",
                got + at.unwrap_or(0),
                expected.len()
            );
        }
        got += n;
    }
    Ok(got)
}

/// Expects that nothing more comes, and that the stream ends.
pub fn receive_end(stream: &mut TcpStream) -> Result<()> {
    loop {
        return match stream.read(&mut [0; 1]) {
            Ok(0) => Ok(()),
            Ok(_) => bail!("expected the end of the stream, got a byte"),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => {
                bail!(
                    "expected the end of the stream, waited {:?}",
                    stream.read_timeout()?.unwrap_or_default()
                )
            }
            Err(error) => bail!("expected the end of the stream: {error}"),
        };
    }
}

/// What Unix says when a call with a timeout gives up, and what Windows says.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// How many of the bytes that were written to each of these streams its peer's
/// kernel has not acknowledged, as `/proc/net/tcp` says.
pub fn unacknowledged(streams: &[TcpStream]) -> Result<Vec<usize>> {
    // Once for all: on a busy machine this is a long text.
    let sockets =
        fs::read_to_string("/proc/net/tcp").context("read /proc/net/tcp")?;
    let mut all = Vec::new();
    for stream in streams {
        let local = in_proc(stream.local_addr()?)?;
        let peer = stream.peer_addr().context("the connection has ended")?;
        let peer = in_proc(peer)?;
        // Two addresses, the state, and the bytes in the two queues.
        let (_, rest) = sockets
            .split_once(&format!(" {local} {peer} "))
            .context("the connection is not in /proc/net/tcp")?;
        let unacknowledged = rest
            .split_whitespace()
            .nth(1)
            .and_then(|queues| queues.split(':').next())
            .context("no queues in /proc/net/tcp")?;
        all.push(usize::from_str_radix(unacknowledged, 16)?);
    }
    Ok(all)
}

/// An address as `/proc/net/tcp` writes it.
fn in_proc(addr: SocketAddr) -> Result<String> {
    let IpAddr::V4(ip) = addr.ip() else {
        bail!("{addr} is not in /proc/net/tcp, which is for IPv4");
    };
    // The four bytes as they lie in memory, read as a number of this machine.
    let ip = u32::from_ne_bytes(ip.octets());
    Ok(format!("{ip:08X}:{:04X}", addr.port()))
}
