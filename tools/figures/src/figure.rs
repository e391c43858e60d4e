//! What every figure has: a caption, its words, its source.

use wire::{Recording, SceneFile, What};

use crate::captures;

pub struct Figure<'a> {
    pub recording: &'a Recording,
    file: &'a SceneFile,
    /// From the page to the top of the site.
    up: &'a str,
    /// The first packet's time, from which figures count; zero without packets.
    start_us: i64,
}

impl<'a> Figure<'a> {
    pub fn new(file: &'a SceneFile, recording: &'a Recording, up: &'a str) -> Figure<'a> {
        let start_us = recording
            .events
            .iter()
            .find(|event| matches!(event.what, What::Packet { .. }))
            .map_or(0, |event| event.at_us);
        Figure {
            recording,
            file,
            up,
            start_us,
        }
    }

    /// Milliseconds from the first packet.
    pub fn ms(&self, at_us: i64) -> f64 {
        (at_us - self.start_us) as f64 / 1000.0
    }

    /// Puts the parts together. No line of it is empty: that would end the HTML for a reader of Markdown.
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
        let words = match words.is_empty() {
            true => String::new(),
            false => format!("<details><summary>In words</summary>{words}</details>"),
        };
        format!(
            "<figure class=\"wire {kind}\">{drawing}<figcaption>{}<span class=\"source\">Linux {}, recorded with \
             <code>cargo book record {}</code>.{captures}</span></figcaption>{words}</figure>\n",
            inline(caption),
            escape(&head.kernel),
            escape(&self.file.name),
        )
    }
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
