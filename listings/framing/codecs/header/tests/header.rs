//! Headers, and writing in pieces of any size, without a socket.

use std::io::{self, ErrorKind, IoSlice, Write};

use header::{
    Header, HeaderError, Kind, LIMIT, QUIET, read_message, write_all_vectored,
    write_message,
};

/// Takes `most` bytes a call, from as many slices as that needs, and is
/// interrupted before every other call.
struct Narrow {
    most: usize,
    taken: Vec<u8>,
    calls: usize,
}

impl Narrow {
    fn new(most: usize) -> Narrow {
        Narrow {
            most,
            taken: Vec::new(),
            calls: 0,
        }
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 2 == 1 {
            return Err(ErrorKind::Interrupted.into());
        }
        let before = self.taken.len();
        for slice in slices {
            let left = self.most - (self.taken.len() - before);
            let n = slice.len().min(left);
            self.taken.extend_from_slice(&slice[..n]);
        }
        Ok(self.taken.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_header_has_eight_bytes_in_this_order() {
    let body = vec![0; 0x0102];
    let header = Header::new(Kind::Ask, QUIET, &body).unwrap();
    assert_eq!(header.to_bytes(), [1, 1, 0, 1, 0, 0, 1, 2]);
    assert_eq!(Header::from_bytes(header.to_bytes()), Ok(header));
}

#[test]
fn what_is_not_known_is_kept_and_another_version_is_refused() {
    let header = Header::from_bytes([1, 9, 0x80, 0, 0, 0, 0, 3]).unwrap();
    assert_eq!(header.kind, Kind::Other(9));
    assert_eq!(header.flags, 0x8000);
    assert_eq!(header.length, 3);
    assert_eq!(header.to_bytes(), [1, 9, 0x80, 0, 0, 0, 0, 3]);
    for version in [0, 2, b'G'] {
        assert_eq!(
            Header::from_bytes([version, 1, 0, 0, 0, 0, 0, 3]),
            Err(HeaderError::Version(version))
        );
    }
}

#[test]
fn the_limit_is_exact_on_both_sides() {
    let most = vec![b'x'; LIMIT as usize];
    let header = Header::new(Kind::Answer, 0, &most).unwrap();
    assert_eq!(Header::from_bytes(header.to_bytes()), Ok(header));

    let length = LIMIT as usize + 1;
    let too_long = Err(HeaderError::TooLong { length });
    assert_eq!(Header::new(Kind::Ask, 0, &vec![b'x'; length]), too_long);
    assert_eq!(Header::from_bytes([1, 1, 0, 0, 0, 1, 0, 1]), too_long);
    let length = u32::MAX as usize;
    assert_eq!(
        Header::from_bytes([1, 1, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        Err(HeaderError::TooLong { length })
    );
}

#[test]
fn a_stream_may_end_before_a_message_and_nowhere_else() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, Kind::Ask, 0, b"hello").unwrap();
    assert_eq!(bytes, b"\x01\x01\0\0\0\0\0\x05hello");
    for end in 0..=bytes.len() {
        let message = read_message(&mut &bytes[..end]);
        match end {
            0 => assert_eq!(message.unwrap(), None),
            13 => assert_eq!(message.unwrap().unwrap().1, b"hello"),
            _ => assert_eq!(
                message.unwrap_err().kind(),
                ErrorKind::UnexpectedEof,
                "after {end} bytes"
            ),
        }
    }
}

#[test]
fn a_vectored_write_goes_on_wherever_it_stopped() {
    let expected = b"\x01\x01\0\0\0\0\0\x05hello";
    for most in 1..=expected.len() {
        let mut stream = Narrow::new(most);
        write_message(&mut stream, Kind::Ask, 0, b"hello").unwrap();
        assert_eq!(stream.taken, expected, "{most} bytes a call");
        let calls = expected.len().div_ceil(most);
        assert_eq!(stream.calls, 2 * calls, "each was interrupted once");
    }
}

#[test]
fn one_vectored_write_alone_can_lose_the_rest() {
    let mut stream = Narrow::new(10);
    stream.calls = 1; // so that this one is not interrupted
    let slices = [IoSlice::new(b"01234567"), IoSlice::new(b"hello")];
    assert_eq!(stream.write_vectored(&slices).unwrap(), 10);
    assert_eq!(stream.taken, b"01234567he");
}

#[test]
fn empty_slices_are_no_error_and_a_full_stream_is() {
    let mut stream = Narrow::new(100);
    let mut slices = [IoSlice::new(b""), IoSlice::new(b"")];
    write_all_vectored(&mut stream, &mut slices).unwrap();
    assert_eq!(stream.calls, 0);

    let mut slices = [IoSlice::new(b"hello"), IoSlice::new(b"")];
    let error =
        write_all_vectored(&mut &mut [0_u8; 3][..], &mut slices).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WriteZero);
}

/// A writer that brings `write` alone, as wrappers of streams often do.
struct Plain {
    calls: Vec<Vec<u8>>,
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_wrapper_without_write_vectored_makes_two_writes_of_it() {
    let mut stream = Plain { calls: Vec::new() };
    write_message(&mut stream, Kind::Ask, 0, b"hello").unwrap();
    assert_eq!(
        stream.calls,
        [&b"\x01\x01\0\0\0\0\0\x05"[..], b"hello"],
        "the default of write_vectored writes the first slice"
    );
}
