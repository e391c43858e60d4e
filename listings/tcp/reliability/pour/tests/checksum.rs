use std::fs;
use std::path::Path;
use std::process::Command;

use pour::checksum::{checksum, crc32};

#[test]
fn the_sum_is_that_of_the_rfc() {
    // RFC 1071, section 3: these words add up to ddf2.
    let words = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(checksum(&words), !0xddf2);
    assert_eq!(checksum(&[]), 0xffff);
    assert_eq!(checksum(&[0x12]), !0x1200);
    // The check value of the CRC-32 of Ethernet.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn two_words_that_change_places_leave_the_checksum_as_it_was() {
    let sent = b"pay Ann 10, Bob 99";
    let arrived = b"pay Ann 99, Bob 10";
    assert_eq!(checksum(sent), checksum(arrived));
    assert_ne!(crc32(sent), crc32(arrived));
}

/// Every segment of a recording, with the header before it that the checksum of
/// TCP covers too: the sum of the whole is ffff, so its complement is 0.
#[test]
fn segments_that_were_sent_pass_with_swapped_words_too() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenes/numbers.client.pcapng");
    let capture = fs::read(path).unwrap();
    let packets = packets(&capture);
    assert_eq!(packets.len(), 12);
    let mut swapped = 0;
    for packet in packets {
        let header = usize::from(packet[0] & 15) * 4;
        let mut segment = packet[header..].to_vec();
        let mut covered = packet[12..20].to_vec(); // both addresses
        covered.extend([0, 6]); // TCP
        covered.extend((segment.len() as u16).to_be_bytes());
        assert_eq!(checksum(&[&covered[..], &segment].concat()), 0);

        let data = usize::from(segment[12] >> 4) * 4;
        if segment.len() >= data + 8 {
            let before = (checksum(&segment), crc32(&segment));
            segment.swap(data, data + 6);
            segment.swap(data + 1, data + 7);
            assert_eq!(checksum(&segment), before.0);
            assert_eq!(checksum(&[&covered[..], &segment].concat()), 0);
            swapped += usize::from(crc32(&segment) != before.1);
        }
    }
    // The second write is "00000008"; the words of the first are all alike.
    assert_eq!(swapped, 1);
}

#[test]
fn the_program_prints_both() {
    let output = Command::new(env!("CARGO_BIN_EXE_pour-checksum"))
        .args(["ax", "xa"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "\"ax\": checksum 9e87, CRC-32 63e1b117\n\
         \"xa\": checksum 879e, CRC-32 9c8ab0cf\n"
    );
}

/// The packets of a capture: each is in a block of type 6, behind 28 bytes.
/// <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>
fn packets(capture: &[u8]) -> Vec<&[u8]> {
    let number = |at: usize| {
        u32::from_le_bytes(capture[at..at + 4].try_into().unwrap()) as usize
    };
    let (mut at, mut packets) = (0, Vec::new());
    while at < capture.len() {
        if number(at) == 6 {
            packets.push(&capture[at + 28..at + 28 + number(at + 20)]);
        }
        at += number(at + 4);
    }
    packets
}
