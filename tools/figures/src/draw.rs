//! Arrows between lanes as SVG, once for a page and once for a phone, and the same in words.

use std::f64::consts::FRAC_PI_2;
use std::fmt::Write as _;

use anyhow::Result;
use wire::{Fate, Recording, State, What};

use crate::figure::{Figure, escape};
use crate::layout::{Arrow, LINE, LOST_AT, Layout, Note, arrows, cut, layout, wrap};

/// The sizes of one drawing, in the units of its view box.
struct Page {
    class: &'static str,
    width: i32,
    /// The first and the last lane.
    lanes: (i32, i32),
    /// Where times end.
    time: i32,
    /// The width of a letter, on an arrow and in a note.
    letter: f64,
    /// Notes stand beside their lane. Without room for them there, they are numbers, and a list below.
    beside: bool,
}

const WIDE: Page = Page {
    class: "wide",
    width: 760,
    lanes: (262, 520),
    time: 40,
    letter: 6.6,
    beside: true,
};
const NARROW: Page = Page {
    class: "narrow",
    width: 340,
    lanes: (64, 286),
    time: 32,
    letter: 6.6,
    beside: false,
};
/// Where lanes begin, and the first thing on them.
const LANES: i32 = 40;
const TOP: i32 = 58;

pub fn html(figure: &Figure, kind: &str, notes: Vec<Note>, caption: &str) -> Result<String> {
    let recording = figure.recording;
    let steps = wire::steps(recording);
    let arrows = arrows(recording, &steps);
    let words = words(figure, &steps, &notes);
    let layout = layout(
        arrows,
        notes,
        TOP,
        |lane| letters(lane, recording.head.hosts.len()),
        |at| figure.ms(at),
    );
    let mut drawing = svg(&WIDE, recording, &layout);
    drawing += &svg(&NARROW, recording, &layout);
    let legend: String = numbered(&layout)
        .iter()
        .map(|(_, _, text, _)| format!("<li>{}</li>", escape(text)))
        .collect();
    if !legend.is_empty() {
        drawing += &format!("<ol class=\"legend\" aria-hidden=\"true\">{legend}</ol>");
    }
    Ok(figure.html(kind, &drawing, caption, &words))
}

fn lane(page: &Page, index: usize, count: usize) -> i32 {
    // Three lanes and more need the room that notes would have.
    let (first, last) = if page.beside && count > 2 {
        (160, 556)
    } else {
        page.lanes
    };
    first + (last - first) * index as i32 / (count.max(2) as i32 - 1)
}

/// Lane, height and words of each note and of each end of one, and whether it is a state, from top to bottom.
fn numbered(layout: &Layout) -> Vec<(usize, i32, &str, bool)> {
    let mut places: Vec<(usize, i32, &str, bool)> = Vec::new();
    for (note, begin, end) in &layout.notes {
        places.push((note.lane, *begin, &note.text, note.state.is_some()));
        if let Some((_, text)) = &note.end {
            places.push((note.lane, *end, text, false));
        }
    }
    places.sort_by_key(|(_, y, ..)| *y);
    places
}

/// The lane of a host while its socket is in a state: full where bytes may flow both ways, else pale.
fn draw_states(out: &mut String, layout: &Layout, lane: usize, x: i32, bottom: i32) {
    let mut states: Vec<(State, i32)> = layout
        .notes
        .iter()
        .filter(|(note, ..)| note.lane == lane)
        .filter_map(|(note, y, _)| Some((note.state?, *y)))
        .collect();
    states.sort_by_key(|(_, y)| *y);
    for (index, (state, from)) in states.iter().enumerate() {
        let to = states.get(index + 1).map_or(bottom, |(_, y)| *y);
        let class = match state {
            State::Closed | State::Listen => continue,
            State::Established => "open",
            State::TimeWait => "waits",
            _ => "part",
        };
        let _ = write!(
            out,
            "<path class=\"state {class} c{}\" d=\"M{x} {from}V{to}\"/>",
            lane % 4
        );
    }
}

fn svg(page: &Page, recording: &Recording, layout: &Layout) -> String {
    let hosts = &recording.head.hosts;
    let count = hosts.len();
    let x = |index: usize| lane(page, index, count);
    let height = layout.height + 26;
    let mut out = format!(
        "<svg class=\"{}\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{}\">",
        page.class,
        page.width,
        escape(&format!(
            "Packets over time. {} The same in words follows.",
            recording.head.about
        )),
    );
    for (index, host) in hosts.iter().enumerate() {
        let (x, c) = (x(index), index % 4);
        let address = host
            .addresses
            .first()
            .map_or(String::new(), ToString::to_string);
        let _ = write!(
            out,
            "<text class=\"host c{c}\" x=\"{x}\" y=\"16\">{}</text><text class=\"addr\" x=\"{x}\" y=\"31\">{address}</text>\
             <path class=\"lane\" d=\"M{x} {LANES}V{}\"/>",
            escape(&host.name),
            height - 8
        );
        draw_states(&mut out, layout, index, x, height - 8);
    }
    let _ = write!(
        out,
        "<text class=\"time\" x=\"{}\" y=\"31\">ms</text>",
        page.time
    );
    for (y, words) in &layout.bands {
        let _ = write!(
            out,
            "<path class=\"band\" d=\"M0 {}h{}v24H0z\"/><text class=\"quiet\" x=\"{}\" y=\"{}\">{}</text>",
            y - 12,
            page.width,
            page.width / 2,
            y + 4,
            escape(words)
        );
    }
    for (ms, y) in &layout.times {
        let ms = format!("{ms:.0}");
        let _ = write!(
            out,
            "<text class=\"time\" x=\"{}\" y=\"{}\">{ms}</text>",
            page.time,
            y + 4
        );
    }
    for (note, begin, end) in &layout.notes {
        if begin != end {
            let side = side(note.lane, count);
            let x = x(note.lane) + 4 * side;
            let _ = write!(
                out,
                "<path class=\"wait\" d=\"M{x} {begin}h{0}V{end}h{1}\"/>",
                3 * side,
                -3 * side
            );
        }
    }
    let mut placed = notes_in_the_way(layout, page, count);
    for (arrow, begin, end) in &layout.arrows {
        let _ = write!(out, "<g data-p=\"{}\">", arrow.packet);
        draw_arrow(
            &mut out,
            &mut placed,
            page,
            arrow,
            (x(arrow.from), *begin),
            (x(arrow.to), *end),
        );
        out += "</g>";
    }
    for (number, (lane, y, text, is_state)) in (1..).zip(numbered(layout)) {
        let side = side(lane, count);
        if page.beside {
            let x0 = x(lane) + 12 * side;
            let end = if side < 0 { " e" } else { "" };
            let state = if is_state { " tcp" } else { "" };
            for (line, text) in (0..).zip(wrap(text, letters(lane, count))) {
                let y = y + 4 + line * LINE;
                let _ = write!(
                    out,
                    "<text class=\"note{state}{end}\" x=\"{x0}\" y=\"{y}\">{}</text>",
                    escape(&text)
                );
            }
        } else {
            let x0 = x(lane) + 13 * side;
            let _ = write!(
                out,
                "<circle class=\"mark\" cx=\"{x0}\" cy=\"{y}\" r=\"8\"/><text class=\"number\" x=\"{x0}\" y=\"{}\">{number}</text>",
                y + 4
            );
        }
    }
    out + "</svg>"
}

/// Where notes stand, or their numbers, that a label may not cover.
fn notes_in_the_way(layout: &Layout, page: &Page, count: usize) -> Vec<Label> {
    let mut placed = Vec::new();
    for (lane_of, y, text, _) in numbered(layout) {
        let side = side(lane_of, count);
        let x = lane(page, lane_of, count) + 12 * side;
        let mut add = |x: f64, y: i32, half: f64| {
            placed.push(Label {
                x,
                y: f64::from(y),
                angle: 0.0,
                half,
            });
        };
        if page.beside {
            for (line, text) in (0..).zip(wrap(text, letters(lane_of, count))) {
                let half = text.chars().count() as f64 * 7.3 / 2.0;
                add(
                    f64::from(x) + half * f64::from(side),
                    y + 4 + line * LINE,
                    half,
                );
            }
        } else {
            add(f64::from(x + side), y + 4, 7.0);
        }
    }
    placed
}

/// How many letters of a note fit beside a lane of the wide drawing.
fn letters(index: usize, count: usize) -> usize {
    let x = lane(&WIDE, index, count) + 12 * side(index, count);
    let room = match side(index, count) {
        1 if index + 1 < count => (lane(&WIDE, index + 1, count) - x) * 3 / 5,
        1 => WIDE.width - x,
        _ => x - WIDE.time - 8,
    };
    (f64::from(room) / 7.3) as usize
}

/// Notes of the first lane stand on its left, all others on the right.
fn side(lane: usize, count: usize) -> i32 {
    if lane == 0 && count > 1 { -1 } else { 1 }
}

/// Where words stand on an arrow: the middle of their line, how it is turned, and half of its length.
struct Label {
    x: f64,
    y: f64,
    angle: f64,
    half: f64,
}

impl Label {
    /// From the line of writing to the top of the letters, and to what hangs below.
    const ABOVE: f64 = 8.0;
    const BELOW: f64 = 0.0;

    fn corners(&self) -> [(f64, f64); 4] {
        let (sin, cos) = self.angle.sin_cos();
        let corner = |along: f64, down: f64| {
            (
                self.x + along * cos - down * sin,
                self.y + along * sin + down * cos,
            )
        };
        [
            corner(-self.half, -Label::ABOVE),
            corner(self.half, -Label::ABOVE),
            corner(self.half, Label::BELOW),
            corner(-self.half, Label::BELOW),
        ]
    }

    /// Two rectangles are apart if a line along a side of one of them lies between them.
    fn is_apart(&self, other: &Label) -> bool {
        let shapes = [self.corners(), other.corners()];
        [self.angle, other.angle].iter().any(|angle| {
            [0.0, FRAC_PI_2].iter().any(|turn| {
                let (sin, cos) = (angle + turn).sin_cos();
                let [one, other] = shapes.map(|shape| {
                    let at = shape.map(|(x, y)| x * cos + y * sin);
                    let least = at.iter().copied().fold(f64::INFINITY, f64::min);
                    let most = at.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    (least, most)
                });
                one.1 < other.0 || other.1 < one.0
            })
        })
    }
}

fn draw_arrow(
    out: &mut String,
    placed: &mut Vec<Label>,
    page: &Page,
    arrow: &Arrow,
    (x1, y1): (i32, i32),
    (x2, y2): (i32, i32),
) {
    let forward = if x2 > x1 { 1 } else { -1 };
    // Not quite from lane to lane, so that the lanes stay whole.
    let (x1, x2) = (x1 + 2 * forward, x2 - 2 * forward);
    let (dx, dy) = (f64::from(x2 - x1), f64::from(y2 - y1));
    let length = dx.hypot(dy);
    let c = arrow.from % 4;
    let mut class = format!("c{c}");
    if arrow.payload {
        class += " full";
    }
    let (mut tip_x, mut tip_y) = (f64::from(x2), f64::from(y2));
    if arrow.lost.is_some() {
        class += " lost";
        tip_x = f64::from(x1) + dx * LOST_AT;
        tip_y = f64::from(y1) + dy;
    } else if arrow.reset {
        class += " reset";
    }
    let _ = write!(
        out,
        "<path class=\"arrow {class}\" d=\"M{x1} {y1}L{tip_x:.0} {tip_y:.0}\"/>"
    );
    if let Some(why) = arrow.lost {
        let (x, y) = (tip_x.round() as i32 + 5 * forward, tip_y.round() as i32);
        let anchor = if forward < 0 { " e" } else { "" };
        let _ = write!(
            out,
            "<path class=\"cross\" d=\"M{} {}l10 10m0 -10l-10 10\"/><text class=\"fate{anchor}\" x=\"{}\" y=\"{}\">{why}</text>",
            x - 5,
            y - 5,
            x + 10 * forward,
            y + 4
        );
    } else {
        // Both strokes of the head lean back from the tip.
        let (ux, uy) = (dx / length, dy / length);
        let stroke = |sign: f64| (-9.0 * ux - sign * 4.5 * uy, -9.0 * uy + sign * 4.5 * ux);
        let (one, other) = (stroke(1.0), stroke(-1.0));
        let _ = write!(
            out,
            "<path class=\"head c{c}{}\" d=\"M{:.0} {:.0}L{x2} {y2}L{:.0} {:.0}\"/>",
            if arrow.reset { " reset" } else { "" },
            tip_x + one.0,
            tip_y + one.1,
            tip_x + other.0,
            tip_y + other.1
        );
    }
    if arrow.label.is_empty() {
        return;
    }
    let whole = (tip_x - f64::from(x1)).abs();
    // Where arrows cross, each label keeps to its sender's half. And it keeps clear of the notes on the right of a lane
    // in the middle.
    let left = arrow.from.min(arrow.to);
    let beside_notes = page.beside && left > 0 && arrow.lost.is_none();
    let (place, room) = match (arrow.crossed, beside_notes) {
        (_, true) if arrow.from == left => (0.79, whole * 0.42 - 4.0),
        (_, true) => (0.21, whole * 0.42 - 4.0),
        (true, _) => (0.27, whole * 0.5 - 8.0),
        (false, _) => (0.5, whole - 16.0),
    };
    // A copy leaves where the first one does, so its label stands behind the other.
    let place = match arrow.label.as_str() {
        "copy" if arrow.crossed => 0.6,
        "copy" => 0.85,
        _ => place,
    };
    let angle = (tip_y - f64::from(y1))
        .atan2(tip_x - f64::from(x1))
        .to_degrees();
    let angle = if forward < 0 { angle - 180.0 } else { angle };
    let angle = if angle < -180.0 { angle + 360.0 } else { angle };
    let most = (room / page.letter) as usize;
    let at = |letters: usize, place: f64| Label {
        x: f64::from(x1) + (tip_x - f64::from(x1)) * place,
        y: f64::from(y1) + (tip_y - f64::from(y1)) * place - 4.0,
        angle: angle.to_radians(),
        half: letters as f64 * page.letter / 2.0 + 4.0,
    };
    // Elsewhere on its arrow, if another label is there already, or else with fewer letters.
    let mut others: Vec<f64> = (4..=17).map(|part| f64::from(part) * 0.05).collect();
    others.sort_by(|one, other| (one - place).abs().total_cmp(&(other - place).abs()));
    let found = [most, most * 3 / 4, most / 2].iter().find_map(|most| {
        let text = cut(&arrow.label, *most);
        let letters = text.chars().count();
        let fits = |share: &f64| {
            !beside_notes && whole * share.min(1.0 - *share) >= at(letters, *share).half
        };
        let elsewhere = others.iter().copied().filter(fits);
        let label = [place]
            .into_iter()
            .chain(elsewhere)
            .map(|place| at(letters, place))
            .find(|label| placed.iter().all(|other| label.is_apart(other)))?;
        Some((text, label))
    });
    // Without room there is none. It stands in the words below the figure.
    let Some((text, label)) = found else {
        return;
    };
    let (x, y) = (label.x, label.y);
    placed.push(label);
    let text = escape(&text);
    let _ = write!(
        out,
        "<text class=\"label c{c}\" transform=\"translate({x:.0} {y:.0})rotate({angle:.0})\">{text}</text>"
    );
}

/// Every packet and every note, in the order of time.
fn words(figure: &Figure, steps: &[wire::Step], notes: &[Note]) -> String {
    let recording = figure.recording;
    let hosts = &recording.head.hosts;
    let mut items: Vec<(i64, String)> = Vec::new();
    for step in steps {
        let event = &recording.events[step.event];
        let What::Packet {
            from,
            fate,
            arrivals,
            ..
        } = &event.what
        else {
            continue;
        };
        let mut said = format!("{} sends {}", hosts[*from].name, step.words());
        for arrival in arrivals {
            said += &format!(
                "; {} has it at {:.1}",
                hosts[arrival.host].name,
                figure.ms(arrival.at_us)
            );
        }
        if *fate != Fate::Passed {
            said += &format!("; {fate}");
        }
        items.push((event.at_us, escape(&said)));
    }
    for note in notes {
        let host = &hosts[note.lane].name;
        items.push((
            note.at_us,
            format!("{host}: <code>{}</code>", escape(&note.text)),
        ));
        if let Some((at, text)) = &note.end {
            items.push((*at, format!("{host}: <code>{}</code>", escape(text))));
        }
    }
    items.sort_by_key(|(at, _)| *at);
    let items: String = items
        .iter()
        .map(|(at, said)| format!("<li><b>{:.1}</b> {said}</li>", figure.ms(*at)))
        .collect();
    format!("<p>Times are in milliseconds from the first packet.</p><ol>{items}</ol>")
}

#[cfg(test)]
mod tests {
    use super::Label;
    use crate::layout::{cut, wrap};

    #[test]
    fn labels_that_cover_each_other_are_not_apart() {
        let label = |x: f64, y: f64, degrees: f64| Label {
            x,
            y,
            angle: degrees.to_radians(),
            half: 30.0,
        };
        let one = label(100.0, 100.0, 10.0);
        assert!(!one.is_apart(&label(120.0, 105.0, 10.0)));
        assert!(!one.is_apart(&label(100.0, 100.0, -40.0)));
        assert!(one.is_apart(&label(100.0, 115.0, 10.0)));
        assert!(one.is_apart(&label(170.0, 100.0, 0.0)));
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("ACK 13", 6), "ACK 13");
        assert_eq!(cut("ACK 13", 5), "ACK…");
        assert_eq!(
            wrap("closed after 12 bytes", 12),
            ["closed after", "12 bytes"]
        );
        assert_eq!(wrap("abcdefghijklmnop", 2).last().unwrap(), "k…");
        assert_eq!(cut("5 bytes \"Hello\"", 12), "5 bytes \"He…\"");
    }
}
