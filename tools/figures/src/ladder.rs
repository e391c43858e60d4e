//! Packets between hosts, time downwards, with what the programs printed beside them.

use anyhow::Result;
use wire::{Stream, What};

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
        });
    }
    draw::html(figure, "ladder", notes, caption)
}
