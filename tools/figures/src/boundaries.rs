//! The same bytes three times: as the program wrote them, as the segments carried them, as the other program read them.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use wire::{Body, Recording, What};

use crate::figure::{Figure, escape};

/// A piece of the stream, by the place of its first byte and of the one after its last.
type Piece = (usize, usize);

struct Rows {
    written: Vec<Piece>,
    segments: Vec<Piece>,
    read: Vec<Piece>,
    bytes: Vec<u8>,
    reader: usize,
}

pub fn html(figure: &Figure, host: &str, caption: &str) -> Result<String> {
    let recording = figure.recording;
    let hosts = &recording.head.hosts;
    let Some(sender) = hosts.iter().position(|known| known.name == host) else {
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        bail!("the scene has no host {host}, only {}", names.join(", "));
    };
    let rows = rows(recording, sender)?;
    let mut drawing = String::new();
    for page in [&WIDE, &NARROW] {
        drawing += &svg(figure, page, sender, &rows);
    }
    Ok(figure.html("boundaries", &drawing, caption, &words(&rows)))
}

fn rows(recording: &Recording, sender: usize) -> Result<Rows> {
    let steps = wire::steps(recording);
    let mut bytes: Vec<u8> = Vec::new();
    let mut segments: Vec<Piece> = Vec::new();
    let mut reader = None;
    for step in steps {
        let What::Packet { from, arrivals, .. } = &recording.events[step.event].what else {
            continue;
        };
        let (Body::Tcp(tcp), Some(arrival)) = (&step.packet.body, arrivals.first()) else {
            continue;
        };
        if *from != sender || tcp.payload.is_empty() {
            continue;
        }
        reader = Some(arrival.host);
        // The first byte of a connection has the number 1.
        let begin = step.sequence.saturating_sub(1) as usize;
        let end = begin + tcp.payload.len();
        if end > bytes.len() {
            bytes.resize(end, 0);
        }
        bytes[begin..end].copy_from_slice(&tcp.payload);
        // What came before, and came again, is no new piece.
        if !segments
            .iter()
            .any(|known| known.0 <= begin && end <= known.1)
        {
            segments.push((begin, end));
        }
    }
    let Some(reader) = reader else {
        bail!("no byte of TCP arrives from this host");
    };
    segments.sort_unstable();
    let written = calls(recording, sender, &["write", "writev", "sendto", "sendmsg"]);
    let read = calls(recording, reader, &["read", "readv", "recvfrom", "recvmsg"]);
    if written.is_empty() || read.is_empty() {
        bail!("the scene does not trace both programs; set `calls = true` for them");
    }
    for (who, pieces) in [("were written", &written), ("were read", &read)] {
        let end = pieces.last().map_or(0, |(_, end)| *end);
        if end != bytes.len() {
            bail!(
                "{} bytes crossed, and {end} {who}; a figure of one connection in one direction needs all of them",
                bytes.len()
            );
        }
    }
    Ok(Rows {
        written,
        segments,
        read,
        bytes,
        reader,
    })
}

/// What each of these calls on a host moved, one after the other. Those that moved nothing are left out.
fn calls(recording: &Recording, host: usize, names: &[&str]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for event in &recording.events {
        if let What::Call {
            program,
            name,
            result,
            ..
        } = &event.what
            && recording.head.programs[*program].host == host
            && names.contains(&name.as_str())
            && let Ok(count) = result.parse::<usize>()
            && count > 0
        {
            pieces.push((at, at + count));
            at += count;
        }
    }
    pieces
}

struct Page {
    class: &'static str,
    width: i32,
    /// Where the bytes begin; the words stand on their left, or above them.
    left: i32,
    row: i32,
    /// How far a box stays away from a cut.
    gap: i32,
}

const WIDE: Page = Page {
    class: "wide",
    width: 760,
    left: 150,
    row: 74,
    gap: 3,
};
const NARROW: Page = Page {
    class: "narrow",
    width: 340,
    left: 4,
    row: 86,
    gap: 2,
};
/// The height of a byte.
const CELL: i32 = 34;
/// With more messages than this, lines at their borders would hide the rest.
const GUIDES: usize = 12;

fn svg(figure: &Figure, page: &Page, sender: usize, rows: &Rows) -> String {
    let hosts = &figure.recording.head.hosts;
    let is_above = page.left < 100;
    let lead = if is_above { 34 } else { 12 };
    let height = 2 * page.row + lead + CELL + 14;
    let mut out = format!(
        "<svg class=\"{}\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{}\">",
        page.class,
        page.width,
        escape(&format!(
            "The same bytes as they were written, sent and read. {} The same in words follows.",
            figure.recording.head.about
        ))
    );
    let count = rows.bytes.len();
    let scale = f64::from(page.width - page.left - 6) / count as f64;
    let x = |at: usize| page.left + (at as f64 * scale).round() as i32;
    // A letter needs this much room.
    let letters = scale >= 7.5;
    let named = [
        (
            "written".to_string(),
            format!(
                "{} by {}",
                calls_of(&rows.written, "call"),
                hosts[sender].name
            ),
            &rows.written,
        ),
        (
            "on the wire".to_string(),
            format!("{} arrived", calls_of(&rows.segments, "segment")),
            &rows.segments,
        ),
        (
            "read".to_string(),
            format!(
                "{} by {}",
                calls_of(&rows.read, "call"),
                hosts[rows.reader].name
            ),
            &rows.read,
        ),
    ];
    // Each border that was written, down to the last row. It shows behind a box that goes across it.
    if rows.written.len() <= GUIDES {
        for (_, end) in rows.written.iter().rev().skip(1) {
            let _ = write!(
                out,
                "<path class=\"border\" d=\"M{} {}V{}\"/>",
                x(*end),
                lead - 6,
                lead + 2 * page.row + CELL + 6
            );
        }
    }
    for (row, (name, what, pieces)) in (0..).zip(&named) {
        let y = row * page.row + lead;
        let (text_x, text_y) = if is_above {
            (page.left, y - 8)
        } else {
            (8, y + 15)
        };
        let what = escape(what);
        out += &match is_above {
            true => format!(
                "<text class=\"title s\" x=\"{text_x}\" y=\"{text_y}\">{name}: {what}</text>"
            ),
            false => format!(
                "<text class=\"title s\" x=\"{text_x}\" y=\"{text_y}\">{name}</text><text class=\"axis s\" x=\"{text_x}\" y=\"{}\">{what}</text>",
                text_y + 16
            ),
        };
        for (begin, end) in pieces.iter() {
            let (x1, x2) = (x(*begin), x(*end));
            // A gap on both sides of each cut, unless the pieces are too many for one.
            let gap = ((x2 - x1) / 4).min(page.gap);
            let (left, right) = (x1 + gap, (x2 - gap).max(x1 + gap + 1));
            // A colour for each message, whoever cut it where.
            for (message, (first, last)) in rows.written.iter().enumerate() {
                let (from, to) = (x(*first).max(left), x(*last).min(right));
                if from < to {
                    let _ = write!(
                        out,
                        "<path class=\"message m{}\" d=\"M{from} {y}H{to}v{CELL}H{from}z\"/>",
                        message % 4,
                    );
                }
            }
            let _ = write!(
                out,
                "<rect class=\"piece\" x=\"{left}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"5\"/>",
                y - 1,
                right - left,
                CELL + 2
            );
            let label = format!("{}", end - begin);
            if letters {
                // One element for all, with a place for each: a page of such figures is large enough.
                let mut places = String::new();
                let mut text = String::new();
                for (index, byte) in rows.bytes[*begin..*end].iter().enumerate() {
                    let middle =
                        page.left + ((*begin as f64 + index as f64 + 0.5) * scale).round() as i32;
                    let _ = write!(places, "{middle} ");
                    text += &shown(*byte);
                }
                let _ = write!(
                    out,
                    "<text class=\"byte\" x=\"{}\" y=\"{}\">{text}</text>",
                    places.trim_end(),
                    y + CELL / 2 + 5,
                );
            } else if f64::from(x2 - x1) > label.len() as f64 * 7.5 + 6.0 {
                let _ = write!(
                    out,
                    "<text class=\"byte\" x=\"{}\" y=\"{}\">{label}</text>",
                    (x1 + x2) / 2,
                    y + CELL / 2 + 5
                );
            }
        }
    }
    out + "</svg>"
}

/// A byte as one sign.
fn shown(byte: u8) -> String {
    match byte {
        b'\n' => "⏎".to_string(),
        b' ' => "␣".to_string(),
        b'!'..=b'~' => escape(&char::from(byte).to_string()),
        _ => "·".to_string(),
    }
}

fn calls_of(pieces: &[Piece], noun: &str) -> String {
    let count = pieces.len();
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

fn words(rows: &Rows) -> String {
    let list = |name: &str, pieces: &[Piece]| {
        let items: String = pieces
            .iter()
            .map(|(begin, end)| {
                let bytes = &rows.bytes[*begin..*end];
                let text = match std::str::from_utf8(bytes) {
                    Ok(text) if bytes.len() <= 40 => {
                        format!(": <code>{}</code>", escape(&format!("{text:?}")))
                    }
                    _ => String::new(),
                };
                let count = end - begin;
                let s = if count == 1 { "" } else { "s" };
                format!("<li>{count} byte{s}{text}</li>")
            })
            .collect();
        format!("<p>{name}:</p><ol>{items}</ol>")
    };
    list("Written", &rows.written)
        + &list("On the wire", &rows.segments)
        + &list("Read", &rows.read)
}
