//! How many bytes of a host are on their way, over time: sent, and not acknowledged yet.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use wire::{Body, Flags, Recording, Step, TcpOption, What};

use crate::figure::{Figure, escape};

/// What a host knows at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Moment {
    at_us: i64,
    /// Sent, and neither acknowledged nor reported as arrived.
    flight: u32,
    /// What the peer has room for beyond what it has acknowledged; 0 before it has said so.
    window: u32,
}

/// A segment that matters more than the others.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mark {
    at_us: i64,
    flight: u32,
    kind: Kind,
    /// The number of its first byte.
    sequence: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lost,
    Again,
}

struct Flight {
    moments: Vec<Moment>,
    marks: Vec<Mark>,
}

pub fn html(figure: &Figure, host: &str, caption: &str) -> Result<String> {
    let recording = figure.recording;
    let hosts = &recording.head.hosts;
    let Some(index) = hosts.iter().position(|known| known.name == host) else {
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        bail!("the scene has no host {host}, only {}", names.join(", "));
    };
    let steps = wire::steps(recording);
    let flight = follow(recording, &steps, index);
    if flight.moments.is_empty() {
        bail!("{host} sends no byte over TCP in this recording");
    }
    let mut drawing = String::new();
    for page in [&WIDE, &NARROW] {
        drawing += &svg(figure, page, index, &flight);
    }
    Ok(figure.html("flight", &drawing, caption, &words(figure, host, &flight)))
}

/// Goes through the packets in the order in which the host sends and receives them.
fn follow(recording: &Recording, steps: &[Step], host: usize) -> Flight {
    let mut seen: Vec<(i64, bool, bool, &Step)> = Vec::new();
    for step in steps {
        if let What::Packet {
            from,
            fate,
            arrivals,
            ..
        } = &recording.events[step.event].what
        {
            if *from == host {
                seen.push((
                    recording.events[step.event].at_us,
                    true,
                    fate.is_lost(),
                    step,
                ));
            }
            let here = arrivals.iter().filter(|arrival| arrival.host == host);
            seen.extend(here.map(|arrival| (arrival.at_us, false, false, step)));
        }
    }
    seen.sort_by_key(|(at, ..)| *at);

    let mut flight = Flight {
        moments: Vec::new(),
        marks: Vec::new(),
    };
    // The number after the last byte that was sent, and the last acknowledgment.
    let (mut sent, mut acknowledged) = (0, 0);
    let mut arrived: Vec<(u32, u32)> = Vec::new();
    let (mut window, mut shift) = (0, 0);
    for (at_us, is_mine, is_lost, step) in seen {
        let Body::Tcp(tcp) = &step.packet.body else {
            continue;
        };
        let count = tcp.payload.len() as u32;
        let mut kind = None;
        if is_mine {
            let end = step.sequence + count;
            if count > 0 && is_lost {
                kind = Some(Kind::Lost);
            } else if count > 0 && end <= sent {
                kind = Some(Kind::Again);
            }
            sent = sent.max(end);
        } else {
            for option in &tcp.options {
                if let TcpOption::WindowScale(scale) = option {
                    shift = u32::from(*scale);
                }
            }
            // The window of a SYN is not scaled.
            let is_syn = tcp.flags.has(Flags::SYN);
            window = u32::from(tcp.window) << if is_syn { 0 } else { shift };
            acknowledged = acknowledged.max(step.acknowledgment.unwrap_or_default());
            arrived.extend(&step.sack);
            arrived.retain(|(_, to)| *to > acknowledged);
        }
        if sent <= 1 {
            continue; // the handshake
        }
        let now = sent.saturating_sub(acknowledged.max(1)) - covered(&arrived, acknowledged, sent);
        flight.moments.push(Moment {
            at_us,
            flight: now,
            window,
        });
        flight.marks.extend(kind.map(|kind| Mark {
            at_us,
            flight: now,
            kind,
            sequence: step.sequence,
        }));
    }
    flight
}

/// How many bytes between two numbers the blocks cover, which may overlap.
pub fn covered(blocks: &[(u32, u32)], from: u32, to: u32) -> u32 {
    let mut blocks = blocks.to_vec();
    blocks.sort_unstable();
    let (mut count, mut at) = (0, from);
    for (begin, end) in blocks {
        let (begin, end) = (begin.max(at), end.min(to));
        count += end.saturating_sub(begin);
        at = at.max(end);
    }
    count
}

struct Page {
    class: &'static str,
    width: i32,
    height: i32,
    /// The left end of the time axis.
    left: i32,
    /// About how many times stand below it.
    times: f64,
}

const WIDE: Page = Page {
    class: "wide",
    width: 760,
    height: 320,
    left: 70,
    times: 8.0,
};
const NARROW: Page = Page {
    class: "narrow",
    width: 340,
    height: 280,
    left: 44,
    times: 4.0,
};
impl Page {
    /// Where the words above the axes begin.
    fn label(&self) -> i32 {
        if self.left > 50 { self.left } else { 6 }
    }
}

const TOP: i32 = 44;
const RIGHT: i32 = 18;
const BELOW: i32 = 46;

fn svg(figure: &Figure, page: &Page, host: usize, flight: &Flight) -> String {
    let (first, last) = (flight.moments[0], flight.moments[flight.moments.len() - 1]);
    let (from, to) = (figure.ms(first.at_us), figure.ms(last.at_us));
    let most = flight.moments.iter().map(|moment| moment.flight).max();
    let most = f64::from(most.unwrap_or(1)) * 1.12;
    let (width, height) = (page.width - RIGHT - page.left, page.height - BELOW - TOP);
    let x = |at_us: i64| {
        let share = (figure.ms(at_us) - from) / (to - from).max(0.001);
        page.left + (share * f64::from(width)).round() as i32
    };
    let y = |bytes: u32| {
        let share = (f64::from(bytes) / most).min(1.0);
        TOP + height - (share * f64::from(height)).round() as i32
    };
    let mut out = format!(
        "<svg class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
        page.class,
        page.width,
        page.height,
        escape(&format!(
            "Bytes on their way, over time. {} The same in words follows.",
            figure.recording.head.about
        ))
    );
    let bottom = TOP + height;
    let _ = write!(
        out,
        "<text class=\"axis s\" x=\"{}\" y=\"16\">kilobytes on their way from {}</text>",
        page.label(),
        escape(&figure.recording.head.hosts[host].name)
    );
    let step = round_step(most / 1000.0 / 4.0);
    for number in 0..=(most / 1000.0 / step) as u32 {
        let kilobytes = f64::from(number) * step;
        let y = y((kilobytes * 1000.0) as u32);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{} {y}h{width}\"/><text class=\"time\" x=\"{}\" y=\"{}\">{kilobytes}</text>",
            page.left,
            page.left - 8,
            y + 4
        );
    }
    let step = round_step((to - from) / page.times);
    let mut time = (from / step).ceil() * step;
    while time <= to {
        let x = page.left + ((time - from) / (to - from).max(0.001) * f64::from(width)) as i32;
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{x} {bottom}v5\"/><text class=\"axis\" x=\"{x}\" y=\"{}\">{time}</text>",
            bottom + 18
        );
        time += step;
    }
    let _ = write!(
        out,
        "<text class=\"axis\" x=\"{}\" y=\"{}\">milliseconds from the first packet</text>",
        page.left + width / 2,
        bottom + 38
    );

    // The window of the peer, where it is near enough to be seen.
    let near = |moment: &&Moment| moment.window > 0 && f64::from(moment.window) <= most;
    if flight.moments.iter().any(|moment| near(&moment)) {
        let points = flight.moments.iter().filter(|moment| moment.window > 0);
        let path = steps(points.map(|moment| (x(moment.at_us), y(moment.window))));
        let _ = write!(
            out,
            "<path class=\"window\" d=\"{path}\"/><text class=\"axis s\" x=\"{}\" y=\"31\">dashed: what the other side has room for</text>",
            page.label()
        );
    }
    let points = flight.moments.iter();
    let line = steps(points.map(|moment| (x(moment.at_us), y(moment.flight))));
    let c = host % 4;
    let _ = write!(
        out,
        "<path class=\"area c{c}\" d=\"{line}V{bottom}H{}z\"/><path class=\"arrow c{c}\" d=\"{line}\"/>",
        x(first.at_us)
    );
    for mark in &flight.marks {
        let (x, y) = (x(mark.at_us), y(mark.flight));
        out += &match mark.kind {
            Kind::Lost => format!(
                "<path class=\"cross\" d=\"M{} {}l10 10m0 -10l-10 10\"/>",
                x - 5,
                y - 5
            ),
            Kind::Again => format!("<circle class=\"again\" cx=\"{x}\" cy=\"{y}\" r=\"5\"/>"),
        };
    }
    out + "</svg>"
}

/// Straight lines from point to point, first along and then up or down. Points at one place are one.
fn steps(points: impl Iterator<Item = (i32, i32)>) -> String {
    let mut path = String::new();
    let mut at: Option<(i32, i32)> = None;
    let mut end = None;
    for (x, y) in points {
        end = Some(x);
        match at {
            None => path += &format!("M{x} {y}"),
            Some((last_x, last_y)) => {
                if x != last_x && y != last_y {
                    path += &format!("H{x}");
                }
                if y != last_y {
                    path += &format!("V{y}");
                }
                if y == last_y {
                    continue;
                }
            }
        }
        at = Some((x, y));
    }
    // What stays as it is to the end is drawn to the end.
    match (at, end) {
        (Some((x, _)), Some(end)) if end != x => path + &format!("H{end}"),
        _ => path,
    }
}

/// 1, 2 or 5, with zeros behind or before: the next one that is not less.
pub fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-6).log10().floor());
    let found = [1.0, 2.0, 5.0].iter().find(|step| **step * power >= least);
    found.unwrap_or(&10.0) * power
}

/// The marks, and the highest and lowest between them.
fn words(figure: &Figure, host: &str, flight: &Flight) -> String {
    let mut items: Vec<(i64, String)> = flight
        .marks
        .iter()
        .map(|mark| {
            let what = match mark.kind {
                Kind::Lost => "is lost",
                Kind::Again => "is sent again",
            };
            let said = format!("the segment from byte {} {what}", mark.sequence);
            (mark.at_us, said)
        })
        .collect();
    let mut borders: Vec<i64> = vec![flight.moments[0].at_us];
    borders.extend(flight.marks.iter().map(|mark| mark.at_us));
    borders.push(i64::MAX);
    for pair in borders.windows(2) {
        let between: Vec<&Moment> = flight
            .moments
            .iter()
            .filter(|moment| (pair[0]..pair[1]).contains(&moment.at_us))
            .collect();
        let highest = between.iter().rev().max_by_key(|moment| moment.flight);
        let lowest = between.iter().min_by_key(|moment| moment.flight);
        for (name, moment) in [("most", highest), ("least", lowest)] {
            if let Some(moment) = moment {
                let said = format!(
                    "the {name} on their way up to the next mark: {} bytes, with a window of {}",
                    moment.flight, moment.window
                );
                items.push((moment.at_us, said));
            }
        }
    }
    items.sort();
    items.dedup();
    let items: String = items
        .iter()
        .map(|(at, said)| format!("<li><b>{:.1}</b> {said}</li>", figure.ms(*at)))
        .collect();
    format!(
        "<p>Bytes that {} has sent and of whose arrival it does not know yet. Times are in milliseconds from the first \
         packet.</p><ol>{items}</ol>",
        escape(host)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_overlap_count_once() {
        assert_eq!(covered(&[(20, 30), (10, 25), (40, 50)], 15, 45), 20);
        assert_eq!(covered(&[], 0, 9), 0);
    }

    #[test]
    fn steps_are_round() {
        assert_eq!(round_step(0.3), 0.5);
        assert_eq!(round_step(7.0), 10.0);
        assert_eq!(round_step(20.0), 20.0);
    }

    #[test]
    fn a_line_goes_along_and_then_up_and_to_the_end() {
        let points = [(0, 9), (0, 5), (4, 5), (6, 2), (6, 2), (9, 2)];
        assert_eq!(steps(points.into_iter()), "M0 9V5H6V2H9");
    }
}
