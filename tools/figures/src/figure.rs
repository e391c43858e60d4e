//! What every figure has: a caption, its words, its source.

use std::path::Path;

use anyhow::{Result, bail};
use wire::{Recording, SceneFile, What};

use crate::{captures, states};

pub struct Figure<'a> {
    pub recording: &'a Recording,
    file: &'a SceneFile,
    /// From the page to the top of the site.
    up: &'a str,
    /// Whether its scene has no other figure before it on the page.
    is_first: bool,
    /// The first packet's time, from which figures count; zero without packets.
    start_us: i64,
}

impl<'a> Figure<'a> {
    pub fn new(
        file: &'a SceneFile,
        recording: &'a Recording,
        up: &'a str,
        is_first: bool,
    ) -> Figure<'a> {
        let start_us = recording
            .events
            .iter()
            .find(|event| matches!(event.what, What::Packet { .. }))
            .map_or(0, |event| event.at_us);
        Figure {
            recording,
            file,
            up,
            is_first,
            start_us,
        }
    }

    /// The place of a program in the scene, by its name.
    pub fn program(&self, wanted: &str) -> Result<usize> {
        let programs = &self.recording.head.programs;
        let names: Vec<&str> = programs
            .iter()
            .map(|program| name(&program.command))
            .collect();
        let named = names.iter().position(|name| *name == wanted);
        // A shell or `unshare` is named by what it runs in the end.
        let last = |command: &str| command.split_whitespace().next_back() == Some(wanted);
        let found = named.or_else(|| programs.iter().position(|program| last(&program.command)));
        match found {
            Some(index) => Ok(index),
            None => bail!(
                "the scene has no program {wanted}, only {}",
                names.join(", ")
            ),
        }
    }

    /// When the first packet was sent.
    pub fn start_us(&self) -> i64 {
        self.start_us
    }

    /// Milliseconds from the first packet.
    pub fn ms(&self, at_us: i64) -> f64 {
        (at_us - self.start_us) as f64 / 1000.0
    }

    /// Puts the parts together.
    pub fn html(&self, kind: &str, drawing: &str, caption: &str, words: &str) -> String {
        let head = &self.recording.head;
        let captures: Vec<String> = head
            .hosts
            .iter()
            .enumerate()
            .filter(|(index, _)| self.recording.is_on_wire(*index))
            .map(|(_, host)| {
                let path = captures::name(self.file, &host.name);
                format!(
                    "<a href=\"{}{path}\" download>{}</a>",
                    self.up,
                    escape(&host.name)
                )
            })
            .collect();
        let captures = match captures.is_empty() {
            true => String::new(),
            false => format!(" Captures: {}.", captures.join(", ")),
        };
        let source = format!(
            "Linux {}, recorded with <code>cargo book record {}</code>.{captures}",
            escape(&head.kernel),
            escape(&self.file.name),
        );
        let id = self.is_first.then(|| id(self.file));
        html(kind, id, drawing, caption, &source, words)
    }
}

/// A figure of several recordings, or of one. No line of it is empty: that would end the HTML for a reader of Markdown.
pub fn html(
    kind: &str,
    id: Option<String>,
    drawing: &str,
    caption: &str,
    source: &str,
    words: &str,
) -> String {
    let id = id.map_or(String::new(), |id| format!(" id=\"{id}\""));
    let words = match words.is_empty() {
        true => String::new(),
        false => format!("<details><summary>In words</summary>{words}</details>"),
    };
    format!(
        "<figure class=\"wire {kind}\"{id}>{drawing}<figcaption>{}<span class=\"source\">{source}</span></figcaption>\
         {words}</figure>\n",
        inline(caption),
    )
}

/// What a scene's first figure on a page is called.
fn id(file: &SceneFile) -> String {
    format!("scene-{}", file.name.replace('/', "-"))
}

/// To the first figure of a scene on the page of its chapter, from a page that is `up` from the top.
pub fn link(scene: &Path, up: &str) -> Option<String> {
    let page = states::page_of(scene)?;
    Some(format!("{up}{page}#{}", id(&SceneFile::at(scene))))
}

/// A program's name: the last part of its path.
fn name(command: &str) -> &str {
    let first = command.split(' ').next().unwrap_or_default();
    first.rsplit('/').next().unwrap_or_default()
}

/// Text for HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A caption: text with code in backticks, on one line.
fn inline(text: &str) -> String {
    let text = escape(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        match index % 2 {
            0 => html += part,
            _ => html += &format!("<code>{part}</code>"),
        }
    }
    html
}
