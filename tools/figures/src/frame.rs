//! The bytes of a packet, field by field.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A header, or what it carries.
#[derive(Debug)]
pub struct Part {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub struct Field {
    /// How many of the part's bytes.
    pub length: usize,
    pub name: &'static str,
    pub value: String,
}

/// Takes a packet apart, from its IP header on. Nothing is left out: the lengths add up to the packet's.
pub fn parts(packet: &[u8]) -> Vec<Part> {
    let mut parts = Vec::new();
    let (protocol, rest) = match packet.first().map(|byte| byte >> 4) {
        Some(4) => ipv4(packet, &mut parts),
        Some(6) => ipv6(packet, &mut parts),
        _ => (None, packet),
    };
    let rest = match protocol {
        Some(6) => tcp(rest, &mut parts),
        Some(17) => udp(rest, &mut parts),
        _ => rest,
    };
    if !rest.is_empty() {
        parts.push(Part {
            name: "Payload",
            bytes: rest.to_vec(),
            fields: vec![Field {
                length: rest.len(),
                name: "what the program sent",
                value: format!("{:?}", String::from_utf8_lossy(rest)),
            }],
        });
    }
    parts
}

/// Reads one field after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    fields: Vec<Field>,
}

impl Reader<'_> {
    fn field(&mut self, length: usize, name: &'static str, value: impl FnOnce(u64) -> String) {
        let number = self.bytes[..length.min(8)]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.bytes = &self.bytes[length..];
        self.fields.push(Field {
            length,
            name,
            value: value(number),
        });
    }
}

type Rest<'a> = (Option<u8>, &'a [u8]);

fn ipv4<'a>(packet: &'a [u8], parts: &mut Vec<Part>) -> Rest<'a> {
    let words = usize::from(packet[0] & 15);
    if words < 5 || packet.len() < words * 4 {
        return (None, packet);
    }
    let (header, rest) = packet.split_at(words * 4);
    let mut reader = Reader {
        bytes: header,
        fields: Vec::new(),
    };
    reader.field(1, "version, header length", |byte| {
        format!("{}, {} words of 4 bytes", byte >> 4, byte & 15)
    });
    reader.field(1, "type of service", |byte| format!("{byte}"));
    reader.field(2, "total length", |length| format!("{length} bytes"));
    reader.field(2, "identification", |number| format!("{number}"));
    reader.field(2, "flags, fragment offset", |bits| {
        let flags = match bits >> 13 {
            0 => "none",
            1 => "more fragments",
            2 => "don't fragment",
            _ => "unusual",
        };
        format!("{flags}, {}", (bits & 0x1fff) * 8)
    });
    reader.field(1, "time to live", |hops| format!("{hops} hops"));
    reader.field(1, "protocol", |number| {
        format!("{number}: {}", protocol(number))
    });
    reader.field(2, "header checksum", |sum| format!("{sum:#06x}"));
    for name in ["source address", "destination address"] {
        reader.field(4, name, |address| {
            Ipv4Addr::from(address as u32).to_string()
        });
    }
    rest_of(&mut reader, "options");
    let fields = reader.fields;
    parts.push(Part {
        name: "IPv4 header",
        bytes: header.to_vec(),
        fields,
    });
    (Some(header[9]), rest)
}

fn ipv6<'a>(packet: &'a [u8], parts: &mut Vec<Part>) -> Rest<'a> {
    if packet.len() < 40 {
        return (None, packet);
    }
    let (header, rest) = packet.split_at(40);
    let mut reader = Reader {
        bytes: header,
        fields: Vec::new(),
    };
    reader.field(4, "version, traffic class, flow label", |bits| {
        format!(
            "{}, {}, {:#07x}",
            bits >> 28,
            bits >> 20 & 255,
            bits & 0xf_ffff
        )
    });
    reader.field(2, "payload length", |length| format!("{length} bytes"));
    reader.field(1, "next header", |number| {
        format!("{number}: {}", protocol(number))
    });
    reader.field(1, "hop limit", |hops| format!("{hops} hops"));
    for (name, range) in [("source address", 8..24), ("destination address", 24..40)] {
        let address: [u8; 16] = header[range].try_into().expect("16 bytes");
        reader.field(16, name, |_| Ipv6Addr::from(address).to_string());
    }
    let fields = reader.fields;
    parts.push(Part {
        name: "IPv6 header",
        bytes: header.to_vec(),
        fields,
    });
    (Some(header[6]), rest)
}

fn protocol(number: u64) -> &'static str {
    match number {
        1 => "ICMP",
        2 => "IGMP",
        6 => "TCP",
        17 => "UDP",
        58 => "ICMPv6",
        _ => "another",
    }
}

fn tcp<'a>(segment: &'a [u8], parts: &mut Vec<Part>) -> &'a [u8] {
    let length = segment.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    if length < 20 || segment.len() < length {
        return segment;
    }
    let (header, rest) = segment.split_at(length);
    let mut reader = Reader {
        bytes: header,
        fields: Vec::new(),
    };
    reader.field(2, "source port", |port| format!("{port}"));
    reader.field(2, "destination port", |port| format!("{port}"));
    reader.field(4, "sequence number", |number| format!("{number}"));
    reader.field(4, "acknowledgment number", |number| format!("{number}"));
    reader.field(1, "header length", |byte| {
        format!("{} words of 4 bytes", byte >> 4)
    });
    reader.field(1, "flags", |bits| {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let set: Vec<&str> = (0..8)
            .filter(|bit| bits >> bit & 1 == 1)
            .map(|bit| names[bit as usize])
            .collect();
        set.join(", ")
    });
    reader.field(2, "window", |window| format!("{window}, before scaling"));
    reader.field(2, "checksum", |sum| format!("{sum:#06x}"));
    reader.field(2, "urgent pointer", |pointer| format!("{pointer}"));
    while let Some(kind) = reader.bytes.first() {
        let length = match kind {
            0 | 1 => 1,
            _ => reader.bytes.get(1).copied().map_or(0, usize::from),
        };
        if length == 0 || length > reader.bytes.len() {
            rest_of(&mut reader, "options");
            break;
        }
        let option = reader.bytes[..length].to_vec();
        let number = |from: usize| {
            option[from..]
                .iter()
                .take(4)
                .fold(0_u32, |number, byte| number << 8 | u32::from(*byte))
        };
        let (name, value) = match (kind, length) {
            (0, _) => ("option: end", String::new()),
            (1, _) => ("option: no operation", "fills up to a word".to_string()),
            (2, 4) => (
                "option: maximum segment size",
                format!("{} bytes", number(2)),
            ),
            (3, 3) => ("option: window scale", format!("shift by {}", option[2])),
            (4, 2) => ("option: SACK permitted", String::new()),
            (8, 10) => (
                "option: timestamps",
                format!("{}, echo of {}", number(2), number(6)),
            ),
            _ => ("option", format!("kind {kind}")),
        };
        reader.field(length, name, |_| value);
    }
    let fields = reader.fields;
    parts.push(Part {
        name: "TCP header",
        bytes: header.to_vec(),
        fields,
    });
    rest
}

fn udp<'a>(datagram: &'a [u8], parts: &mut Vec<Part>) -> &'a [u8] {
    if datagram.len() < 8 {
        return datagram;
    }
    let (header, rest) = datagram.split_at(8);
    let mut reader = Reader {
        bytes: header,
        fields: Vec::new(),
    };
    reader.field(2, "source port", |port| format!("{port}"));
    reader.field(2, "destination port", |port| format!("{port}"));
    reader.field(2, "length", |length| {
        format!("{length} bytes, with this header")
    });
    reader.field(2, "checksum", |sum| format!("{sum:#06x}"));
    let fields = reader.fields;
    parts.push(Part {
        name: "UDP header",
        bytes: header.to_vec(),
        fields,
    });
    rest
}

fn rest_of(reader: &mut Reader, name: &'static str) {
    if !reader.bytes.is_empty() {
        reader.field(reader.bytes.len(), name, |_| String::new());
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn every_byte_belongs_to_a_field() {
        let tcp = [
            0x45, 0, 0, 45, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
            0x9c, 0x40, 0x1b, 0x59, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 0x18, 1, 0, 0, 0, 0, 0, 2, 4, 5,
            0xb4, // TCP
            b'h',
        ];
        let mut udp = tcp;
        udp[9] = 17;
        let mut broken = tcp;
        broken[41] = 200; // an option that is longer than the header
        for packet in [&tcp[..], &udp, &broken, &tcp[..30], &tcp[..10], b"", b"x"] {
            let parts = parts(packet);
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.clone()).collect();
            assert_eq!(bytes, packet);
            for part in &parts {
                assert_eq!(
                    part.fields.iter().map(|field| field.length).sum::<usize>(),
                    part.bytes.len()
                );
            }
        }
        let parts = parts(&tcp);
        assert_eq!(parts[1].fields.last().unwrap().value, "1460 bytes");
        assert_eq!(parts[1].fields[5].value, "PSH, ACK");
        assert_eq!(parts[2].fields[0].value, "\"h\"");
    }
}
