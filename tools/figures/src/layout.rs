//! Where things stand: time runs downwards, but not evenly, so that nothing overlaps and nothing is far apart.

use wire::{Body, Fate, Flags, Packet, Recording, State, Step, What};

/// Something beside a host's lane.
#[derive(Debug, Clone)]
pub struct Note {
    pub lane: usize,
    pub at_us: i64,
    /// Something that lasts has an end, with words of its own.
    pub end: Option<(i64, String)>,
    pub text: String,
    /// What the lane looks like from here on, if this is the state of a socket.
    pub state: Option<State>,
}

/// A packet on its way from one lane to another.
#[derive(Debug, Clone)]
pub struct Arrow {
    /// The packet's place in the ladder.
    pub packet: usize,
    pub from: usize,
    pub to: usize,
    pub sent_us: i64,
    /// `None` if it was lost.
    pub arrived_us: Option<i64>,
    /// Where on its way it is lost, by the delay of the link.
    pub lost_us: i64,
    pub label: String,
    /// Why it did not arrive.
    pub lost: Option<&'static str>,
    pub payload: bool,
    pub reset: bool,
    /// Whether another arrow crosses it.
    pub crossed: bool,
}

/// Everything with its height.
#[derive(Debug, Default)]
pub struct Layout {
    /// With the heights of beginning and end.
    pub arrows: Vec<(Arrow, i32, i32)>,
    /// With the heights of beginning and end; they are the same for a moment.
    pub notes: Vec<(Note, i32, i32)>,
    /// Times in milliseconds.
    pub times: Vec<(f64, i32)>,
    /// Silence, or packets that are left out: the middle's height, and words.
    pub bands: Vec<(i32, String)>,
    pub height: i32,
}

/// The least distance of two arrows, or of two notes, on one side of a lane.
const ROW: i32 = 18;
/// How far a millisecond is, and how far the longest time without a band.
const PER_MS: f64 = 1.6;
const LONGEST: f64 = 46.0;
/// The height of a note's second line and of those after it.
pub const LINE: i32 = 14;
/// How far a lost packet gets.
pub const LOST_AT: f64 = 0.7;
/// From how many microseconds on silence is a band.
const SILENCE: i64 = 150_000;
const BAND: i32 = 44;
/// More packets than these are folded to the first and the last.
const MANY: usize = 26;
const FIRST: usize = 12;
const LAST: usize = 10;

/// The arrows of a recording, in the order in which they were sent.
pub fn arrows(recording: &Recording, steps: &[Step]) -> Vec<Arrow> {
    let mut arrows: Vec<Arrow> = Vec::new();
    let mut seen: Vec<(usize, Vec<u8>)> = Vec::new();
    for (packet, step) in steps.iter().enumerate() {
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
        let mut label = label(step.acknowledgment, &step.packet);
        // Where a host has several addresses, which one is the point.
        let hosts = &recording.head.hosts;
        if let Body::Tcp(tcp) = &step.packet.body
            && tcp.flags.has(Flags::SYN)
            && !tcp.flags.has(Flags::ACK)
            && hosts.iter().any(|host| host.addresses.len() > 1)
        {
            label += &format!(" to {}", step.packet.destination);
        }
        if let Body::Udp(_) = &step.packet.body {
            let v4 = step.packet.source.is_ipv4();
            let one_of_many = |address| {
                let mut hosts = hosts.iter();
                hosts.any(|host| {
                    let same = host.addresses.iter().filter(|other| other.is_ipv4() == v4);
                    host.addresses.contains(address) && same.count() > 1
                })
            };
            if one_of_many(&step.packet.destination) {
                label = format!("to {}: {label}", step.packet.destination);
            } else if one_of_many(&step.packet.source) {
                label = format!("from {}: {label}", step.packet.source);
            }
        }
        if let Body::Tcp(tcp) = &step.packet.body
            && (!tcp.payload.is_empty() || tcp.flags.has(Flags(Flags::SYN.0 | Flags::FIN.0)))
        {
            let flags = tcp.flags.0 & !Flags::PSH.0;
            let mut key = [tcp.source_port, tcp.destination_port]
                .map(u16::to_be_bytes)
                .concat();
            key.extend(tcp.sequence.to_be_bytes());
            key.push(flags & !Flags::ACK.0);
            key.extend(tcp.payload.first());
            if seen.contains(&(*from, key.clone())) {
                label += " again";
            }
            seen.push((*from, key));
        }
        let arrow =
            |to: usize, arrived_us: Option<i64>, label: String, lost: Option<&'static str>| Arrow {
                packet,
                from: *from,
                to,
                sent_us: event.at_us,
                arrived_us,
                lost_us: event.at_us + (recording.head.link.delay_us as f64 * LOST_AT) as i64,
                label,
                lost,
                payload: !step.packet.payload().is_empty()
                    || matches!(step.packet.body, Body::Fragment { .. }),
                reset: matches!(&step.packet.body, Body::Tcp(tcp) if tcp.flags.has(Flags::RST)),
                crossed: false,
            };
        if arrivals.is_empty() {
            let to = hosts
                .iter()
                .position(|host| host.addresses.contains(&step.packet.destination))
                .filter(|to| to != from)
                .unwrap_or(if *from == 0 {
                    hosts.len().max(2) - 1
                } else {
                    0
                });
            let why = match fate {
                Fate::NoHost => "nobody there",
                Fate::Cut => "cut",
                Fate::QueueFull => "queue full",
                Fate::Passed | Fate::Doubled | Fate::Delayed => "still on its way",
                Fate::Dropped => "lost",
            };
            arrows.push(arrow(to, None, label.clone(), Some(why)));
        }
        for (copy, arrival) in arrivals.iter().enumerate() {
            let label = match (copy, *fate == Fate::Doubled) {
                (0, _) => label.clone(),
                (_, true) => "copy".to_string(),
                (_, false) => String::new(), // a broadcast's other arrows
            };
            arrows.push(arrow(arrival.host, Some(arrival.at_us), label, None));
        }
    }
    for index in 0..arrows.len() {
        let one = &arrows[index];
        let crossed = arrows.iter().any(|other| {
            let ends = |arrow: &Arrow| arrow.arrived_us.unwrap_or(arrow.lost_us);
            other.from != one.from && other.sent_us < ends(one) && one.sent_us < ends(other)
        });
        arrows[index].crossed = crossed;
    }
    arrows
}

/// What stands on an arrow.
fn label(acknowledgment: Option<u32>, packet: &Packet) -> String {
    match &packet.body {
        Body::Tcp(tcp) => {
            let mut words = Vec::new();
            if !tcp.payload.is_empty() {
                words.push(bytes(&tcp.payload));
            }
            let ack = acknowledgment.map(|number| format!("ACK {number}"));
            if tcp.flags.has(Flags(Flags::SYN.0 | Flags::RST.0)) {
                words.push(tcp.flags.to_string());
            } else if tcp.flags.has(Flags::FIN) {
                words.push("FIN".to_string());
                words.extend(ack);
            } else if tcp.payload.is_empty() {
                words.extend(ack);
            }
            if tcp.window == 0 && !tcp.flags.has(Flags::RST) {
                words.push("window 0".to_string());
            }
            words.join(" ")
        }
        Body::Udp(udp) if udp.destination_port == 53 => {
            question(&udp.payload).unwrap_or_else(|| "DNS question".into())
        }
        Body::Udp(udp) if udp.source_port == 53 => "DNS answer".to_string(),
        Body::Udp(udp) => bytes(&udp.payload),
        Body::Icmp(icmp) => format!("ICMP {icmp}"),
        Body::Fragment { offset, length, .. } => format!("fragment: {length} bytes from {offset}"),
        Body::Other(2) => "IGMP".to_string(),
        Body::Other(protocol) => format!("protocol {protocol}"),
    }
}

fn bytes(payload: &[u8]) -> String {
    let count = payload.len();
    let s = if count == 1 { "" } else { "s" };
    match std::str::from_utf8(payload) {
        Ok(text)
            if count > 0
                && count <= 64
                && !text.contains(|c: char| c.is_control() && c != '\n') =>
        {
            format!("{count} byte{s} {text:?}")
        }
        _ => format!("{count} byte{s}"),
    }
}

/// The name and the type that a DNS message asks for: RFC 1035, section 4.1.
fn question(message: &[u8]) -> Option<String> {
    let mut rest = message.get(12..)?;
    let mut name = Vec::new();
    loop {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            rest = after;
            break;
        }
        name.push(String::from_utf8_lossy(after.get(..length.into())?).into_owned());
        rest = after.get(length.into()..)?;
    }
    let kind = match u16::from_be_bytes([*rest.first()?, *rest.get(1)?]) {
        1 => "A",
        28 => "AAAA",
        _ => return None,
    };
    Some(format!("DNS {kind}? {}", name.join(".")))
}

enum Point {
    Sent(usize),
    Arrived(usize),
    Note(usize),
    NoteEnd(usize),
}

/// Splits text into lines of at most so many letters, at spaces where it can, and at most six; the last is cut.
pub fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > most && lines.len() < 5 {
        let space = rest[..=most]
            .iter()
            .rposition(|c| *c == ' ')
            .filter(|at| *at > most / 2);
        let tail = rest.split_off(space.unwrap_or(most));
        lines.push(rest.iter().collect());
        rest = tail.into_iter().skip_while(|c| *c == ' ').collect();
    }
    lines.push(cut(&rest.iter().collect::<String>(), most));
    lines
}

/// At most so many letters, the last of them an ellipsis if there were more.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut = cut.trim_end().to_string();
    // A quotation that was opened is closed.
    let open = cut.matches('"').count() % 2 == 1;
    cut + if open { "…\"" } else { "…" }
}

/// Gives everything its height, from `top` on. `letters` says how long a line of a note may be on a lane; `ms` turns a
/// time into that of the figure.
pub fn layout(
    mut arrows: Vec<Arrow>,
    mut notes: Vec<Note>,
    top: i32,
    letters: impl Fn(usize) -> usize,
    ms: impl Fn(i64) -> f64,
) -> Layout {
    let mut layout = Layout::default();
    let mut folded = None;
    if arrows.len() > MANY {
        let out = arrows.len() - FIRST - LAST;
        let from = arrows[FIRST].sent_us;
        let to = arrows[FIRST + out].sent_us;
        arrows.drain(FIRST..FIRST + out);
        // What begins before goes on into the fold, and ends there. A state that begins in it goes on behind it.
        for index in 0..notes.len() {
            let inside = |note: &Note| (from..to).contains(&note.at_us);
            let lane = notes[index].lane;
            let later = |note: &Note| note.lane == lane && note.state.is_some() && inside(note);
            if later(&notes[index]) && !notes[index + 1..].iter().any(later) {
                notes[index].at_us = to;
            }
        }
        notes.retain(|note| note.at_us < from || note.at_us >= to);
        for arrow in &mut arrows[..FIRST] {
            arrow.arrived_us = arrow.arrived_us.map(|at| at.min(from));
        }
        folded = Some((from, to, format!("{out} more packets, in the captures")));
    }

    let mut points = Vec::new();
    for (index, arrow) in arrows.iter().enumerate() {
        points.push((arrow.sent_us, Point::Sent(index)));
        points.push((
            arrow.arrived_us.unwrap_or(arrow.lost_us),
            Point::Arrived(index),
        ));
    }
    for (index, note) in notes.iter().enumerate() {
        points.push((note.at_us, Point::Note(index)));
        points.extend(note.end.iter().map(|(at, _)| (*at, Point::NoteEnd(index))));
    }
    points.sort_by_key(|(at, _)| *at);
    // Before the first packet, programs only start.
    let first = arrows.first().map(|arrow| arrow.sent_us);

    let mut sent = vec![0; arrows.len()];
    let mut arrived = vec![0; arrows.len()];
    let mut begun = vec![0; notes.len()];
    let mut ended = vec![0; notes.len()];
    // The last height of each kind of thing on each lane: notes, and both ends of arrows.
    let mut rows: Vec<((u8, usize, usize), i32)> = Vec::new();
    let mut y = top;
    let mut before: Option<i64> = None;
    // Nothing of what has begun may hang into a band: a lost packet, a note of several lines.
    let mut reach = top;
    for (at, point) in points {
        if let Some(before) = before {
            let gap = at - before;
            let fold = folded.take_if(|(from, to, _)| before <= *from && at >= *to);
            if let Some((_, _, words)) = fold {
                y = y.max(reach);
                layout.bands.push((y + BAND / 2, words));
                y += BAND;
            } else if gap > SILENCE && Some(before) >= first {
                y = y.max(reach);
                layout
                    .bands
                    .push((y + BAND / 2, format!("{} of silence", seconds(gap))));
                y += BAND;
            } else {
                y += (gap as f64 / 1000.0 * PER_MS).min(LONGEST).round() as i32;
            }
        }
        before = Some(at);
        let row = match point {
            Point::Sent(index) => (0, arrows[index].from, 0),
            Point::Arrived(index) => (1, arrows[index].to, arrows[index].from),
            Point::Note(index) | Point::NoteEnd(index) => (2, notes[index].lane, 0),
        };
        match rows.iter_mut().find(|(known, _)| *known == row) {
            Some((_, last)) => {
                // The copies of a broadcast leave together.
                let together = matches!(point, Point::Sent(index) if index > 0 && arrows[index - 1].sent_us == at);
                y = y.max(*last + if together { 0 } else { ROW });
                *last = y;
            }
            None => rows.push((row, y)),
        }
        match point {
            Point::Sent(index) => sent[index] = y,
            Point::Arrived(index) => {
                // An arrow that is nearly flat has no place for its label.
                y = y.max(
                    sent[index]
                        + if arrows[index].arrived_us.is_some() {
                            26
                        } else {
                            20
                        },
                );
                rows.iter_mut()
                    .filter(|(known, _)| *known == row)
                    .for_each(|(_, last)| *last = y);
                arrived[index] = y;
                // The cross is larger than the tip of an arrow.
                reach = reach.max(y + 6);
            }
            Point::Note(index) | Point::NoteEnd(index) => {
                let note = &notes[index];
                let text = match (&point, &note.end) {
                    (Point::NoteEnd(_), Some((_, text))) => text,
                    _ => &note.text,
                };
                match point {
                    Point::NoteEnd(_) => ended[index] = y,
                    _ => begun[index] = y,
                }
                let more = (wrap(text, letters(note.lane)).len() as i32 - 1) * LINE;
                rows.iter_mut()
                    .filter(|(known, _)| *known == row)
                    .for_each(|(_, last)| *last = y + more);
                reach = reach.max(y + more);
            }
        }
        let is_seen = match point {
            Point::Sent(_) => true,
            Point::Arrived(index) => arrows[index].arrived_us.is_some(),
            _ => false,
        };
        if is_seen && layout.times.last().is_none_or(|(_, last)| y - last >= 14) {
            layout.times.push((ms(at), y));
        }
        layout.height = layout.height.max(y).max(reach);
    }
    // A lost packet falls beside one that arrives, not across it.
    for lost in 0..arrows.len() {
        let beside = (0..arrows.len()).find(|other| {
            let (arrow, other) = (&arrows[lost], &arrows[*other]);
            let together = arrow.sent_us < other.arrived_us.unwrap_or(i64::MIN)
                && other.sent_us < arrow.lost_us;
            together && (arrow.from, arrow.to) == (other.from, other.to)
        });
        if arrows[lost].arrived_us.is_none()
            && let Some(other) = beside
        {
            let fall = f64::from(arrived[other] - sent[other]) * LOST_AT;
            arrived[lost] = sent[lost] + fall.round() as i32;
        }
    }
    for (index, arrow) in arrows.into_iter().enumerate() {
        let end = arrived[index];
        layout.height = layout.height.max(end);
        layout.arrows.push((arrow, sent[index], end));
    }
    for (index, note) in notes.into_iter().enumerate() {
        let end = if note.end.is_some() {
            ended[index]
        } else {
            begun[index]
        };
        layout.notes.push((note, begun[index], end));
    }
    layout
}

/// A time of at least a tenth of a second.
fn seconds(us: i64) -> String {
    format!("{:.2} s", us as f64 / 1e6)
}
