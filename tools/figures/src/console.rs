//! What a program printed.

use anyhow::{Result, bail};
use wire::{Stream, What};

use crate::figure::{Figure, escape};

pub fn html(figure: &Figure, program: &str, caption: &str) -> Result<String> {
    let index = figure.program(program)?;
    let mut text = String::new();
    for event in &figure.recording.events {
        match &event.what {
            What::Line {
                program,
                stream,
                text: line,
            } if *program == index => {
                let line = escape(line);
                text += &match stream {
                    Stream::Out => format!("{line}\n"),
                    Stream::Err => format!("<span class=\"err\">{line}</span>\n"),
                };
            }
            What::Input {
                program,
                text: input,
            } if *program == index => {
                text += &format!("<kbd>{}</kbd>\n", escape(input.trim_end()));
            }
            _ => {}
        }
    }
    if text.is_empty() {
        bail!("{program} printed nothing in this recording");
    }
    // An empty line would end the HTML, an entity does not.
    let text = text.trim_end().replace("\n\n", "\n&#8203;\n");
    Ok(figure.html(
        "console",
        &format!("<pre><code class=\"nohighlight\">{text}</code></pre>"),
        caption,
        "",
    ))
}
