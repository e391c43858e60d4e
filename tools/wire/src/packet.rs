//! One packet, taken apart.

use std::fmt;
use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TcpOptionElement, TransportSlice};

/// What a packet's headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Tcp(Tcp),
    Udp(Udp),
    Icmp(Icmp),
    /// A part of an IP packet: its offset and length in bytes, and whether more follow.
    Fragment {
        offset: usize,
        length: usize,
        more: bool,
    },
    /// Something else, by its IP protocol number.
    Other(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    pub source_port: u16,
    pub destination_port: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub flags: Flags,
    /// As it stands in the header, not scaled.
    pub window: u16,
    pub options: Vec<TcpOption>,
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpOption {
    MaximumSegmentSize(u16),
    SackPermitted,
    WindowScale(u8),
    Timestamps,
    /// Blocks of bytes that have arrived beyond the acknowledgment number.
    Sack(Vec<(u32, u32)>),
}

/// The flags of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    pub const FIN: Flags = Flags(0x01);
    pub const SYN: Flags = Flags(0x02);
    pub const RST: Flags = Flags(0x04);
    pub const PSH: Flags = Flags(0x08);
    pub const ACK: Flags = Flags(0x10);

    /// Whether any of `flags` is set.
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }
}

impl fmt::Display for Flags {
    /// Such as `SYN ACK`. PSH is left out: it says where a write ended, and nothing waits for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Flags::SYN, "SYN"),
            (Flags::FIN, "FIN"),
            (Flags::RST, "RST"),
            (Flags::ACK, "ACK"),
        ];
        let names: Vec<&str> = names
            .iter()
            .filter(|(flag, _)| self.has(*flag))
            .map(|(_, name)| *name)
            .collect();
        f.write_str(&names.join(" "))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    pub source_port: u16,
    pub destination_port: u16,
    pub payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub v6: bool,
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.v6, self.kind, self.code) {
            (false, 3, 0) => f.write_str("network unreachable"),
            (false, 3, 1) | (true, 1, 3) => f.write_str("host unreachable"),
            (false, 3, 3) | (true, 1, 4) => f.write_str("port unreachable"),
            (false, 3, 4) | (true, 2, 0) => f.write_str("packet too big"),
            (false, 11, 0) | (true, 3, 0) => f.write_str("time to live exceeded"),
            (false, 8, _) | (true, 128, _) => f.write_str("echo request"),
            (false, 0, _) | (true, 129, _) => f.write_str("echo reply"),
            (_, kind, code) => write!(f, "type {kind} code {code}"),
        }
    }
}

impl Packet {
    /// Takes the bytes of an IP packet apart; `None` if they are none.
    pub fn parse(bytes: &[u8]) -> Option<Packet> {
        let sliced = SlicedPacket::from_ip(bytes).ok()?;
        let (source, destination, protocol, fragment) = match sliced.net.as_ref()? {
            NetSlice::Ipv4(ip) => {
                let header = ip.header();
                let offset = usize::from(header.fragments_offset().byte_offset());
                let more = header.more_fragments();
                let fragment = (more || offset > 0).then(|| Body::Fragment {
                    offset,
                    length: ip.payload().payload.len(),
                    more,
                });
                (
                    IpAddr::from(header.source_addr()),
                    IpAddr::from(header.destination_addr()),
                    header.protocol().0,
                    fragment,
                )
            }
            NetSlice::Ipv6(ip) => {
                let header = ip.header();
                (
                    IpAddr::from(header.source_addr()),
                    IpAddr::from(header.destination_addr()),
                    ip.payload().ip_number.0,
                    None,
                )
            }
            NetSlice::Arp(_) => return None,
        };
        let body = match (fragment, &sliced.transport) {
            (Some(fragment), _) => fragment,
            (None, Some(TransportSlice::Tcp(tcp))) => Body::Tcp(Tcp {
                source_port: tcp.source_port(),
                destination_port: tcp.destination_port(),
                sequence: tcp.sequence_number(),
                acknowledgment: tcp.acknowledgment_number(),
                flags: Flags(tcp.slice()[13]),
                window: tcp.window_size(),
                options: tcp
                    .options_iterator()
                    .flatten()
                    .filter_map(option)
                    .collect(),
                payload: tcp.payload().to_vec(),
            }),
            (None, Some(TransportSlice::Udp(udp))) => Body::Udp(Udp {
                source_port: udp.source_port(),
                destination_port: udp.destination_port(),
                payload: udp.payload().to_vec(),
            }),
            (None, Some(TransportSlice::Icmpv4(icmp))) => Body::Icmp(Icmp {
                kind: icmp.type_u8(),
                code: icmp.code_u8(),
                v6: false,
            }),
            (None, Some(TransportSlice::Icmpv6(icmp))) => Body::Icmp(Icmp {
                kind: icmp.type_u8(),
                code: icmp.code_u8(),
                v6: true,
            }),
            (None, _) => Body::Other(protocol),
        };
        Some(Packet {
            source,
            destination,
            body,
        })
    }

    /// The same for a packet of `size` bytes of which these are the first: the others count as zeros.
    pub fn parse_cut(bytes: &[u8], size: usize) -> Option<Packet> {
        let mut whole = bytes.to_vec();
        whole.resize(size.max(bytes.len()), 0);
        Packet::parse(&whole)
    }

    pub fn payload(&self) -> &[u8] {
        match &self.body {
            Body::Tcp(tcp) => &tcp.payload,
            Body::Udp(udp) => &udp.payload,
            _ => &[],
        }
    }
}

fn option(element: TcpOptionElement) -> Option<TcpOption> {
    match element {
        TcpOptionElement::MaximumSegmentSize(size) => Some(TcpOption::MaximumSegmentSize(size)),
        TcpOptionElement::SelectiveAcknowledgementPermitted => Some(TcpOption::SackPermitted),
        TcpOptionElement::WindowScale(shift) => Some(TcpOption::WindowScale(shift)),
        TcpOptionElement::Timestamp(..) => Some(TcpOption::Timestamps),
        TcpOptionElement::SelectiveAcknowledgement(first, rest) => {
            let rest = rest.iter().flatten().copied();
            Some(TcpOption::Sack([first].into_iter().chain(rest).collect()))
        }
        TcpOptionElement::Noop => None,
    }
}
