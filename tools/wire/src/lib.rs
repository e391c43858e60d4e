//! Scenes and recordings.
//!
//! A [`Scene`] says which programs run on which host, what lies between the hosts, and what goes wrong on the way.
//! A [`Recording`] is what was said and every packet that crossed. [`record`] makes one from the other: each host is
//! a network namespace with the real TCP/IP stack of this kernel, and between them is a link in user space that
//! delays, loses and doubles packets, and writes down each.

mod capture;
mod driver;
#[cfg(target_os = "linux")]
mod lab;
mod ladder;
mod packet;
mod recording;
mod scene;

pub use capture::capture_of;
pub use driver::{
    Checked, Missing, Programs, Recorded, SceneFile, check, find_scenes, for_each, load, record,
    run, worker,
};
pub use ladder::{Ladder, Step, ladder, steps};
pub use packet::{Body, Flags, Icmp, Packet, Tcp, TcpOption, Udp};
pub use recording::{
    Arrival, Did, Event, Fate, Head, HostHead, LinkHead, ProgramHead, Recording, State, Stream,
    What, Whom,
};
pub use scene::{
    Act, Cut, Expect, Fault, Host, Input, Kind, Link, Program, Scene, SceneError, Signal,
};
