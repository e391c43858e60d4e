//! The messages of `header.rs` as a codec for `tokio_util`.

#![forbid(unsafe_code)]

pub mod header;

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use header::{HEADER, Header, Kind};

// ANCHOR: codec
/// A message: what its header says, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: Kind,
    pub flags: u16,
    pub body: Bytes,
}

/// Turns bytes into messages and back. It keeps no state: a message that is
/// not whole stays in the buffer.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessageCodec;

impl Decoder for MessageCodec {
    type Item = Message;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Message>> {
        let Some(&bytes) = buffer.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        // Compares the length with the limit.
        let header = Header::from_bytes(bytes)?;
        let whole = HEADER + header.length as usize;
        // No room is reserved for what was only announced.
        if buffer.len() < whole {
            return Ok(None);
        }
        let body = buffer.split_to(whole).freeze().slice(HEADER..);
        Ok(Some(Message {
            kind: header.kind,
            flags: header.flags,
            body,
        }))
    }
}

impl Encoder<Message> for MessageCodec {
    type Error = io::Error;

    fn encode(
        &mut self,
        message: Message,
        buffer: &mut BytesMut,
    ) -> io::Result<()> {
        let Message { kind, flags, body } = message;
        let header = Header::new(kind, flags, &body)?;
        buffer.reserve(HEADER + body.len());
        buffer.extend_from_slice(&header.to_bytes());
        buffer.extend_from_slice(&body);
        Ok(())
    }
}
// ANCHOR_END: codec
