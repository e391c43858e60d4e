//! Packets between hosts, time downwards, with what the programs printed beside them.

use std::net::SocketAddr;

use anyhow::Result;
use wire::{Recording, State, Stream, What};

use crate::draw;
use crate::figure::Figure;
use crate::layout::Note;

pub fn html(figure: &Figure, caption: &str) -> Result<String> {
    let recording = figure.recording;
    let mut notes = Vec::new();
    for event in &recording.events {
        let (program, text) = match &event.what {
            What::Line {
                program,
                stream: Stream::Out | Stream::Err,
                text,
            } => (*program, text.clone()),
            What::Input { program, text } => (*program, format!("{} ⏎", text.trim_end())),
            What::Signal { program, name } => (*program, format!("SIG{name}")),
            // The end of a program matters where it is not an ordinary one.
            What::Exit { program, status } if !status.starts_with("exit") => {
                (*program, status.clone())
            }
            _ => continue,
        };
        if recording.head.programs[program].aside {
            continue;
        }
        notes.push(Note {
            lane: recording.head.programs[program].host,
            at_us: event.at_us,
            end: None,
            text,
            state: None,
        });
    }
    notes.extend(states(recording));
    // In the order of time, as they are drawn; what is printed before a state comes before it.
    notes.sort_by_key(|note| note.at_us);
    draw::html(figure, "ladder", notes, caption)
}

/// The states of the sockets of hosts that have written them down. Listeners stay as they are, and are left out.
fn states(recording: &Recording) -> Vec<Note> {
    let mut notes = Vec::new();
    // Several connections of one host are told apart by the port of the other side.
    let mut peers: Vec<Vec<SocketAddr>> = vec![Vec::new(); recording.head.hosts.len()];
    for event in &recording.events {
        if let What::State {
            host,
            local,
            remote,
            state,
        } = &event.what
            && remote.port() != 0
        {
            // For a client the port of its own is the one that differs.
            let peer = if local.port() < remote.port() {
                *remote
            } else {
                *local
            };
            if !peers[*host].contains(&peer) {
                peers[*host].push(peer);
            }
            notes.push((
                peer,
                Note {
                    lane: *host,
                    at_us: event.at_us,
                    end: None,
                    text: state.to_string(),
                    state: Some(*state),
                },
            ));
        }
    }
    notes
        .into_iter()
        .map(|(peer, mut note)| {
            if peers[note.lane].len() > 1 {
                note.text += &format!(" ({})", peer.port());
                // One lane can't show the states of two.
                note.state = note.state.map(|_| State::Listen);
            }
            note
        })
        .collect()
}
