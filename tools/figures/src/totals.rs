//! Several recordings beside each other: how long, how many packets, how many bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use wire::{Body, Recording, SceneFile, What};

use crate::figure::{self, escape};
use crate::flight;

/// What one recording adds up to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Totals {
    /// From the first packet to the first one with payload, in microseconds.
    first_us: i64,
    /// From the first packet to the arrival of the last payload that had not arrived before.
    last_us: i64,
    packets: usize,
    lost: usize,
    /// Of IP packets, headers and all, those that were lost too.
    bytes: usize,
    /// Payload of the host that sends most of it, as far as it arrived: of TCP each byte once.
    payload: usize,
}

pub fn html(scenes: &[(&SceneFile, &Recording)], caption: &str) -> Result<String> {
    let mut rows = Vec::new();
    for (file, recording) in scenes {
        match totals(recording) {
            Some(totals) => rows.push((*file, *recording, totals)),
            None => bail!("no byte of payload arrives in the scene {}", file.name),
        }
    }
    let longest = rows.iter().map(|(.., totals)| totals.last_us).max();
    let longest = longest.unwrap_or(1) as f64;
    let most = rows.iter().map(|(.., totals)| totals.payload).max();
    let most = most.unwrap_or(1) as f64;
    let mut body = String::new();
    for (file, recording, totals) in &rows {
        let label = recording.head.label.as_deref().unwrap_or(&file.name);
        let _ = write!(
            body,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}{}</td><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(label),
            milliseconds(totals.first_us),
            milliseconds(totals.last_us),
            bar(totals.last_us as f64 / longest),
            thousands(totals.payload),
            bar(totals.payload as f64 / most),
            thousands(totals.packets),
            thousands(totals.lost),
            thousands(totals.bytes),
        );
    }
    let drawing = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Recordings beside each other\"><table><thead><tr>\
         <td></td><th scope=\"col\">first payload sent, ms</th><th scope=\"col\">last payload there, ms</th>\
         <th scope=\"col\">payload there</th><th scope=\"col\">packets</th><th scope=\"col\">lost</th>\
         <th scope=\"col\">bytes sent</th></tr></thead><tbody>{body}</tbody></table></div>"
    );
    let names: Vec<String> = rows
        .iter()
        .map(|(file, ..)| format!("<code>{}</code>", escape(&file.name)))
        .collect();
    let source = format!(
        "Linux {}, counted in the recordings {}. Times are from the first packet; bytes are those of whole IP packets.",
        escape(&rows[0].1.head.kernel),
        names.join(", "),
    );
    Ok(figure::html("totals", None, &drawing, caption, &source, ""))
}

fn totals(recording: &Recording) -> Option<Totals> {
    let steps = wire::steps(recording);
    let packets = || {
        steps.iter().filter_map(|step| {
            let event = &recording.events[step.event];
            match &event.what {
                What::Packet {
                    from,
                    fate,
                    arrivals,
                    bytes,
                    size,
                } => Some((
                    step,
                    event.at_us,
                    *from,
                    fate.is_lost(),
                    arrivals,
                    size.unwrap_or(bytes.len()),
                )),
                _ => None,
            }
        })
    };
    let mut sent = vec![0; recording.head.hosts.len()];
    for (step, _, from, ..) in packets() {
        sent[from] += step.packet.payload().len();
    }
    let (sender, _) = sent
        .iter()
        .enumerate()
        .rev()
        .max_by_key(|(_, sent)| **sent)?;
    let (_, start, ..) = packets().next()?;
    let (_, first, ..) = packets().find(|(step, ..)| !step.packet.payload().is_empty())?;
    let mut totals = Totals {
        first_us: first - start,
        last_us: 0,
        packets: 0,
        lost: 0,
        bytes: 0,
        payload: 0,
    };
    // Of each connection, the bytes that have arrived.
    let mut arrived: BTreeMap<(u16, u16), Vec<(u32, u32)>> = BTreeMap::new();
    for (step, _, from, is_lost, arrivals, size) in packets() {
        totals.packets += 1;
        totals.lost += usize::from(is_lost);
        totals.bytes += size;
        let Some(arrival) = arrivals.first().filter(|_| from == sender) else {
            continue;
        };
        let count = match &step.packet.body {
            Body::Tcp(tcp) => {
                let known = arrived
                    .entry((tcp.source_port, tcp.destination_port))
                    .or_default();
                let end = step.sequence + tcp.payload.len() as u32;
                let new = end - step.sequence - flight::covered(known, step.sequence, end);
                known.push((step.sequence, end));
                new as usize
            }
            Body::Udp(udp) => udp.payload.len(),
            _ => 0,
        };
        if count > 0 {
            totals.payload += count;
            totals.last_us = totals.last_us.max(arrival.at_us - start);
        }
    }
    (totals.payload > 0).then_some(totals)
}

/// A share of the longest one of its column.
fn bar(share: f64) -> String {
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <path class=\"bar\" d=\"M0 0h{:.1}v8H0z\"/></svg>",
        share * 100.0
    )
}

fn milliseconds(us: i64) -> String {
    thousands((us as f64 / 1000.0).round() as usize)
}

/// With a space after each three digits, that does not break.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(1048576), "1\u{a0}048\u{a0}576");
    }
}
