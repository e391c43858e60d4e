//! One packet, byte by byte.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use wire::What;

use crate::figure::{Figure, escape};
use crate::frame;

/// `number` counts the packets of the host's capture from 1, as Wireshark does.
pub fn html(figure: &Figure, host: &str, number: &str, caption: &str) -> Result<String> {
    let hosts = &figure.recording.head.hosts;
    let Some(index) = hosts.iter().position(|known| known.name == host) else {
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        bail!("the scene has no host {host}, only {}", names.join(", "));
    };
    let number: usize = number
        .parse()
        .with_context(|| format!("{number:?} is no number of a packet"))?;
    let packets = packets_of(figure, index);
    let Some(packet) = number.checked_sub(1).and_then(|index| packets.get(index)) else {
        bail!(
            "the capture of {host} has {} packets, so none is number {number}",
            packets.len()
        );
    };
    let mut out = String::new();
    for (part, bytes) in frame::parts(packet).iter().enumerate() {
        let mut rows = String::new();
        let mut rest = &bytes.bytes[..];
        for field in &bytes.fields {
            let (these, after) = rest.split_at(field.length);
            rest = after;
            let _ = write!(
                rows,
                "<tr><td><code>{}</code></td><th scope=\"row\">{}</th><td>{}</td></tr>",
                hex(these),
                field.name,
                escape(&field.value)
            );
        }
        // A single field would say the same twice.
        let whole = match bytes.fields.len() {
            1 => String::new(),
            _ => format!(" <code>{}</code>", hex(&bytes.bytes)),
        };
        let _ = write!(
            out,
            "<div class=\"part p{part}\"><p><b>{}</b> {} bytes{whole}</p><table>{rows}</table></div>",
            bytes.name,
            bytes.bytes.len()
        );
    }
    Ok(figure.html("dissection", &out, caption, ""))
}

/// The packets of a host's capture, in its order.
fn packets_of<'a>(figure: &'a Figure, host: usize) -> Vec<&'a [u8]> {
    let mut packets: Vec<(i64, &[u8])> = Vec::new();
    for event in &figure.recording.events {
        if let What::Packet {
            from,
            arrivals,
            bytes,
            ..
        } = &event.what
        {
            if *from == host {
                packets.push((event.at_us, bytes));
            }
            let here = arrivals.iter().filter(|arrival| arrival.host == host);
            packets.extend(here.map(|arrival| (arrival.at_us, &bytes[..])));
        }
    }
    packets.sort_by_key(|(at, _)| *at);
    packets.into_iter().map(|(_, bytes)| bytes).collect()
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
