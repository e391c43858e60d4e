//! The states of a TCP connection and the ways between them, each with a recording that goes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use wire::{Recording, SceneFile, State, What};

use crate::figure::{self, escape};

/// A recording with its scene.
pub type Recorded<'a> = (&'a SceneFile, &'a Recording);

/// Where a state stands: its column from 0 to 2, and its row. The end has a place of its own.
const PLACES: [(State, i32, i32); 12] = [
    (State::Closed, 1, 0),
    (State::Listen, 0, 1),
    (State::SynSent, 2, 1),
    (State::SynReceived, 0, 2),
    (State::Established, 1, 3),
    (State::FinWait1, 0, 4),
    (State::CloseWait, 2, 4),
    (State::FinWait2, 0, 6),
    (State::Closing, 1, 5),
    (State::LastAck, 2, 6),
    (State::TimeWait, 1, 7),
    (State::Closed, 1, 8),
];

/// From, to, and what happens: [RFC 9293, section 3.3.2](https://www.rfc-editor.org/rfc/rfc9293.html#section-3.3.2).
/// What a reset or a time-out cuts short is left out: from every state it leads to CLOSED.
const WAYS: [(State, State, &str); 16] = [
    (State::Closed, State::Listen, "listen"),
    (State::Closed, State::SynSent, "connect: SYN out"),
    (State::Listen, State::SynReceived, "SYN in, SYN ACK out"),
    (State::SynSent, State::SynReceived, "SYN in, SYN ACK out"),
    (State::SynSent, State::Established, "SYN ACK in, ACK out"),
    (State::SynReceived, State::Established, "ACK in"),
    (State::Established, State::FinWait1, "close: FIN out"),
    (State::Established, State::CloseWait, "FIN in, ACK out"),
    (State::FinWait1, State::FinWait2, "ACK in"),
    (State::FinWait1, State::Closing, "FIN in, ACK out"),
    (State::FinWait1, State::TimeWait, "FIN ACK in, ACK out"),
    (State::FinWait2, State::TimeWait, "FIN in, ACK out"),
    (State::Closing, State::TimeWait, "ACK in"),
    (State::CloseWait, State::LastAck, "close: FIN out"),
    (State::LastAck, State::Closed, "ACK in"),
    (State::TimeWait, State::Closed, "after a while"),
];

pub fn html(scenes: &[Recorded], up: &str, caption: &str) -> Result<String> {
    let mut walked: BTreeMap<(State, State), Vec<usize>> = BTreeMap::new();
    for (index, (file, recording)) in scenes.iter().enumerate() {
        let ways = ways(recording);
        if ways.is_empty() {
            bail!(
                "the scene {} records no states; set `states = true` for its hosts",
                file.name
            );
        }
        for way in ways {
            let by = walked.entry(way).or_default();
            if by.last() != Some(&index) {
                by.push(index);
            }
        }
    }
    let links: Vec<Option<String>> = scenes
        .iter()
        .map(|(file, _)| figure::link(&file.path, up))
        .collect();
    let mut drawing = String::new();
    for page in [&WIDE, &NARROW] {
        drawing += &svg(page, &walked, &links);
    }
    let mut list = String::new();
    for ((file, recording), link) in scenes.iter().zip(&links) {
        let name = linked(&format!("<code>{}</code>", escape(&file.name)), link);
        let _ = write!(list, "<li>{name}: {}</li>", escape(&recording.head.about));
    }
    drawing += &format!("<ol class=\"scenes\">{list}</ol>");
    let source = format!(
        "Linux {}, each way as its kernel went it in the recording with that number.",
        escape(&scenes[0].1.head.kernel)
    );
    Ok(figure::html(
        "states",
        None,
        &drawing,
        caption,
        &source,
        &words(&walked, scenes),
    ))
}

/// The changes of state that a recording shows.
fn ways(recording: &Recording) -> Vec<(State, State)> {
    let mut ways = Vec::new();
    let mut states = BTreeMap::new();
    for event in &recording.events {
        let What::State {
            host,
            local,
            remote,
            state,
        } = &event.what
        else {
            continue;
        };
        let listens = states.iter().any(|((other, end, _), state)| {
            let same = |end: &std::net::SocketAddr| end.port() == local.port();
            other == host && same(end) && *state == State::Listen
        });
        let before = states.insert((*host, *local, *remote), *state);
        let before = match before {
            Some(before) => before,
            // A listener stays what it is, and its connections are sockets of their own.
            None if *state == State::SynReceived && listens => State::Listen,
            None => State::Closed,
        };
        ways.push((before, *state));
    }
    ways.retain(|way| WAYS.iter().any(|(from, to, _)| (*from, *to) == *way));
    ways
}

struct Page {
    class: &'static str,
    width: i32,
    /// The middle of each column.
    columns: [i32; 3],
    /// Half of a state's width.
    half: i32,
    /// Whether there is room for what happens on a way.
    labels: bool,
}

const WIDE: Page = Page {
    class: "wide",
    width: 760,
    columns: [150, 380, 610],
    half: 66,
    labels: true,
};
const NARROW: Page = Page {
    class: "narrow",
    width: 340,
    columns: [56, 170, 284],
    half: 51,
    labels: false,
};
const ROW: i32 = 60;
/// Half of a state's height.
const HALF: i32 = 13;

fn svg(
    page: &Page,
    walked: &BTreeMap<(State, State), Vec<usize>>,
    links: &[Option<String>],
) -> String {
    let height = 8 * ROW + 60;
    let mut out = format!(
        "<svg class=\"{}\" viewBox=\"0 0 {} {height}\" role=\"group\" aria-label=\"The states of a TCP connection. The \
         same in words follows.\">",
        page.class, page.width
    );
    let place =
        |(_, column, row): &(State, i32, i32)| (page.columns[*column as usize], 30 + row * ROW);
    let mut marks = String::new();
    for (from, to, what) in WAYS {
        // The first CLOSED is a beginning, the second an end.
        let begin = PLACES.iter().find(|(state, ..)| *state == from);
        let end = PLACES.iter().rfind(|(state, ..)| *state == to);
        let (Some((x1, y1)), Some((x2, y2))) = (begin.map(place), end.map(place)) else {
            continue;
        };
        let (x1, y1, x2, y2) = between(page.half, (x1, y1), (x2, y2));
        let by = walked.get(&(from, to));
        let class = if by.is_some() { "walked" } else { "unwalked" };
        let (dx, dy) = (f64::from(x2 - x1), f64::from(y2 - y1));
        let length = dx.hypot(dy).max(1.0);
        let (ux, uy) = (dx / length * 8.0, dy / length * 8.0);
        let _ = write!(
            out,
            "<path class=\"way {class}\" d=\"M{x1} {y1}L{x2} {y2}M{:.0} {:.0}L{x2} {y2}L{:.0} {:.0}\"/>",
            f64::from(x2) - ux - uy / 2.0,
            f64::from(y2) - uy + ux / 2.0,
            f64::from(x2) - ux + uy / 2.0,
            f64::from(y2) - uy - ux / 2.0
        );
        let (x, y) = ((x1 + x2) / 2, (y1 + y2) / 2);
        if page.labels {
            // Beside the line, whichever way it leans, and clear of the other lines.
            let is_left = [State::FinWait2, State::TimeWait].contains(&from);
            let below = match ((x2 - x1).signum(), is_left) {
                (0, _) => 4,
                (1, true) => 12,
                (1, false) => -2,
                _ => 10,
            };
            let (class, beside) = if is_left { ("e", -14) } else { ("s", 14) };
            let _ = write!(
                marks,
                "<text class=\"axis {class}\" x=\"{}\" y=\"{}\">{what}</text>",
                x + beside,
                y + below
            );
        }
        if let Some(scene) = by.and_then(|by| by.first()) {
            let number = scene + 1;
            let mark = format!(
                "<circle class=\"mark\" cx=\"{x}\" cy=\"{y}\" r=\"9\"/><text class=\"number\" x=\"{x}\" y=\"{}\">{number}</text>",
                y + 4
            );
            marks += &match &links[*scene] {
                Some(link) => format!(
                    "<a href=\"{link}\" aria-label=\"{from} to {to}, recording {number}\">{mark}</a>"
                ),
                None => mark,
            };
        }
    }
    out += &marks;
    for place_of in &PLACES {
        let (x, y) = place(place_of);
        let class = match place_of.0 {
            State::Established => " open",
            _ => "",
        };
        let _ = write!(
            out,
            "<rect class=\"node{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"5\"/><text class=\"node{class}\" \
             x=\"{x}\" y=\"{}\">{}</text>",
            x - page.half,
            y - HALF,
            2 * page.half,
            2 * HALF,
            y + 4,
            place_of.0
        );
    }
    out + "</svg>"
}

/// The part of a line between the middles of two states that lies between their borders.
fn between(half: i32, (x1, y1): (i32, i32), (x2, y2): (i32, i32)) -> (i32, i32, i32, i32) {
    let (dx, dy) = (f64::from(x2 - x1), f64::from(y2 - y1));
    let edge = |size: i32, d: f64| match d.abs() {
        d if d > 0.0 => f64::from(size) / d,
        _ => f64::INFINITY,
    };
    let share = edge(half, dx).min(edge(HALF, dy));
    let (cut_x, cut_y) = ((dx * share).round() as i32, (dy * share).round() as i32);
    (x1 + cut_x, y1 + cut_y, x2 - cut_x, y2 - cut_y)
}

fn words(walked: &BTreeMap<(State, State), Vec<usize>>, scenes: &[Recorded]) -> String {
    let mut items = String::new();
    for (from, to, what) in WAYS {
        let by: Vec<String> = walked
            .get(&(from, to))
            .into_iter()
            .flatten()
            .map(|index| format!("<code>{}</code>", escape(&scenes[*index].0.name)))
            .collect();
        let by = match by.is_empty() {
            true => "no recording here".to_string(),
            false => by.join(", "),
        };
        let _ = write!(items, "<li>{from} to {to}, {what}: {by}</li>");
    }
    format!("<ul>{items}</ul>")
}

fn linked(html: &str, link: &Option<String>) -> String {
    match link {
        Some(link) => format!("<a href=\"{link}\">{html}</a>"),
        None => html.to_string(),
    }
}

/// The scene of `listings/CHAPTER/LISTING/scenes/NAME.toml` is on the page of its chapter.
pub fn page_of(scene: &Path) -> Option<String> {
    let parts: Vec<&str> = scene
        .components()
        .filter_map(|part| part.as_os_str().to_str())
        .collect();
    let begin = parts.iter().rposition(|part| *part == "listings")? + 1;
    let [chapter @ .., _, _, _] = &parts[begin..] else {
        return None;
    };
    (!chapter.is_empty()).then(|| format!("{}.html", chapter.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_leads_from_a_state_to_another_that_has_a_place() {
        for (from, to, _) in WAYS {
            for state in [from, to] {
                assert!(PLACES.iter().any(|(known, ..)| *known == state), "{state}");
            }
        }
    }

    #[test]
    fn a_line_ends_at_the_borders() {
        assert_eq!(between(50, (100, 30), (100, 130)), (100, 43, 100, 117));
        assert_eq!(between(50, (0, 0), (200, 26)), (50, 7, 150, 19));
    }

    #[test]
    fn a_scene_has_a_page() {
        let page = page_of(Path::new(
            "../listings/tcp/handshake/knock/scenes/ordinary.toml",
        ));
        assert_eq!(page.as_deref(), Some("tcp/handshake.html"));
        assert_eq!(page_of(Path::new("scenes/mine.toml")), None);
    }
}
