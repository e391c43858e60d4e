use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

const MESSAGE: &str = "ann: lunch at noon?\n";
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-line-dissect: {error:#}");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: run
fn run() -> Result<()> {
    let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP));
    let mut raw = raw.context("open a raw socket")?;

    let listener =
        TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let sender = TcpStream::connect(addr);
    let mut sender = sender.with_context(|| format!("connect to {addr}"))?;
    sender
        .write_all(MESSAGE.as_bytes())
        .with_context(|| format!("send to {addr}"))?;

    // The raw socket gets the packets of every TCP connection of this host.
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = vec![0; 65535];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // To the kernel, less than a microsecond is zero: no limit.
        ensure!(
            left.as_micros() > 0,
            "no packet with the message in {PATIENCE:?}"
        );
        raw.set_read_timeout(Some(left))?;
        let n = raw
            .read(&mut buffer)
            .context("receive from the raw socket")?;
        let Some((ip, tcp, message)) = cut(&buffer[..n]) else {
            continue;
        };
        if tcp[2..4] == addr.port().to_be_bytes()
            && message == MESSAGE.as_bytes()
        {
            print("IPv4 header", ip, &IPV4);
            print("TCP header", tcp, &TCP);
            print("message", message, &[]);
            return Ok(());
        }
    }
}
// ANCHOR_END: run

// ANCHOR: cut
/// Cuts a packet into IPv4 header, TCP header and the rest; `None` if the
/// lengths lie.
fn cut(packet: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = *packet.first()?;
    let ip_length = usize::from(first & 0x0f) * 4;
    let total =
        usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    if first >> 4 != 4 || ip_length < 20 {
        return None;
    }
    let (ip, segment) = packet.get(..total)?.split_at_checked(ip_length)?;
    let tcp_length = usize::from(*segment.get(12)? >> 4) * 4;
    if tcp_length < 20 {
        return None;
    }
    let (tcp, message) = segment.split_at_checked(tcp_length)?;
    Some((ip, tcp, message))
}
// ANCHOR_END: cut

/// The fields of the headers in their order, with their sizes in bytes.
const IPV4: [(&str, usize); 10] = [
    ("version, header length in words", 1),
    ("type of service", 1),
    ("total length", 2),
    ("identification", 2),
    ("flags, fragment offset", 2),
    ("time to live", 1),
    ("protocol", 1),
    ("header checksum", 2),
    ("source address", 4),
    ("destination address", 4),
];
const TCP: [(&str, usize); 9] = [
    ("source port", 2),
    ("destination port", 2),
    ("sequence number", 4),
    ("acknowledgment number", 4),
    ("header length in words", 1),
    ("flags", 1),
    ("window", 2),
    ("checksum", 2),
    ("urgent pointer", 2),
];

fn print(title: &str, mut bytes: &[u8], fields: &[(&str, usize)]) {
    println!("{title}, {} bytes", bytes.len());
    for &(name, size) in fields {
        let (field, rest) = bytes.split_at(size);
        println!("  {:12} {name}", hex(field));
        bytes = rest;
    }
    if !bytes.is_empty() {
        println!("  {}", hex(bytes));
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> =
        bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with these lengths in its headers, and this many bytes in all.
    fn packet(ip_words: u8, total: u16, tcp_words: u8, size: usize) -> Vec<u8> {
        let mut packet = vec![0; size];
        packet[0] = 0x40 | ip_words;
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let offset = usize::from(ip_words) * 4 + 12;
        if offset < size {
            packet[offset] = tcp_words << 4;
        }
        packet
    }

    fn lengths(packet: &[u8]) -> Option<(usize, usize, usize)> {
        cut(packet)
            .map(|(ip, tcp, message)| (ip.len(), tcp.len(), message.len()))
    }

    #[test]
    fn headers_are_as_long_as_they_say() {
        assert_eq!(lengths(&packet(5, 72, 8, 72)), Some((20, 32, 20)));
        assert_eq!(lengths(&packet(6, 72, 5, 72)), Some((24, 20, 28)));
        assert_eq!(lengths(&packet(15, 120, 15, 120)), Some((60, 60, 0)));
    }

    #[test]
    fn what_follows_the_total_length_is_no_message() {
        assert_eq!(lengths(&packet(5, 40, 5, 60)), Some((20, 20, 0)));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(
            lengths(&packet(4, 72, 8, 72)),
            None,
            "IPv4 header below 20"
        );
        assert_eq!(lengths(&packet(5, 72, 4, 72)), None, "TCP header below 20");
        assert_eq!(
            lengths(&packet(5, 73, 8, 72)),
            None,
            "total beyond the end"
        );
        assert_eq!(
            lengths(&packet(5, 40, 15, 72)),
            None,
            "TCP beyond the total"
        );
        let mut version6 = packet(5, 72, 8, 72);
        version6[0] = 0x65;
        assert_eq!(lengths(&version6), None, "not IPv4");
    }

    #[test]
    fn a_packet_cut_off_anywhere_is_refused() {
        let whole = packet(5, 72, 8, 72);
        for end in 0..whole.len() {
            assert_eq!(lengths(&whole[..end]), None, "{end} bytes");
        }
    }
}
