//! The bytes that are sent, and whether the same ones come back.

use std::error::Error;
use std::fmt;

/// After how many bytes they repeat: a prime, so that no message size and no
/// buffer size of a server fits into it.
const PERIOD: usize = 8191;

/// The longest message, in bytes.
pub const LONGEST: usize = 1 << 20;

// ANCHOR: pattern
/// The bytes of all connections. Each connection sends them from a place of
/// its own on, so that bytes which come back on the wrong connection, twice,
/// or not at all, are noticed. Nothing has to be kept of what was sent.
#[derive(Debug, Clone, Copy)]
pub struct Pattern(&'static [u8]);

impl Pattern {
    /// Made once in a program: the memory is never freed, because the kernel
    /// may read it as long as the program runs.
    pub fn new() -> Pattern {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut period = Vec::with_capacity(PERIOD);
        for _ in 0..PERIOD {
            // The generator xorshift64.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            period.push((state >> 32) as u8);
        }
        let bytes: Vec<u8> =
            period.into_iter().cycle().take(PERIOD + LONGEST).collect();
        Pattern(bytes.leak())
    }

    /// The bytes that a connection sends from position `at` of its stream on.
    pub fn bytes(self, connection: usize, at: u64, n: usize) -> &'static [u8] {
        let start = (connection as u64 * 61 + at) % PERIOD as u64;
        &self.0[start as usize..start as usize + n]
    }

    /// Compares what came back with what was sent.
    pub fn check(
        self,
        connection: usize,
        at: u64,
        got: &[u8],
    ) -> Result<(), Corrupt> {
        let sent = self.bytes(connection, at, got.len());
        if sent == got {
            return Ok(());
        }
        let first = sent.iter().zip(got).take_while(|(s, g)| s == g).count();
        Err(Corrupt {
            connection,
            at: at + first as u64,
            sent: sent[first],
            got: got[first],
        })
    }
}
// ANCHOR_END: pattern

impl Default for Pattern {
    fn default() -> Pattern {
        Pattern::new()
    }
}

/// A byte that is not the one that was sent. Such a server is not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt {
    pub connection: usize,
    /// How many bytes of the connection came before it.
    pub at: u64,
    pub sent: u8,
    pub got: u8,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "byte {} of connection {} was sent as {:#04x} and came back as \
             {:#04x}",
            self.at, self.connection, self.sent, self.got
        )
    }
}

impl Error for Corrupt {}
