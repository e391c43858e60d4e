//! Recordings against the judgement of others: what `tshark` reads in a capture, beside what the ladder says.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use wire::{Body, Flags, Missing, Packet, Recording, Step, What};

/// What `tshark` is asked for.
const FIELDS: [&str; 18] = [
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.flags",
    "tcp.seq",
    "tcp.ack",
    "tcp.len",
    "tcp.window_size_value",
    "udp.length",
    "ip.frag_offset",
    "ip.flags.mf",
    "ip.len",
    "ip.hdr_len",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "_ws.malformed",
];

/// Reads a capture with `tshark`: no packet may be malformed, no checksum wrong, and each must say what the ladder says.
pub fn compare_with_tshark(capture: &Path, recording: &Recording, host: usize) -> Result<()> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args([
        "-T",
        "fields",
        "-E",
        "separator=|",
        "-E",
        "occurrence=f",
    ]);
    for protocol in ["ip", "tcp", "udp"] {
        command
            .arg("-o")
            .arg(format!("{protocol}.check_checksum:TRUE"));
    }
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command
        .output()
        .map_err(|_| Missing("tshark is not installed".to_string()))?;
    ensure!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let text = String::from_utf8(output.stdout).context("tshark's output")?;
    let steps = wire::steps(recording);
    let wanted = seen_by(recording, &steps, host);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
    ensure!(
        rows.len() == wanted.len(),
        "tshark sees {} packets, the ladder {}",
        rows.len(),
        wanted.len()
    );
    for (number, (row, step)) in (1..).zip(rows.iter().zip(wanted)) {
        compare(row, step).with_context(|| format!("packet {number}"))?;
    }
    Ok(())
}

/// The steps that a host saw, in the order in which it saw them.
fn seen_by<'a>(recording: &Recording, steps: &'a [Step], host: usize) -> Vec<&'a Step> {
    let mut seen = Vec::new();
    for step in steps {
        let event = &recording.events[step.event];
        if let What::Packet { from, arrivals, .. } = &event.what {
            if *from == host {
                seen.push((event.at_us, step));
            }
            let here = arrivals.iter().filter(|arrival| arrival.host == host);
            seen.extend(here.map(|arrival| (arrival.at_us, step)));
        }
    }
    seen.sort_by_key(|(at, _)| *at);
    seen.into_iter().map(|(_, step)| step).collect()
}

fn compare(row: &[&str], step: &Step) -> Result<()> {
    let field = |name: &str| {
        let index = FIELDS.iter().position(|field| *field == name);
        index
            .and_then(|index| row.get(index))
            .copied()
            .unwrap_or_default()
    };
    let same = |name: &str, ours: String| -> Result<()> {
        ensure!(
            field(name) == ours,
            "tshark says {name} is {:?}, the ladder says {ours:?}",
            field(name)
        );
        Ok(())
    };
    ensure!(
        field("_ws.malformed").is_empty(),
        "tshark says that it is malformed"
    );
    for protocol in ["ip", "tcp", "udp"] {
        // 0 is bad, 1 is good; a header that has none, or an inner one that was cut, has another number.
        let status = field(&format!("{protocol}.checksum.status"));
        ensure!(
            status != "0",
            "tshark says that the checksum of {protocol} is wrong"
        );
    }
    let Packet {
        source,
        destination,
        body,
    } = &step.packet;
    let ip = if source.is_ipv4() { "ip" } else { "ipv6" };
    same(&format!("{ip}.src"), source.to_string())?;
    same(&format!("{ip}.dst"), destination.to_string())?;
    match body {
        Body::Tcp(tcp) => {
            let flags = field("tcp.flags").trim_start_matches("0x");
            let Ok(flags) = u16::from_str_radix(flags, 16) else {
                bail!("tshark sees no TCP flags, the ladder {}", tcp.flags);
            };
            let all = |flags: u8| flags & !Flags::PSH.0;
            ensure!(
                all(flags as u8) == all(tcp.flags.0),
                "tshark's flags are {flags:#x}, the ladder's {}",
                tcp.flags
            );
            same("tcp.seq", step.sequence.to_string())?;
            if let Some(acknowledgment) = step.acknowledgment {
                same("tcp.ack", acknowledgment.to_string())?;
            }
            same("tcp.len", tcp.payload.len().to_string())?;
            same("tcp.window_size_value", tcp.window.to_string())?;
            ensure!(
                step.cut || field("tcp.checksum.status") == "1",
                "tshark has not checked the checksum"
            );
        }
        Body::Udp(udp) => {
            same("udp.length", (udp.payload.len() + 8).to_string())?;
            ensure!(
                step.cut || field("udp.checksum.status") == "1",
                "tshark has not checked the checksum"
            );
        }
        Body::Fragment {
            offset,
            length,
            more,
        } => {
            // Releases of tshark differ: in bytes or in units of 8, and 1 or True.
            let units = [offset.to_string(), (offset / 8).to_string()];
            ensure!(
                units.iter().any(|units| units == field("ip.frag_offset")),
                "tshark says ip.frag_offset is {:?}, the ladder says {offset}",
                field("ip.frag_offset")
            );
            let follows = matches!(field("ip.flags.mf"), "1" | "True");
            ensure!(
                follows == *more,
                "tshark says ip.flags.mf is {:?}, the ladder {more}",
                field("ip.flags.mf")
            );
            let header: usize = field("ip.hdr_len").parse().context("ip.hdr_len")?;
            same("ip.len", (header + length).to_string())?;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::SceneFile;

    /// `tshark` and the ladder must be able to disagree, or their agreement means nothing.
    #[test]
    fn a_capture_with_another_byte_is_found_out() -> Result<()> {
        let scene = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../listings/tcp/echo/echo/scenes/hello.toml"
        );
        let scene = SceneFile::at(Path::new(scene));
        let recording = wire::load(&scene)?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("touched.pcapng");
        let whole = std::fs::read(scene.capture_file("client"))?;
        let syn = whole
            .windows(2)
            .position(|bytes| bytes == [0x45, 0])
            .context("the first packet")?;
        for (at, said) in [
            (0, ""), // as it is
            (
                33,
                "packet 1: tshark says that the checksum of tcp is wrong",
            ),
            (10, "packet 1: tshark says that the checksum of ip is wrong"),
        ] {
            let mut bytes = whole.clone();
            if at > 0 {
                bytes[syn + at] ^= 1;
            }
            std::fs::write(&path, bytes)?;
            match compare_with_tshark(&path, &recording, 0) {
                Ok(()) => ensure!(at == 0, "nothing was found at {at}"),
                Err(error) if error.is::<Missing>() && std::env::var_os("CI").is_none() => {
                    eprintln!("skipped: {error}");
                    return Ok(());
                }
                Err(error) => ensure!(
                    at > 0 && format!("{error:#}").starts_with(said),
                    "{error:#}"
                ),
            }
        }
        // And a recording that says something else, with the capture as it is.
        let mut other = recording;
        let packet = other
            .events
            .iter_mut()
            .find_map(|event| match &mut event.what {
                What::Packet { bytes, .. } => Some(bytes),
                _ => None,
            });
        packet.context("the first packet")?[33] = 0x12; // SYN ACK
        let said = compare_with_tshark(&scene.capture_file("client"), &other, 0).unwrap_err();
        ensure!(
            format!("{said:#}") == "packet 1: tshark's flags are 0x2, the ladder's SYN ACK",
            "{said:#}"
        );
        Ok(())
    }

    #[test]
    fn a_fragment_at_another_offset_is_found_out() -> Result<()> {
        let scene = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../listings/udp/datagrams/datagrams/scenes/fragments.toml"
        );
        let scene = SceneFile::at(Path::new(scene));
        let mut recording = wire::load(&scene)?;
        let packets = recording.events.iter_mut();
        let mut packets = packets.filter_map(|event| match &mut event.what {
            What::Packet { bytes, .. } => Some(bytes),
            _ => None,
        });
        packets.nth(1).context("the second packet")?[7] += 1; // 8 bytes further
        match compare_with_tshark(&scene.capture_file("sender"), &recording, 0) {
            Ok(()) => bail!("nothing was found"),
            Err(error) if error.is::<Missing>() && std::env::var_os("CI").is_none() => {
                eprintln!("skipped: {error}");
            }
            Err(error) => {
                let said = format!("{error:#}");
                ensure!(
                    said.starts_with("packet 2: tshark says ip.frag_offset is")
                        && said.ends_with("the ladder says 1488"),
                    "{said}"
                );
            }
        }
        Ok(())
    }
}
