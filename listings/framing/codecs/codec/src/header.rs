//! Messages with a header of eight bytes and a body. Blocking reads and
//! writes, with the standard library alone.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};

// ANCHOR: header
/// The version of the protocol that is spoken here.
pub const VERSION: u8 = 1;

/// The longest body that is sent or taken, in bytes.
pub const LIMIT: u32 = 64 * 1024;

/// The flag of a message that wants no answer.
pub const QUIET: u16 = 1;

/// How many bytes a header has.
pub const HEADER: usize = 8;

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ask,
    Answer,
    /// One that this program does not know. It can be skipped.
    Other(u8),
}

/// What stands before each body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// A bit that is not known is ignored.
    pub flags: u16,
    /// How many bytes of body follow.
    pub length: u32,
}
// ANCHOR_END: header

// ANCHOR: bytes
impl Header {
    /// # Errors
    ///
    /// [`HeaderError::TooLong`] if the body is longer than [`LIMIT`].
    pub fn new(
        kind: Kind,
        flags: u16,
        body: &[u8],
    ) -> Result<Header, HeaderError> {
        let length = u32::try_from(body.len())
            .ok()
            .filter(|&length| length <= LIMIT)
            .ok_or(HeaderError::TooLong { length: body.len() })?;
        Ok(Header {
            kind,
            flags,
            length,
        })
    }

    pub fn to_bytes(self) -> [u8; HEADER] {
        let kind = match self.kind {
            Kind::Ask => 1,
            Kind::Answer => 2,
            Kind::Other(number) => number,
        };
        let [f0, f1] = self.flags.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [VERSION, kind, f0, f1, l0, l1, l2, l3]
    }

    /// # Errors
    ///
    /// If the version is another one, or the length above [`LIMIT`]. Nobody
    /// knows then where the next message begins.
    pub fn from_bytes(bytes: [u8; HEADER]) -> Result<Header, HeaderError> {
        let [version, kind, f0, f1, l0, l1, l2, l3] = bytes;
        // In another version the other bytes may mean something else.
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if length > LIMIT {
            let length = length as usize;
            return Err(HeaderError::TooLong { length });
        }
        let kind = match kind {
            1 => Kind::Ask,
            2 => Kind::Answer,
            number => Kind::Other(number),
        };
        let flags = u16::from_be_bytes([f0, f1]);
        Ok(Header {
            kind,
            flags,
            length,
        })
    }
}
// ANCHOR_END: bytes

// ANCHOR: read
/// The next message, or `None` at the end of the stream.
///
/// # Errors
///
/// Those of the stream; `UnexpectedEof` if it ends inside of a message;
/// `InvalidData` for a header that can't be taken.
pub fn read_message(
    stream: &mut impl Read,
) -> io::Result<Option<(Header, Vec<u8>)>> {
    let mut header = [0; HEADER];
    // The stream may end before a message, and nowhere else.
    loop {
        match stream.read(&mut header[..1]) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
    }
    stream.read_exact(&mut header[1..])?;
    let header = Header::from_bytes(header)?;
    let mut body = vec![0; header.length as usize];
    stream.read_exact(&mut body)?;
    Ok(Some((header, body)))
}
// ANCHOR_END: read

// ANCHOR: vectored
/// Sends header and body in one call, without copying them together.
///
/// # Errors
///
/// Those of the stream; `InvalidData` if the body is too long.
pub fn write_message(
    stream: &mut impl Write,
    kind: Kind,
    flags: u16,
    body: &[u8],
) -> io::Result<()> {
    let header = Header::new(kind, flags, body)?.to_bytes();
    let mut slices = [IoSlice::new(&header), IoSlice::new(body)];
    write_all_vectored(stream, &mut slices)
}

/// Writes all of the slices, however little a single call takes.
///
/// # Errors
///
/// Those of the stream; `WriteZero` if it takes nothing.
pub fn write_all_vectored(
    stream: &mut impl Write,
    mut slices: &mut [IoSlice],
) -> io::Result<()> {
    // Empty ones are dropped, so that "0 bytes taken" has one meaning.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match stream.write_vectored(slices) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut slices, n),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
// ANCHOR_END: vectored

// ANCHOR: errors
/// Why a header can't be sent or taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The peer speaks this version, and we speak [`VERSION`].
    Version(u8),
    /// The body has this many bytes, and the limit is [`LIMIT`].
    TooLong { length: usize },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            HeaderError::Version(version) => {
                write!(f, "version {version}, and we speak {VERSION}")
            }
            HeaderError::TooLong { length } => {
                write!(f, "a body of {length} bytes, and the limit is {LIMIT}")
            }
        }
    }
}

impl Error for HeaderError {}

impl From<HeaderError> for io::Error {
    fn from(error: HeaderError) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, error)
    }
}
// ANCHOR_END: errors
