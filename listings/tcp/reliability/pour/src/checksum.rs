//! The checksum of TCP, and one that notices more.

// ANCHOR: checksum
/// The checksum of TCP, UDP and IPv4: the bytes are added up as 16-bit words,
/// each carry is added at the other end, and the bits of the sum are flipped.
/// RFC 1071, section 1.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u64 = 0;
    for word in bytes.chunks(2) {
        // A last byte without a partner counts as if a zero followed.
        let low = word.get(1).copied().unwrap_or(0);
        sum += u64::from(u16::from_be_bytes([word[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
// ANCHOR_END: checksum

// ANCHOR: crc
/// The CRC-32 of Ethernet, zip and PNG. Where a bit stands makes a difference.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1;
            crc = (crc >> 1) ^ (carry * 0xedb8_8320);
        }
    }
    !crc
}
// ANCHOR_END: crc
