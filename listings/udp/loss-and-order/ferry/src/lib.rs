//! Carries a file over UDP: one block, one acknowledgment, the next block.
//!
//! [`Sender`] and [`Receiver`] hold the protocol. They own no socket and read
//! no clock: datagrams and times go in, datagrams and deadlines come out.

// The modules name their neighbours as a program would.
extern crate self as ferry;

pub mod datagram;
pub mod receiver;
pub mod sender;

pub use receiver::Receiver;
pub use sender::Sender;
