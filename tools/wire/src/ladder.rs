//! A recording in words, without what differs between runs: no clock, no raw sequence numbers, each host's packets in
//! the order in which that host saw them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::packet::{Body, Flags, Packet, TcpOption};
use crate::recording::{Fate, Recording, Stream, What, Whom};

/// The ladder of a recording.
#[derive(Debug)]
pub struct Ladder {
    sections: Vec<Section>,
}

/// A packet with its numbers counted from the beginning of its connection.
#[derive(Debug)]
pub struct Step {
    /// The index of its event in the recording.
    pub event: usize,
    pub packet: Packet,
    /// Whether the recording holds only its beginning, and zeros stand for the rest.
    pub cut: bool,
    /// 0 for a SYN, so the first byte is 1.
    pub sequence: u32,
    pub acknowledgment: Option<u32>,
    /// Blocks that arrived beyond the acknowledgment, first byte and the one after the last.
    pub sack: Vec<(u32, u32)>,
}

/// What one host saw, or one program printed.
#[derive(Debug)]
struct Section {
    title: String,
    lines: Vec<String>,
}

type End = (IpAddr, u16);

/// The ladder of a recording.
pub fn ladder(recording: &Recording) -> Ladder {
    Ladder {
        sections: sections(recording, &steps(recording)),
    }
}

/// Takes the packets of a recording apart and counts their numbers from the beginning. They are in the order in which they
/// were sent.
pub fn steps(recording: &Recording) -> Vec<Step> {
    let mut packets = Vec::new();
    // The number before the first byte, for each direction of each connection.
    let mut first: HashMap<(End, End), u32> = HashMap::new();
    for (event, what) in recording.events.iter().enumerate() {
        let What::Packet { bytes, size, .. } = &what.what else {
            continue;
        };
        let Some(packet) = Packet::parse_cut(bytes, size.unwrap_or_default()) else {
            continue;
        };
        let mut step = Step {
            event,
            packet,
            cut: size.is_some(),
            sequence: 0,
            acknowledgment: None,
            sack: Vec::new(),
        };
        if let Body::Tcp(tcp) = &step.packet.body {
            let here = (step.packet.source, tcp.source_port);
            let there = (step.packet.destination, tcp.destination_port);
            if tcp.flags.has(Flags::SYN) {
                first.insert((here, there), tcp.sequence);
            }
            // Without a SYN, as in the answer to a refused one, the first number is 1: as Wireshark does.
            let mine = *first
                .entry((here, there))
                .or_insert(tcp.sequence.wrapping_sub(1));
            step.sequence = tcp.sequence.wrapping_sub(mine);
            if tcp.flags.has(Flags::ACK) {
                let theirs = *first
                    .entry((there, here))
                    .or_insert(tcp.acknowledgment.wrapping_sub(1));
                step.acknowledgment = Some(tcp.acknowledgment.wrapping_sub(theirs));
                for option in &tcp.options {
                    if let TcpOption::Sack(blocks) = option {
                        step.sack = blocks
                            .iter()
                            .map(|(from, to)| (from.wrapping_sub(theirs), to.wrapping_sub(theirs)))
                            .collect();
                    }
                }
            }
        }
        packets.push(step);
    }
    packets
}

fn sections(recording: &Recording, packets: &[Step]) -> Vec<Section> {
    let ports = Ports::new(recording, packets);
    let mut seen: Vec<Vec<(i64, String)>> = vec![Vec::new(); recording.head.hosts.len()];
    for step in packets {
        let event = &recording.events[step.event];
        let What::Packet {
            from,
            fate,
            arrivals,
            ..
        } = &event.what
        else {
            continue;
        };
        let said = ports.describe(step);
        let fate = match fate {
            Fate::Passed => String::new(),
            fate => format!(" [{fate}]"),
        };
        seen[*from].push((event.at_us, format!("> {said}{fate}")));
        for arrival in arrivals {
            seen[arrival.host].push((arrival.at_us, format!("< {said}")));
        }
    }
    let mut sections = Vec::new();
    for (host, mut seen) in recording.head.hosts.iter().zip(seen) {
        seen.sort_by_key(|(at, _)| *at);
        sections.push(Section {
            title: format!("at {}", host.name),
            lines: seen.into_iter().map(|(_, said)| said).collect(),
        });
    }
    for (index, host) in recording.head.hosts.iter().enumerate() {
        // One socket after the other: which of two changes first is not compared.
        let mut sockets: Vec<(String, Vec<String>)> = Vec::new();
        for event in &recording.events {
            if let What::State {
                host: at,
                local,
                remote,
                state,
            } = &event.what
                && *at == index
            {
                let socket = format!("{} > {}", ports.end(*local), ports.end(*remote));
                match sockets.iter_mut().find(|(known, _)| *known == socket) {
                    Some((_, states)) => states.push(state.to_string()),
                    None => sockets.push((socket, vec![state.to_string()])),
                }
            }
        }
        sockets.sort();
        if !sockets.is_empty() {
            sections.push(Section {
                title: format!("states at {}", host.name),
                lines: sockets
                    .into_iter()
                    .map(|(socket, states)| format!("{socket}: {}", states.join(", ")))
                    .collect(),
            });
        }
    }
    for (index, program) in recording.head.programs.iter().enumerate() {
        let mut lines = Vec::new();
        for wanted in [Stream::Out, Stream::Err] {
            for event in &recording.events {
                if let What::Line {
                    program: of,
                    stream,
                    text,
                } = &event.what
                    && (*of, *stream) == (index, wanted)
                {
                    let name = if wanted == Stream::Out { "out" } else { "err" };
                    let mut text = ports.rename(text);
                    if program.numbers_vary {
                        text = without_numbers(&text);
                    }
                    lines.push(format!("{name}: {text}"));
                }
            }
        }
        for event in &recording.events {
            // The arguments are left out: how strace writes them depends on its release.
            if let What::Call {
                program: of,
                name,
                result,
                ..
            } = &event.what
                && *of == index
            {
                let result = result.split(" (").next().unwrap_or_default();
                lines.push(format!("call: {name} = {result}"));
            }
        }
        lines.extend(waits(recording, index, &ports));
        for event in &recording.events {
            if let What::Exit {
                program: of,
                status,
            } = &event.what
                && *of == index
            {
                lines.push(format!("ended: {status}"));
            }
        }
        sections.push(Section {
            title: format!(
                "on {}: {}",
                recording.head.hosts[program.host].name, program.command
            ),
            lines,
        });
    }
    sections
}

/// Shorter waits are not compared, in microseconds: a busy machine makes them, and bytes that meet by chance.
const COMPARED: i64 = 10_000;

/// For each thread of a program, what it waited in, one after the other, and how many did the same. Which of them was
/// first is not compared, nor how often one waited in the same call again.
fn waits(recording: &Recording, index: usize, ports: &Ports) -> Vec<String> {
    let mut threads: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for event in &recording.events {
        if let What::Wait {
            program,
            thread,
            name,
            whom,
            end_us,
            ..
        } = &event.what
            && *program == index
            && end_us.is_none_or(|end| end >= 0 && end - event.at_us >= COMPARED)
        {
            let said = match whom {
                Whom::Peer(peer) => format!("{name} {}", ports.end(*peer)),
                _ => name.clone(),
            };
            let waits = threads.entry(*thread).or_default();
            if waits.last() != Some(&said) {
                waits.push(said);
            }
        }
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for waits in threads.into_values() {
        *counts.entry(waits.join(", ")).or_default() += 1;
    }
    let line = |(waits, count): (String, usize)| match count {
        1 => format!("a thread waits: {waits}"),
        _ => format!("{count} threads wait: {waits}"),
    };
    counts.into_iter().map(line).collect()
}

impl Ladder {
    /// Where this run differs from a ladder that was written down, in words; `None` if it does not.
    pub fn difference(&self, written: &str) -> Option<String> {
        let mut recorded: Vec<Section> = Vec::new();
        for line in written.lines() {
            match line.strip_prefix("  ") {
                None if line.is_empty() => {}
                None => recorded.push(Section {
                    title: line.to_string(),
                    lines: Vec::new(),
                }),
                Some(line) => {
                    if let Some(section) = recorded.last_mut() {
                        section.lines.push(line.to_string());
                    }
                }
            }
        }
        for section in &self.sections {
            let Some(position) = recorded.iter().position(|old| old.title == section.title) else {
                return Some(format!(
                    "{}: the recording knows nothing of this",
                    section.title
                ));
            };
            let old = recorded.remove(position);
            let packets = section.title.starts_with("at ");
            let noun = if packets { "packet" } else { "line" };
            let count = section.lines.len().max(old.lines.len());
            for index in 0..count {
                let [was, is] = [&old, section].map(|section| section.lines.get(index));
                if was == is {
                    continue;
                }
                let [was, is] = [was, is].map(|line| match line {
                    Some(line) => format!("`{line}`"),
                    None => "nothing more".to_string(),
                });
                return Some(format!(
                    "{}, {noun} {}: the recording has {was}, this run {is}",
                    section.title,
                    index + 1
                ));
            }
        }
        recorded
            .first()
            .map(|old| format!("{}: it is in the recording, and not in this run", old.title))
    }

    /// Whether lines of a host's section contain these, in this order. The error is the first that does not come.
    pub fn expect(&self, host: &str, wanted: &[String]) -> Result<(), String> {
        let title = format!("at {host}");
        let mut lines = self
            .sections
            .iter()
            .filter(|section| section.title == title)
            .flat_map(|section| &section.lines);
        for words in wanted {
            // Words, so that `len 1` is not found in `len 12`.
            let found = lines.any(|line| format!(" {line} ").contains(&format!(" {words} ")));
            if !found {
                return Err(format!("{title}: no `{words}`, or not in this order"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, section) in self.sections.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            writeln!(f, "{gap}{}", section.title)?;
            for line in &section.lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

/// The ports that a kernel chose from several are called p1, p2 and so on, in the order in which they appear.
struct Ports(Vec<(End, String)>);

impl Ports {
    fn new(recording: &Recording, packets: &[Step]) -> Ports {
        let many: Vec<IpAddr> = recording
            .head
            .hosts
            .iter()
            .filter(|host| host.many_ports)
            .flat_map(|host| host.addresses.clone())
            .collect();
        let mut names = Vec::new();
        for step in packets {
            let (source, destination) = match &step.packet.body {
                Body::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
                Body::Udp(udp) => (udp.source_port, udp.destination_port),
                _ => continue,
            };
            for end in [
                (step.packet.source, source),
                (step.packet.destination, destination),
            ] {
                let chosen = many.contains(&end.0) && end.1 >= EPHEMERAL;
                if chosen && !names.iter().any(|(known, _)| *known == end) {
                    let name = format!("p{}", names.len() + 1);
                    names.push((end, name));
                }
            }
        }
        Ports(names)
    }

    fn name(&self, address: IpAddr, port: u16) -> String {
        match self.0.iter().find(|(end, _)| *end == (address, port)) {
            Some((_, name)) => name.clone(),
            None => port.to_string(),
        }
    }

    fn end(&self, end: SocketAddr) -> String {
        format!("{}:{}", end.ip(), self.name(end.ip(), end.port()))
    }

    fn rename(&self, text: &str) -> String {
        let mut text = text.to_string();
        for ((_, port), name) in &self.0 {
            text = text.replace(&format!(":{port}"), &format!(":{name}"));
        }
        text
    }

    fn describe(&self, step: &Step) -> String {
        let Packet {
            source,
            destination,
            body,
        } = &step.packet;
        let ends = |from: u16, to: u16| {
            let (from, to) = (self.name(*source, from), self.name(*destination, to));
            format!("{source}:{from} > {destination}:{to}")
        };
        match body {
            Body::Tcp(tcp) => format!(
                "{} {}",
                ends(tcp.source_port, tcp.destination_port),
                step.words()
            ),
            Body::Udp(udp) => format!(
                "{} {}",
                ends(udp.source_port, udp.destination_port),
                step.words()
            ),
            _ => format!("{source} > {destination} {}", step.words()),
        }
    }
}

impl Step {
    /// What the packet says, without its ends, such as `ACK seq 1 ack 13 len 0`.
    pub fn words(&self) -> String {
        match &self.packet.body {
            Body::Tcp(tcp) => {
                let mut said = format!("{} seq {}", tcp.flags, self.sequence);
                if let Some(acknowledgment) = self.acknowledgment {
                    said += &format!(" ack {acknowledgment}");
                }
                said += &format!(" len {}", tcp.payload.len());
                let syn = tcp.flags.has(Flags::SYN);
                if syn || tcp.window == 0 && !tcp.flags.has(Flags::RST) {
                    said += &format!(" win {}", tcp.window);
                }
                if syn {
                    for option in &tcp.options {
                        said += &match option {
                            TcpOption::MaximumSegmentSize(size) => format!(" mss {size}"),
                            TcpOption::SackPermitted => " sackOK".to_string(),
                            TcpOption::WindowScale(shift) => format!(" wscale {shift}"),
                            TcpOption::Timestamps => " timestamps".to_string(),
                            TcpOption::Sack(_) => String::new(),
                        };
                    }
                }
                for (from, to) in &self.sack {
                    said += &format!(" sack {from}-{to}");
                }
                said + &self.payload(&tcp.payload)
            }
            Body::Udp(udp) => {
                let said = format!("udp len {}", udp.payload.len());
                // A DNS message begins with a number that its sender makes up.
                let dns = [udp.source_port, udp.destination_port].contains(&53);
                let from = if dns { 2.min(udp.payload.len()) } else { 0 };
                said + &self.payload(&udp.payload[from..])
            }
            Body::Icmp(icmp) => format!("icmp {icmp}"),
            Body::Fragment {
                offset,
                length,
                more,
            } => {
                let last = if *more { "" } else { " last" };
                format!("fragment offset {offset} len {length}{last}")
            }
            Body::Other(protocol) => format!("protocol {protocol}"),
        }
    }

    fn payload(&self, bytes: &[u8]) -> String {
        match self.cut {
            true => String::new(),
            false => payload(bytes),
        }
    }
}

/// The first port that hosts of a scene give to their clients.
pub(crate) const EPHEMERAL: u16 = 40000;

/// Short text as it is, everything else as a number that depends on every byte of it.
fn payload(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::new();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= 40 => format!(" {text:?}"),
        _ => {
            format!(" digest {}", digest(bytes))
        }
    }
}

/// A number that depends on every byte: [FNV-1a](http://www.isthe.com/chongo/tech/comp/fnv/).
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Numbers, decimal or hexadecimal, as one sign each.
fn without_numbers(text: &str) -> String {
    let mut result = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (word, end) = match word.char_indices().next_back() {
            Some((at, last)) if !last.is_ascii_alphanumeric() => word.split_at(at),
            _ => (word, ""),
        };
        let digit = |c: char| c.is_ascii_digit();
        let hex = word.chars().all(|c| c.is_ascii_hexdigit());
        if hex && (word.contains(digit) || word.len() == 2) {
            result.push('#');
        } else {
            for c in word.chars() {
                match digit(c) {
                    false => result.push(c),
                    true if result.ends_with('#') => {}
                    true => result.push('#'),
                }
            }
        }
        result += end;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_payload_counts() {
        assert_eq!(payload(b"Hello"), r#" "Hello""#);
        let long = vec![7; 100];
        let mut other = long.clone();
        other[99] = 8;
        assert_ne!(payload(&long), payload(&other));
    }

    #[test]
    fn numbers_become_one_sign_each() {
        assert_eq!(
            without_numbers("took 1024 ms, 3 times"),
            "took # ms, # times"
        );
    }

    fn one_section(lines: &[&str]) -> Ladder {
        Ladder {
            sections: vec![Section {
                title: "at client".to_string(),
                lines: lines.iter().map(|line| line.to_string()).collect(),
            }],
        }
    }

    #[test]
    fn the_first_difference_is_named() {
        let written = one_section(&["> a", "< b"]).to_string();
        assert_eq!(one_section(&["> a", "< b"]).difference(&written), None);
        for (lines, said) in [
            (
                &["> a", "< c"][..],
                "at client, packet 2: the recording has `< b`, this run `< c`",
            ),
            (
                &["> a"],
                "at client, packet 2: the recording has `< b`, this run nothing more",
            ),
            (
                &["> a", "< b", "> d"],
                "at client, packet 3: the recording has nothing more, this run `> d`",
            ),
        ] {
            assert_eq!(
                one_section(lines).difference(&written).as_deref(),
                Some(said)
            );
        }
        let said = one_section(&[]).difference("at client\n\nat server\n");
        assert_eq!(
            said.as_deref(),
            Some("at server: it is in the recording, and not in this run")
        );
    }

    #[test]
    fn what_is_expected_comes_in_its_order_and_in_whole_words() {
        let ladder = one_section(&["> SYN seq 0 len 0", "< SYN ACK", "> data len 12"]);
        let lines = |lines: &[&str]| {
            lines
                .iter()
                .map(|line| line.to_string())
                .collect::<Vec<_>>()
        };
        assert!(
            ladder
                .expect("client", &lines(&["SYN seq 0", "len 12"]))
                .is_ok()
        );
        assert!(
            ladder
                .expect("client", &lines(&["len 12", "SYN seq 0"]))
                .is_err()
        );
        assert!(ladder.expect("client", &lines(&["len 1"])).is_err());
        assert!(ladder.expect("server", &lines(&["SYN"])).is_err());
    }
}
