//! The stream that the programs send and check.

// ANCHOR: pattern
/// The byte at `offset`. Eight bytes at a time spell the offset of their first,
/// in decimal. After 100 000 000 bytes the numbers begin again.
pub fn byte_at(offset: u64) -> u8 {
    let (number, place) = (offset / 8 * 8, offset % 8);
    let digit = number / 10_u64.pow(7 - place as u32) % 10;
    b'0' + digit as u8
}

/// Fills `buffer` with the stream from `offset` on.
pub fn fill(offset: u64, buffer: &mut [u8]) {
    for (offset, byte) in (offset..).zip(buffer) {
        *byte = byte_at(offset);
    }
}

/// The offset of the first byte that is not the right one, if these bytes were
/// read from `offset` on.
pub fn first_wrong(offset: u64, bytes: &[u8]) -> Option<u64> {
    (offset..)
        .zip(bytes)
        .find(|(offset, byte)| **byte != byte_at(*offset))
        .map(|(offset, _)| offset)
}
// ANCHOR_END: pattern
