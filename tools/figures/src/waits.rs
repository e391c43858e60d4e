//! Which thread of a program waits for whom, over time, and what comes for it meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use wire::{Body, Did, Flags, What, Whom};

use crate::figure::{Figure, escape};
use crate::flight::round_step;

/// What comes from one host within this time is one mark, in microseconds.
const TOGETHER: i64 = 4_000;
/// More lanes are no figure.
const MOST: usize = 12;

/// One thread, or several that do nothing but wait in the same calls.
struct Lane {
    name: String,
    waits: Vec<Wait>,
    work: Vec<Work>,
    /// Without an end it is there to the end of the figure.
    begin: i64,
    end: Option<i64>,
    is_idle: bool,
}

struct Wait {
    begin: i64,
    end: Option<i64>,
    call: String,
    whom: Whom,
}

struct Work {
    begin: i64,
    end: i64,
    calls: Vec<Did>,
}

/// What arrived at the program's host.
struct Mark {
    at_us: i64,
    from: usize,
    what: Vec<Came>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Connection,
    Bytes(usize),
    End,
    Reset,
}

struct Drawing<'a> {
    figure: &'a Figure<'a>,
    program: &'a str,
    lanes: Vec<Lane>,
    marks: Vec<Mark>,
    begin: i64,
    end: i64,
}

pub fn html(figure: &Figure, program: &str, caption: &str) -> Result<String> {
    let index = figure.program(program)?;
    let mut lanes = lanes(figure, index);
    if lanes.iter().all(|lane| lane.waits.is_empty()) {
        bail!("the scene does not say what {program} waits for; set `waits = true` for it");
    }
    let host = figure.recording.head.programs[index].host;
    let marks = marks(figure, host);
    let (begin, end) = span(figure, &lanes, &marks);
    // What ended before, or begins after, is not in the figure.
    for lane in &mut lanes {
        lane.waits
            .retain(|wait| wait.begin < end && wait.end.is_none_or(|end| end > begin));
        lane.work
            .retain(|work| work.begin < end && work.end > begin);
    }
    lanes.retain(|lane| lane.begin < end && lane.end.is_none_or(|end| end > begin));
    if lanes.is_empty() {
        bail!("{program} waits for nothing while packets cross");
    }
    let mut lanes = folded(lanes);
    for lane in lanes.iter_mut().filter(|lane| !lane.is_idle) {
        awake(lane);
    }
    if lanes.len() > MOST {
        bail!(
            "{program} has {} threads that do something, and a figure has room for {MOST}",
            lanes.len()
        );
    }
    let drawing = Drawing {
        figure,
        program,
        lanes,
        marks,
        begin,
        end,
    };
    let mut svgs = String::new();
    for page in [&WIDE, &NARROW] {
        svgs += &drawing.svg(page);
    }
    Ok(figure.html("waits", &svgs, caption, &drawing.words()))
}

fn lanes(figure: &Figure, index: usize) -> Vec<Lane> {
    let mut lanes: BTreeMap<usize, Lane> = BTreeMap::new();
    for event in &figure.recording.events {
        if let What::Thread {
            program,
            thread,
            name,
            end_us,
        } = &event.what
            && *program == index
        {
            let name = match (thread, name) {
                (0, _) => "main".to_string(),
                (_, Some(name)) => name.clone(),
                (_, None) => format!("thread {}", thread + 1),
            };
            let lane = Lane {
                name,
                waits: Vec::new(),
                work: Vec::new(),
                begin: event.at_us,
                end: *end_us,
                is_idle: false,
            };
            lanes.insert(*thread, lane);
        }
    }
    for event in &figure.recording.events {
        match &event.what {
            What::Wait {
                program,
                thread,
                name,
                whom,
                end_us,
                ..
            } if *program == index => {
                if let Some(lane) = lanes.get_mut(thread) {
                    lane.waits.push(Wait {
                        begin: event.at_us,
                        end: *end_us,
                        call: name.clone(),
                        whom: *whom,
                    });
                }
            }
            What::Work {
                program,
                thread,
                calls,
                end_us,
            } if *program == index => {
                if let Some(lane) = lanes.get_mut(thread) {
                    lane.work.push(Work {
                        begin: event.at_us,
                        end: *end_us,
                        calls: calls.clone(),
                    });
                }
            }
            _ => {}
        }
    }
    lanes.into_values().collect()
}

/// From one wait to the next a thread works, if only for a moment and for nobody that its calls name.
fn awake(lane: &mut Lane) {
    let pauses: Vec<(i64, i64)> = lane
        .waits
        .windows(2)
        .filter_map(|pair| Some((pair[0].end?, pair[1].begin)))
        .collect();
    for (begin, end) in pauses {
        let within = |work: &&mut Work| work.begin >= begin && work.end <= end;
        match lane.work.iter_mut().find(within) {
            Some(work) => (work.begin, work.end) = (begin, end),
            None => lane.work.push(Work {
                begin,
                end,
                calls: Vec::new(),
            }),
        }
    }
    lane.work.sort_by_key(|work| work.begin);
}

/// What a reader has to know of: new connections, bytes, and ends.
fn marks(figure: &Figure, host: usize) -> Vec<Mark> {
    let recording = figure.recording;
    let mut came: Vec<(i64, usize, Came)> = Vec::new();
    let mut begun: Vec<_> = Vec::new();
    for step in &wire::steps(recording) {
        let What::Packet { from, arrivals, .. } = &recording.events[step.event].what else {
            continue;
        };
        let Some(arrival) = arrivals.iter().find(|arrival| arrival.host == host) else {
            continue;
        };
        let mut add = |what| came.push((arrival.at_us, *from, what));
        match &step.packet.body {
            Body::Tcp(tcp) => {
                let end = (step.packet.source, tcp.source_port, tcp.destination_port);
                if tcp.flags.has(Flags::SYN) {
                    // The answer to ours is the connection; one that comes waits for our answer.
                    match tcp.flags.has(Flags::ACK) {
                        true => add(Came::Connection),
                        false => begun.push(end),
                    }
                    continue;
                }
                if let Some(place) = begun.iter().position(|known| *known == end) {
                    begun.remove(place);
                    add(Came::Connection);
                }
                if !tcp.payload.is_empty() {
                    add(Came::Bytes(tcp.payload.len()));
                }
                if tcp.flags.has(Flags::FIN) {
                    add(Came::End);
                }
                if tcp.flags.has(Flags::RST) {
                    add(Came::Reset);
                }
            }
            Body::Udp(udp) => add(Came::Bytes(udp.payload.len())),
            _ => {}
        }
    }
    came.sort_by_key(|(at, ..)| *at);
    let mut marks: Vec<Mark> = Vec::new();
    for (at_us, from, what) in came {
        let same = marks
            .iter_mut()
            .rev()
            .find(|mark| mark.from == from)
            .filter(|mark| at_us - mark.at_us <= TOGETHER);
        let Some(mark) = same else {
            marks.push(Mark {
                at_us,
                from,
                what: vec![what],
            });
            continue;
        };
        match (mark.what.last_mut(), what) {
            (Some(Came::Bytes(count)), Came::Bytes(more)) => *count += more,
            _ => mark.what.push(what),
        }
    }
    marks
}

/// From the first packet to a little after the last change.
fn span(figure: &Figure, lanes: &[Lane], marks: &[Mark]) -> (i64, i64) {
    let begin = figure.start_us();
    let waits = lanes.iter().flat_map(|lane| &lane.waits);
    let ends = waits
        .flat_map(|wait| [Some(wait.begin), wait.end])
        .flatten();
    let work = lanes
        .iter()
        .flat_map(|lane| &lane.work)
        .map(|work| work.end);
    let marks = marks.iter().map(|mark| mark.at_us);
    let last = ends.chain(work).chain(marks).max().unwrap_or(begin);
    let room = ((last - begin) / 8).max(10_000);
    (begin, last + room)
}

/// Threads that do nothing for a peer are one lane with those that wait in the same calls.
fn folded(lanes: Vec<Lane>) -> Vec<Lane> {
    let mut folded: Vec<(Lane, Vec<String>)> = Vec::new();
    for (index, mut lane) in lanes.into_iter().enumerate() {
        let about_sockets = |whom: &Whom| matches!(whom, Whom::Peer(_) | Whom::Anyone);
        lane.is_idle =
            !lane.waits.iter().any(|wait| about_sockets(&wait.whom)) && lane.work.is_empty();
        let calls = |lane: &Lane| {
            let mut calls: Vec<String> = lane.waits.iter().map(|wait| wait.call.clone()).collect();
            calls.dedup();
            calls
        };
        let name = lane.name.clone();
        let same = folded
            .iter_mut()
            .skip(1)
            .find(|(other, _)| other.is_idle && calls(other) == calls(&lane));
        match same.filter(|_| lane.is_idle && index > 0) {
            Some((_, names)) => names.push(name),
            None => folded.push((lane, vec![name])),
        }
    }
    // They stand below the others, but the main thread is always the first.
    folded[1..].sort_by_key(|(lane, _)| lane.is_idle);
    folded
        .into_iter()
        .map(|(mut lane, names)| {
            if names.len() > 1 {
                lane.name = format!("{} threads", names.len());
            }
            lane
        })
        .collect()
}

struct Page {
    class: &'static str,
    width: i32,
    /// The left end of the time axis. With little room on its left, names stand above their lanes.
    left: i32,
    /// How many rows there are for what came.
    rows: i32,
    /// About how many times stand below.
    times: f64,
}

const WIDE: Page = Page {
    class: "wide",
    width: 760,
    left: 132,
    rows: 3,
    times: 8.0,
};
const NARROW: Page = Page {
    class: "narrow",
    width: 340,
    left: 6,
    rows: 5,
    times: 4.0,
};

/// The words beside the line of what came.
struct Label {
    text: String,
    row: i32,
    is_left: bool,
}

impl Page {
    fn is_narrow(&self) -> bool {
        self.left < 50
    }

    /// From the top of a lane's place to its bar.
    fn above(&self) -> i32 {
        if self.is_narrow() { 24 } else { 9 }
    }
}

const RIGHT: i32 = 10;
/// The height of a bar, and of one of a lane that only waits.
const BAR: i32 = 26;
const THIN: i32 = 14;
const ROW: i32 = 16;
/// The width of a letter, in a bar and above.
const LETTER: f64 = 6.9;

impl Drawing<'_> {
    fn svg(&self, page: &Page) -> String {
        let width = f64::from(page.width - RIGHT - page.left);
        let x = |at_us: i64| {
            let at = at_us.clamp(self.begin, self.end);
            let share = (at - self.begin) as f64 / (self.end - self.begin).max(1) as f64;
            page.left + (share * width).round() as i32
        };
        let labels = self.labels(page, &x);
        let rows = labels.iter().flatten().map(|label| label.row + 1).max();
        let top = rows.unwrap_or(0) * ROW + 12;
        let mut places = Vec::new();
        let mut y = top;
        for lane in &self.lanes {
            let bar = if lane.is_idle { THIN } else { BAR };
            places.push((y + page.above(), bar));
            y += page.above() + bar + 9;
        }
        let bottom = y + 4;
        let height = bottom + 64;
        let mut out = format!(
            "<svg class=\"{}\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{}\">",
            page.class,
            page.width,
            escape(&format!(
                "What the threads of {} wait for, over time. {} The same in words follows.",
                self.program, self.figure.recording.head.about
            ))
        );
        self.draw_marks(&mut out, &labels, &x, top, bottom);
        for (lane, (y, bar)) in self.lanes.iter().zip(places) {
            self.draw_lane(&mut out, page, &x, lane, (y, bar));
        }
        self.draw_axis(&mut out, page, &x, bottom);
        out + "</svg>"
    }

    /// Where the words of each thing that came stand: in the first row that has room for them, else nowhere.
    fn labels(&self, page: &Page, x: &impl Fn(i64) -> i32) -> Vec<Option<Label>> {
        let mut taken: Vec<Vec<(i32, i32)>> = vec![Vec::new(); page.rows as usize];
        let mut label = |mark: &Mark| {
            let at = x(mark.at_us);
            let name = &self.figure.recording.head.hosts[mark.from].name;
            let said: Vec<String> = mark.what.iter().map(Came::to_string).collect();
            // On the right of its line, or on its left, or the name alone.
            for text in [format!("{name}: {}", said.join(", ")), name.clone()] {
                let long = (text.chars().count() as f64 * 6.4) as i32 + 10;
                for (row, taken) in (0..).zip(&mut taken) {
                    for (from, to) in [(at, at + long), (at - long, at)] {
                        let fits = from >= 0 && to <= page.width;
                        if fits
                            && taken
                                .iter()
                                .all(|(left, right)| to < *left || from > *right)
                        {
                            taken.push((from, to));
                            let is_left = from < at;
                            return Some(Label { text, row, is_left });
                        }
                    }
                }
            }
            None
        };
        self.marks.iter().map(&mut label).collect()
    }

    /// A line down for each thing that came, and its words.
    fn draw_marks(
        &self,
        out: &mut String,
        labels: &[Option<Label>],
        x: &impl Fn(i64) -> i32,
        top: i32,
        bottom: i32,
    ) {
        for (mark, label) in self.marks.iter().zip(labels) {
            let top = label.as_ref().map_or(top, |label| 4 + label.row * ROW);
            let _ = write!(
                out,
                "<path class=\"came c{}\" d=\"M{} {top}V{bottom}\"/>",
                mark.from % 4,
                x(mark.at_us)
            );
        }
        for (mark, label) in self.marks.iter().zip(labels) {
            if let Some(Label { text, row, is_left }) = label {
                let (side, away) = if *is_left { ("e", -4) } else { ("s", 4) };
                let _ = write!(
                    out,
                    "<text class=\"from {side} c{}\" x=\"{}\" y=\"{}\">{}</text>",
                    mark.from % 4,
                    x(mark.at_us) + away,
                    15 + row * ROW,
                    escape(text)
                );
            }
        }
    }

    fn draw_lane(
        &self,
        out: &mut String,
        page: &Page,
        x: &impl Fn(i64) -> i32,
        lane: &Lane,
        (y, bar): (i32, i32),
    ) {
        let middle = y + bar / 2;
        let most = if page.is_narrow() { 40 } else { 16 };
        let name = escape(&crate::layout::cut(&lane.name, most));
        *out += &match page.is_narrow() {
            true => format!(
                "<text class=\"title s\" x=\"{}\" y=\"{}\">{name}</text>",
                page.left,
                y - 6
            ),
            false => format!(
                "<text class=\"title e\" x=\"{}\" y=\"{}\">{name}</text>",
                page.left - 10,
                middle + 4
            ),
        };
        // The lane itself, where it is not covered.
        let mut from = x(lane.begin);
        for wait in &lane.waits {
            let (left, right) = (x(wait.begin), x(wait.end.unwrap_or(self.end)));
            if left > from {
                let _ = write!(out, "<path class=\"lane\" d=\"M{from} {middle}H{left}\"/>");
            }
            from = from.max(right);
        }
        let to = x(lane.end.unwrap_or(self.end));
        if to > from {
            let _ = write!(out, "<path class=\"lane\" d=\"M{from} {middle}H{to}\"/>");
        }
        for wait in &lane.waits {
            let (left, right) = (x(wait.begin), x(wait.end.unwrap_or(self.end)));
            let (begins, ends) = (
                wait.begin >= self.begin,
                wait.end.is_some_and(|end| end <= self.end),
            );
            let mut path = match begins {
                true => format!("M{right} {y}H{left}V{}H{right}", y + bar),
                false => format!("M{right} {y}H{left}M{left} {}H{right}", y + bar),
            };
            if ends {
                let _ = write!(path, "M{right} {y}V{}", y + bar);
            }
            let class = self.class(&wait.whom);
            let _ = write!(
                out,
                "<rect class=\"bar {class}\" x=\"{left}\" y=\"{y}\" width=\"{}\" height=\"{bar}\"/>\
                 <path class=\"edge {class}\" d=\"{path}\"/>",
                (right - left).max(1)
            );
        }
        for work in &lane.work {
            let (left, right) = (x(work.begin), x(work.end));
            let wide = (right - left).max(4);
            let left = (left + right - wide) / 2;
            let mut whom: Vec<String> =
                work.calls.iter().map(|did| self.class(&did.whom)).collect();
            whom.sort();
            whom.dedup();
            // For several peers, a part for each, one below the other.
            let whom = if whom.is_empty() {
                vec![String::new()]
            } else {
                whom
            };
            let tall = (bar + 8) / whom.len() as i32;
            for (part, class) in (0..).zip(&whom) {
                let _ = write!(
                    out,
                    "<rect class=\"{}\" x=\"{left}\" y=\"{}\" width=\"{wide}\" height=\"{tall}\"/>",
                    format!("work {class}").trim_end(),
                    y - 4 + part * tall
                );
            }
        }
        for wait in &lane.waits {
            let (left, right) = (x(wait.begin), x(wait.end.unwrap_or(self.end)));
            let (call, host) = (short(&wait.call), self.host(&wait.whom));
            let room = (f64::from(right - left - 8) / LETTER) as usize;
            let texts = match host {
                Some(host) => vec![
                    format!("{} {host}", towards(call)),
                    format!("{call} {host}"),
                    host.to_string(),
                ],
                None => vec![call.to_string()],
            };
            // Beside the lines that cross the bar, if it is long enough.
            let mut cuts: Vec<i32> = self.marks.iter().map(|mark| x(mark.at_us)).collect();
            cuts.retain(|cut| (left + 3..right - 2).contains(cut));
            let half = |text: &str| (text.chars().count() as f64 * LETTER / 2.0) as i32 + 3;
            let free = |text: &str| {
                let mut places = vec![(left + right) / 2];
                let ends: Vec<i32> = [left]
                    .into_iter()
                    .chain(cuts.clone())
                    .chain([right])
                    .collect();
                let mut parts: Vec<&[i32]> = ends.windows(2).collect();
                parts.sort_by_key(|part| part[0] - part[1]);
                places.extend(parts.iter().map(|part| (part[0] + part[1]) / 2));
                places.into_iter().find(|place| {
                    let half = half(text);
                    let inside = place - half >= left && place + half <= right;
                    inside && cuts.iter().all(|cut| (place - cut).abs() > half)
                })
            };
            let clear = texts.iter().find_map(|text| Some((text, free(text)?)));
            let found = clear.or_else(|| {
                let text = texts.iter().find(|text| text.chars().count() <= room)?;
                Some((text, (left + right) / 2))
            });
            if let Some((text, at)) = found {
                let _ = write!(
                    out,
                    "<text class=\"call\" x=\"{at}\" y=\"{}\">{}</text>",
                    middle + 4,
                    escape(text)
                );
            }
        }
    }

    fn draw_axis(&self, out: &mut String, page: &Page, x: &impl Fn(i64) -> i32, bottom: i32) {
        let (from, to) = (self.figure.ms(self.begin), self.figure.ms(self.end));
        let step = round_step((to - from) / page.times);
        let mut time = 0.0;
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{} {bottom}H{}\"/>",
            x(self.begin),
            x(self.end)
        );
        while time <= to {
            let at = x(self.begin + (time * 1000.0) as i64);
            // The unit stands at the end, where the last time would be in its way.
            let unit = if time + step > to { " ms" } else { "" };
            let _ = write!(
                out,
                "<path class=\"grid\" d=\"M{at} {bottom}v5\"/><text class=\"axis{}\" x=\"{at}\" y=\"{}\">{time}{unit}</text>",
                match () {
                    () if time == 0.0 => " s",
                    // It would end outside.
                    () if at + 4 * format!("{time}{unit}").len() as i32 > page.width => " e",
                    () => "",
                },
                bottom + 19
            );
            time += step;
        }
        // What the shapes mean.
        let y = bottom + 36;
        let mut at = page.left;
        let gap = if page.is_narrow() { 14 } else { 26 };
        for (shape, words, long) in [
            ("bar", "waits", 38),
            ("work", "works", 38),
            ("came", "arrives", 44),
        ] {
            *out += &match shape {
                "bar" => format!(
                    "<rect class=\"bar\" x=\"{at}\" y=\"{y}\" width=\"22\" height=\"16\"/>\
                     <path class=\"edge\" d=\"M{at} {y}h22v16h-22z\"/>"
                ),
                "work" => format!(
                    "<rect class=\"work\" x=\"{}\" y=\"{y}\" width=\"4\" height=\"16\"/>",
                    at + 14
                ),
                _ => format!("<path class=\"came\" d=\"M{} {y}v16\"/>", at + 16),
            };
            let _ = write!(
                out,
                "<text class=\"axis s\" x=\"{}\" y=\"{}\">{words}</text>",
                at + 28,
                y + 12
            );
            at += 28 + long + gap;
        }
    }

    /// The host of a peer.
    fn host(&self, whom: &Whom) -> Option<&str> {
        self.index(whom)
            .map(|index| self.figure.recording.head.hosts[index].name.as_str())
    }

    fn index(&self, whom: &Whom) -> Option<usize> {
        let Whom::Peer(peer) = whom else {
            return None;
        };
        let hosts = &self.figure.recording.head.hosts;
        hosts
            .iter()
            .position(|host| host.addresses.contains(&peer.ip()))
    }

    fn class(&self, whom: &Whom) -> String {
        match (self.index(whom), whom) {
            (Some(index), _) => format!("c{}", index % 4),
            (None, Whom::Thread | Whom::Time | Whom::Other) => "inside".to_string(),
            (None, _) => "anyone".to_string(),
        }
    }

    /// Each wait, each piece of work and all that came, in the order of time.
    fn words(&self) -> String {
        let mut items: Vec<(i64, String)> = Vec::new();
        let hosts = &self.figure.recording.head.hosts;
        for mark in &self.marks {
            let said: Vec<String> = mark.what.iter().map(Came::to_string).collect();
            let name = escape(&hosts[mark.from].name);
            items.push((mark.at_us, format!("from {name}: {}", said.join(", "))));
        }
        for lane in &self.lanes {
            let name = escape(&lane.name);
            for wait in &lane.waits {
                let whom = match (self.host(&wait.whom), wait.whom) {
                    (Some(host), _) => format!(" for {}", escape(host)),
                    (None, Whom::Peer(peer)) => format!(" for {peer}"),
                    (None, Whom::Anyone) => " for anyone".to_string(),
                    (None, Whom::Thread) => " for another thread".to_string(),
                    (None, Whom::Time) => " for a time".to_string(),
                    (None, Whom::Other) => String::new(),
                };
                let end = match wait.end {
                    Some(end) => format!("until {:.1}", self.figure.ms(end)),
                    None => "to the end".to_string(),
                };
                let wait_s = if lane.name.ends_with(" threads") {
                    "wait"
                } else {
                    "waits"
                };
                items.push((
                    wait.begin.max(self.begin),
                    format!(
                        "{name} {wait_s} in <code>{}</code>{whom}, {end}",
                        escape(&wait.call)
                    ),
                ));
            }
            for work in &lane.work {
                let calls: Vec<String> = work.calls.iter().map(|did| self.did(did)).collect();
                let said = match calls.is_empty() {
                    true => format!("{name} works until {:.1}", self.figure.ms(work.end)),
                    false => format!("{name} works: {}", calls.join(", ")),
                };
                items.push((work.begin, said));
            }
        }
        items.sort_by_key(|(at, _)| *at);
        let items: String = items
            .iter()
            .map(|(at, said)| format!("<li><b>{:.1}</b> {said}</li>", self.figure.ms(*at)))
            .collect();
        format!(
            "<p>What the threads of {} do, and what comes to their host. Times are in milliseconds from the first \
             packet.</p><ol>{items}</ol>",
            escape(self.program)
        )
    }

    fn did(&self, did: &Did) -> String {
        let host = self
            .host(&did.whom)
            .map_or(String::new(), |host| format!(" of {}", escape(host)));
        let times = match did.count {
            1 => String::new(),
            count => format!(" ({count} times)"),
        };
        format!("<code>{}</code>{host}{times}", escape(&did.name))
    }
}

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Came::Connection => f.write_str("connection"),
            Came::Bytes(1) => f.write_str("1 byte"),
            Came::Bytes(count) => write!(f, "{count} bytes"),
            Came::End => f.write_str("end"),
            Came::Reset => f.write_str("reset"),
        }
    }
}

/// What a call does, where the kernel has several of them for it.
fn short(call: &str) -> &str {
    match call {
        "accept4" => "accept",
        "readv" | "recvfrom" | "recvmsg" | "recvmmsg" => "read",
        "writev" | "sendto" | "sendmsg" | "sendmmsg" => "write",
        "ppoll" => "poll",
        "pselect6" => "select",
        "epoll_pwait" | "epoll_pwait2" => "epoll_wait",
        "nanosleep" | "clock_nanosleep" => "sleep",
        call => call,
    }
}

fn towards(call: &str) -> String {
    match call {
        "read" => "read from".to_string(),
        "write" | "connect" => format!("{call} to"),
        call => format!("{call} for"),
    }
}
