//! What crosses the link: a header of 16 bytes, and what it announces.

use std::fmt;

// ANCHOR: sizes
/// The most bytes in one datagram. With its headers it fits every path with
/// an MTU of 1280 bytes or more, which is the least that IPv6 allows.
pub const MAX_DATAGRAM: usize = 1200;

/// Before each message: three bytes that say "ferry, version 1", the kind, the
/// transfer (8 bytes) and a number (4 bytes), each big-endian.
const HEADER: usize = 16;
const MAGIC: [u8; 3] = *b"FY1";

/// The bytes of the file in each block but the last.
pub const BLOCK: usize = MAX_DATAGRAM - HEADER;

/// The largest file, in bytes. Both sides hold it in memory.
pub const MAX_LENGTH: usize = 4 * 1024 * 1024;
// ANCHOR_END: sizes

// ANCHOR: messages
/// One message of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Chosen by the sender, at random. It tells this transfer from others.
    pub transfer: u64,
    pub message: Message<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// "I have a file of this many bytes, with this CRC-32." It is number 0.
    Offer { length: u32, checksum: u32 },
    /// A part of the file. The first one is number 1.
    Block { number: u32, payload: &'a [u8] },
    /// "I have everything up to this number." For the last number it means
    /// more: the whole file is stored.
    Ack { number: u32 },
    /// "This transfer is over, without success."
    Refuse(Reason),
}
// ANCHOR_END: messages

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The receiver serves somebody else.
    Busy,
    TooLong,
    /// The receiver has the right number of bytes, but not the right bytes.
    Damaged,
    NotStored,
    /// The receiver knows nothing of such a transfer, or has given it up.
    Unknown,
}

const REASONS: [Reason; 5] = [
    Reason::Busy,
    Reason::TooLong,
    Reason::Damaged,
    Reason::NotStored,
    Reason::Unknown,
];

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Busy => "it serves somebody else",
            Reason::TooLong => "the file is too long",
            Reason::Damaged => "the file arrived damaged",
            Reason::NotStored => "it could not store the file",
            Reason::Unknown => "it does not know this transfer",
        })
    }
}

// ANCHOR: decode
impl<'a> Datagram<'a> {
    /// `None` if this is no datagram of ours. Anybody can send us anything.
    pub fn decode(bytes: &'a [u8]) -> Option<Datagram<'a>> {
        let (header, body) = bytes.split_first_chunk::<HEADER>()?;
        let (magic, header) = header.split_first_chunk::<3>()?;
        let (kind, header) = header.split_first()?;
        let (transfer, number) = header.split_first_chunk::<8>()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        let message = match (kind, body.len()) {
            _ if *magic != MAGIC => return None,
            (0, 8) if number == 0 => {
                let (length, checksum) = body.split_first_chunk::<4>()?;
                Message::Offer {
                    length: u32::from_be_bytes(*length),
                    checksum: u32::from_be_bytes(checksum.try_into().ok()?),
                }
            }
            (1, 1..=BLOCK) if number > 0 => Message::Block {
                number,
                payload: body,
            },
            (2, 0) => Message::Ack { number },
            (3, 0) => Message::Refuse(*REASONS.get(number as usize)?),
            _ => return None,
        };
        Some(Datagram {
            transfer: u64::from_be_bytes(*transfer),
            message,
        })
    }
}
// ANCHOR_END: decode

impl Datagram<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, number) = match self.message {
            Message::Offer { .. } => (0, 0),
            Message::Block { number, .. } => (1, number),
            Message::Ack { number } => (2, number),
            Message::Refuse(reason) => (3, reason as u32),
        };
        let mut bytes = Vec::with_capacity(MAX_DATAGRAM);
        bytes.extend(MAGIC);
        bytes.push(kind);
        bytes.extend(self.transfer.to_be_bytes());
        bytes.extend(number.to_be_bytes());
        match self.message {
            Message::Offer { length, checksum } => {
                bytes.extend(length.to_be_bytes());
                bytes.extend(checksum.to_be_bytes());
            }
            Message::Block { payload, .. } => bytes.extend(payload),
            Message::Ack { .. } | Message::Refuse(_) => {}
        }
        bytes
    }
}

/// The number of the last block of a file: 0 if the file is empty.
pub fn last_block(length: usize) -> u32 {
    length.div_ceil(BLOCK) as u32
}

/// The CRC-32 of Ethernet and zip. It finds accidents, not forgeries.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 1 == 1;
            crc >>= 1;
            if carry {
                crc ^= 0xedb8_8320;
            }
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_wire() {
        let messages = [
            Message::Offer {
                length: 7,
                checksum: 0xdead_beef,
            },
            Message::Block {
                number: 3,
                payload: &[1; BLOCK],
            },
            Message::Ack { number: 0 },
            Message::Ack { number: u32::MAX },
        ];
        for message in messages.into_iter().chain(REASONS.map(Message::Refuse))
        {
            let transfer = 0x0123_4567_89ab_cdef;
            let datagram = Datagram { transfer, message };
            let bytes = datagram.encode();
            assert!(bytes.len() <= MAX_DATAGRAM);
            assert_eq!(Datagram::decode(&bytes), Some(datagram));
        }
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        let offer = Datagram {
            transfer: 1,
            message: Message::Offer {
                length: 1,
                checksum: 1,
            },
        }
        .encode();
        for end in 0..offer.len() {
            assert_eq!(Datagram::decode(&offer[..end]), None, "{end}");
        }
        // A byte too many; another version; another kind; a numbered offer.
        let mut longer = offer.clone();
        longer.push(0);
        assert_eq!(Datagram::decode(&longer), None);
        for (at, byte) in [(2, b'2'), (3, 4), (15, 1)] {
            let mut other = offer.clone();
            other[at] = byte;
            assert_eq!(Datagram::decode(&other), None, "{at}");
        }
        // A block without bytes, one with too many, and one numbered 0.
        for (number, length) in [(1, 0), (1, BLOCK + 1), (0, 1)] {
            let payload = &vec![0; length][..];
            let message = Message::Block { number, payload };
            let bytes = Datagram {
                transfer: 1,
                message,
            }
            .encode();
            assert_eq!(Datagram::decode(&bytes), None, "{number} {length}");
        }
        let mut refusal = Datagram {
            transfer: 1,
            message: Message::Refuse(Reason::Busy),
        }
        .encode();
        refusal[15] = REASONS.len() as u8;
        assert_eq!(Datagram::decode(&refusal), None);
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
