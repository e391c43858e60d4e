//! Captures in the pcapng format, for Wireshark and `tshark`: one for each host, as its interface saw it.
//!
//! The format is [draft-ietf-opsawg-pcapng](https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/).

use crate::recording::{Recording, What};

/// The capture of one host, by its index: what it sent, with what became of it, and what reached it.
pub fn capture_of(recording: &Recording, host: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let mut section = Vec::new();
    section.extend(0x1A2B_3C4D_u32.to_le_bytes()); // byte-order magic
    section.extend(1_u16.to_le_bytes()); // version 1.0
    section.extend(0_u16.to_le_bytes());
    section.extend(u64::MAX.to_le_bytes()); // the section's length: not given
    option(&mut section, 4, b"On the Wire"); // shb_userappl
    option(&mut section, 0, b"");
    block(&mut output, 0x0A0D_0D0A, &section);

    let mut interface = Vec::new();
    interface.extend(101_u16.to_le_bytes()); // LINKTYPE_RAW: packets begin with their IP header
    interface.extend(0_u16.to_le_bytes());
    interface.extend(0_u32.to_le_bytes()); // no limit; a packet that was cut says so itself
    option(
        &mut interface,
        2,
        recording.head.hosts[host].name.as_bytes(),
    ); // if_name
    option(&mut interface, 9, &[6]); // if_tsresol: microseconds
    option(&mut interface, 0, b"");
    block(&mut output, 1, &interface);

    // Time, bytes, how many there were, whether it was sent here, comment.
    let mut seen = Vec::new();
    for event in &recording.events {
        let What::Packet {
            from,
            fate,
            arrivals,
            bytes,
            size,
        } = &event.what
        else {
            continue;
        };
        let fate = fate.to_string();
        if *from == host {
            let comment = (fate != "passed").then(|| format!("link: {fate}"));
            seen.push((event.at_us, bytes, *size, true, comment));
        }
        for (copy, arrival) in arrivals.iter().filter(|to| to.host == host).enumerate() {
            let comment = (copy > 0).then(|| "link: the copy".to_string());
            seen.push((arrival.at_us, bytes, *size, false, comment));
        }
    }
    seen.sort_by_key(|(at, ..)| *at);
    for (at, bytes, size, sent, comment) in seen {
        let time = recording.head.zero_us.saturating_add_signed(at);
        let [captured, original] =
            [bytes.len(), size.unwrap_or(bytes.len())].map(|length| (length as u32).to_le_bytes());
        let mut packet = Vec::new();
        packet.extend(0_u32.to_le_bytes()); // the one interface
        packet.extend(((time >> 32) as u32).to_le_bytes());
        packet.extend((time as u32).to_le_bytes());
        packet.extend(captured);
        packet.extend(original);
        packet.extend(bytes);
        packet.resize(packet.len().next_multiple_of(4), 0);
        if let Some(comment) = comment {
            option(&mut packet, 1, comment.as_bytes());
        }
        let direction: u32 = if sent { 2 } else { 1 };
        option(&mut packet, 2, &direction.to_le_bytes()); // epb_flags
        option(&mut packet, 0, b"");
        block(&mut output, 6, &packet);
    }
    output
}

fn block(output: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (12 + body.len() as u32).to_le_bytes();
    output.extend(kind.to_le_bytes());
    output.extend(length);
    output.extend(body);
    output.extend(length);
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend(code.to_le_bytes());
    block.extend((value.len() as u16).to_le_bytes());
    block.extend(value);
    block.resize(block.len().next_multiple_of(4), 0);
}
