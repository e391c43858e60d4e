//! What the link does to packets.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use wire::{Fate, Recording, What};

use crate::{Stage, lines, trial};

pub fn tests() -> Vec<Trial> {
    vec![
        trial("a_dropped_datagram_does_not_arrive", dropped),
        trial(
            "a_doubled_datagram_arrives_twice_and_a_delayed_one_late",
            doubled_and_delayed,
        ),
        trial("chance_loses_the_same_packets_every_time", chance),
        trial("a_packet_that_was_cut_keeps_its_size", snap),
        trial("a_line_sends_one_packet_after_the_other", rate),
        trial("what_finds_the_queue_full_is_lost", queue),
        trial("a_cut_link_loses_one_direction_or_both", cut),
        trial("a_broadcast_reaches_everybody_else", broadcast),
        trial("a_group_is_heard_by_its_members_only", group),
        trial("ipv6_crosses_the_link_and_nothing_else_does", ipv6),
        trial("nobody_answers_for_an_address_that_no_host_has", nobody),
        trial("a_host_has_each_of_its_addresses", each_address),
    ]
}

const TWO: &str = r#"
[[host]]
name = "a"
[[host]]
name = "b"
[[program]]
host = "b"
run = [PEER, "receive", "10.0.0.2:7000"]
serves = true
"#;

fn packets(recording: &Recording) -> Vec<(usize, Fate, Vec<i64>, i64)> {
    let packet = |event: &wire::Event| match &event.what {
        What::Packet {
            from,
            fate,
            arrivals,
            ..
        } => {
            let arrivals = arrivals.iter().map(|arrival| arrival.at_us).collect();
            Some((*from, *fate, arrivals, event.at_us))
        }
        _ => None,
    };
    recording.events.iter().filter_map(packet).collect()
}

fn send(count: u32, size: u32) -> String {
    format!(
        "{TWO}[[program]]\nhost = \"a\"\nrun = [PEER, \"send\", \"10.0.0.2:7000\", \"{count}\", \"{size}\"]\n"
    )
}

fn dropped() -> Result<()> {
    let fault = "[[fault]]\nfrom = \"a\"\npacket = \"data\"\nnumber = 2\ndo = \"drop\"\n";
    let recording = Stage::new(&(send(3, 1) + fault)).run()?;
    ensure!(
        lines(&recording, 0) == ["1 from 10.0.0.1", "3 from 10.0.0.1"],
        "{recording:?}"
    );
    let packets = packets(&recording);
    ensure!(
        packets[1].1 == Fate::Dropped && packets[1].2.is_empty(),
        "{packets:?}"
    );
    Ok(())
}

fn doubled_and_delayed() -> Result<()> {
    let faults = "[[fault]]\nfrom = \"a\"\npacket = \"any\"\nnumber = 1\ndo = \"double\"\n\
                  [[fault]]\nfrom = \"a\"\npacket = \"any\"\nnumber = 2\ndo = \"delay\"\nby = \"50ms\"\n";
    let recording = Stage::new(&(send(3, 1) + faults)).run()?;
    let numbers: Vec<&str> = lines(&recording, 0).iter().map(|line| &line[..1]).collect();
    ensure!(numbers == ["1", "1", "3", "2"], "{numbers:?}");
    let late = packets(&recording)[1].clone();
    ensure!(
        late.2[0] - late.3 >= 70_000,
        "20 ms of the link and 50 ms of the fault: {late:?}"
    );
    Ok(())
}

fn chance() -> Result<()> {
    let lost = |seed: u32| -> Result<Vec<usize>> {
        let link = format!("[link]\nloss = \"20%\"\nseed = {seed}\n");
        let recording = Stage::new(&(send(100, 1) + &link)).run()?;
        let fates = packets(&recording);
        Ok((0..fates.len())
            .filter(|index| fates[*index].1 == Fate::Dropped)
            .collect())
    };
    let (first, again, other) = (lost(7)?, lost(7)?, lost(8)?);
    ensure!(first == again, "{first:?}, then {again:?}");
    ensure!(first != other, "two seeds, and {first:?} from both");
    ensure!((10..=30).contains(&first.len()), "{first:?}");
    Ok(())
}

fn snap() -> Result<()> {
    let scene = format!("snap = 100\n{}", send(1, 972));
    let recording = Stage::new(&scene).run()?;
    let cut = recording.events.iter().find_map(|event| match &event.what {
        What::Packet { bytes, size, .. } => Some((bytes.len(), *size)),
        _ => None,
    });
    ensure!(cut == Some((100, Some(1000))), "{cut:?}");
    let ladder = wire::ladder(&recording).to_string();
    ensure!(ladder.contains("udp len 972\n"), "{ladder}");
    Ok(())
}

fn rate() -> Result<()> {
    let link = "[link]\nrate = \"1Mbit/s\"\ndelay = \"10ms\"\n";
    let recording = Stage::new(&(send(5, 972) + link)).run()?;
    // 1000 bytes with their headers take 8 ms each.
    let arrivals: Vec<i64> = packets(&recording)
        .iter()
        .map(|packet| packet.2[0] - packet.3)
        .collect();
    ensure!(arrivals.len() == 5 && arrivals[0] >= 18_000, "{arrivals:?}");
    let first = packets(&recording)[0].3;
    for (number, packet) in (1..).zip(packets(&recording)) {
        ensure!(
            packet.2[0] - first >= number * 8_000 + 10_000,
            "{number}: {arrivals:?}"
        );
    }
    Ok(())
}

fn queue() -> Result<()> {
    let link = "[link]\nrate = \"100kbit/s\"\nqueue = 2\n";
    let recording = Stage::new(&(send(4, 972) + link)).run()?;
    let fates: Vec<Fate> = packets(&recording).iter().map(|packet| packet.1).collect();
    ensure!(
        fates == [Fate::Passed, Fate::Passed, Fate::QueueFull, Fate::QueueFull],
        "{fates:?}"
    );
    Ok(())
}

fn cut() -> Result<()> {
    let later = "[[program]]\nhost = \"a\"\nat = \"300ms\"\nrun = [PEER, \"send\", \"10.0.0.2:7000\", \"1\", \"2\"]\n";
    for (from, lost) in [
        ("from = \"a\"\n", true),
        ("from = \"b\"\n", false),
        ("", true),
    ] {
        let cut = format!("{}{later}[[cut]]\n{from}at = \"150ms\"\n", send(1, 1));
        let recording = Stage::new(&cut).run()?;
        let fates: Vec<Fate> = packets(&recording).iter().map(|packet| packet.1).collect();
        let second = if lost { Fate::Cut } else { Fate::Passed };
        ensure!(fates == [Fate::Passed, second], "{from}: {fates:?}");
    }
    Ok(())
}

fn broadcast() -> Result<()> {
    let scene = r#"
        [[host]]
        name = "a"
        [[host]]
        name = "b"
        [[host]]
        name = "c"
        [[program]]
        host = "b"
        run = [PEER, "receive", "0.0.0.0:7000"]
        serves = true
        [[program]]
        host = "c"
        run = [PEER, "receive", "0.0.0.0:7000"]
        serves = true
        [[program]]
        host = "a"
        run = [PEER, "send", "10.0.0.255:7000", "1", "1"]
    "#;
    let recording = Stage::new(scene).run()?;
    for program in [0, 1] {
        ensure!(
            lines(&recording, program) == ["1 from 10.0.0.1"],
            "{recording:?}"
        );
    }
    Ok(())
}

fn group() -> Result<()> {
    let scene = r#"
        [[host]]
        name = "a"
        [[host]]
        name = "b"
        [[host]]
        name = "c"
        [[program]]
        host = "b"
        run = [PEER, "join", "0.0.0.0:7000", "239.255.0.1", "10.0.0.2"]
        serves = true
        [[program]]
        host = "c"
        run = [PEER, "receive", "0.0.0.0:7000"]
        serves = true
        [[program]]
        host = "a"
        at = "1200ms"
        run = [PEER, "tell", "10.0.0.1:0", "239.255.0.1:7000"]
    "#;
    let recording = Stage::new(scene).run()?;
    ensure!(lines(&recording, 0) == ["1 from 10.0.0.1"], "{recording:?}");
    ensure!(lines(&recording, 1).is_empty(), "{recording:?}");
    // By default the kernel would say a second time, within a second, that b has joined.
    let senders: Vec<usize> = packets(&recording).iter().map(|packet| packet.0).collect();
    ensure!(senders == [1, 0], "{senders:?}");
    Ok(())
}

fn ipv6() -> Result<()> {
    let scene = r#"
        [[host]]
        name = "a"
        addresses = ["fd00::1"]
        [[host]]
        name = "b"
        addresses = ["fd00::2"]
        [[program]]
        host = "b"
        run = [PEER, "receive", "[fd00::2]:7000"]
        serves = true
        [[program]]
        host = "a"
        run = [PEER, "send", "[fd00::2]:7000", "1", "1"]
    "#;
    let recording = Stage::new(scene).run()?;
    ensure!(lines(&recording, 0) == ["1 from fd00::1"], "{recording:?}");
    ensure!(packets(&recording).len() == 1, "{recording:?}");
    Ok(())
}

fn nobody() -> Result<()> {
    let recording =
        Stage::new(&send(1, 1).replacen("\"10.0.0.2:7000\", \"1\"", "\"10.0.0.9:7000\", \"1\"", 1))
            .run()?;
    let fates: Vec<Fate> = packets(&recording).iter().map(|packet| packet.1).collect();
    ensure!(fates == [Fate::NoHost], "{fates:?}");
    Ok(())
}

fn each_address() -> Result<()> {
    let mut scene = TWO
        .replace(
            "name = \"b\"",
            "name = \"b\"\naddresses = [\"10.0.0.2\", \"10.0.0.3\"]",
        )
        .replace("10.0.0.2:7000", "0.0.0.0:7000");
    for address in ["10.0.0.2", "10.0.0.3"] {
        scene += &format!(
            "[[program]]\nhost = \"a\"\nrun = [PEER, \"send\", \"{address}:7000\", \"1\", \"1\"]\n"
        );
    }
    let recording =
        Stage::new(&scene.replacen("name = \"a\"", "name = \"a\"\nports = 2", 1)).run()?;
    let printed = lines(&recording, 0);
    ensure!(
        printed == ["1 from 10.0.0.1", "1 from 10.0.0.1"],
        "{printed:?}"
    );
    Ok(())
}
