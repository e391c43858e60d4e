//! Text from a stream of bytes, whatever the pieces in which they arrive.

use std::str::{self, Utf8Error};

/// Decodes UTF-8 piece by piece.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a character, between two calls: three bytes at most.
    rest: Vec<u8>,
}

impl Decoder {
    /// The characters that `bytes` completes. The beginning of the next one
    /// is kept for the next call.
    ///
    /// # Errors
    ///
    /// The bytes are not UTF-8, whatever may follow. The text before them is
    /// lost, so this is the end of the conversation.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<String, Utf8Error> {
        self.rest.extend_from_slice(bytes);
        let whole = match str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            // Nothing is wrong so far: the last character is incomplete.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => return Err(error),
        };
        let text = str::from_utf8(&self.rest[..whole])?.to_string();
        self.rest.drain(..whole);
        Ok(text)
    }

    /// To be asked at the end of the stream.
    ///
    /// # Errors
    ///
    /// The stream ended in the middle of a character.
    pub fn finish(&self) -> Result<(), Utf8Error> {
        str::from_utf8(&self.rest).map(|_| ())
    }
}
