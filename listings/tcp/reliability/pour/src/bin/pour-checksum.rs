use std::env;

use pour::checksum::{checksum, crc32};

// ANCHOR: main
fn main() {
    let mut messages: Vec<String> = env::args().skip(1).collect();
    if messages.is_empty() {
        messages.push("pay Ann 10, Bob 99".to_string());
        messages.push("pay Ann 99, Bob 10".to_string());
    }
    for message in &messages {
        let bytes = message.as_bytes();
        let (sum, crc) = (checksum(bytes), crc32(bytes));
        println!("{message:?}: checksum {sum:04x}, CRC-32 {crc:08x}");
    }
}
// ANCHOR_END: main
