//! What `cargo book bench` has measured: bars, latencies on a logarithmic axis, tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};

use crate::figure::{self, escape};
use crate::results::{BASE, Measured, Profile, Results, Spread, Workload};
use crate::totals::thousands;

/// What can be drawn of a workload.
pub const KINDS: [&str; 7] = [
    "throughput",
    "latency",
    "memory",
    "table",
    "calls",
    "profile",
    "machine",
];

/// The generator's share of its core from which on it is what limits.
const FULL: f64 = 0.95;

/// `names` are those of workloads, with commas between them.
pub fn html(
    results: &Results,
    names: &str,
    kind: &str,
    caption: &str,
    link: &str,
) -> Result<String> {
    let mut workloads = Vec::new();
    for name in names.split(',') {
        match results.workloads.iter().find(|one| one.name == name) {
            Some(workload) if workload.runs.is_empty() => {
                bail!("no server was measured with the workload {name}")
            }
            Some(workload) => workloads.push(workload),
            None => {
                let names: Vec<_> = results
                    .workloads
                    .iter()
                    .map(|one| one.name.as_str())
                    .collect();
                bail!(
                    "there is no workload {name} in the results, only {}",
                    names.join(", ")
                );
            }
        }
    }
    let (drawing, words) = match kind {
        "throughput" => bars(&workloads, &THROUGHPUT)?,
        "memory" => bars(&workloads, &MEMORY)?,
        "latency" => latencies(&workloads),
        "table" => (table(&workloads), String::new()),
        "calls" => (calls(results)?, String::new()),
        "profile" => profiles(results)?,
        "machine" => (machine(results), String::new()),
        other => bail!(
            "{{{{#measured}}}} knows no {other}, only {}",
            KINDS.join(", ")
        ),
    };
    let machine = &results.machine;
    let s = if results.rounds == 1 { "" } else { "s" };
    let source = format!(
        "{}, {} cores, Linux {}; {} round{s} of {} s each on {}, measured with <code>cargo book bench</code>. \
         <a href=\"{link}\" download>All numbers</a>.",
        escape(&machine.cpu),
        machine.cores,
        escape(&machine.kernel),
        results.rounds,
        results.seconds,
        escape(&results.date),
    );
    Ok(figure::html(
        "measured", None, &drawing, caption, &source, &words,
    ))
}

/// A number of which each server has one.
struct Quantity {
    /// What the axis shows.
    axis: &'static str,
    value: fn(&Measured) -> Option<f64>,
    text: fn(f64) -> String,
    /// Whether the servers are compared with the one in C.
    has_ratio: bool,
}

const THROUGHPUT: Quantity = Quantity {
    axis: "answers a second; the line is from the lowest round to the highest",
    value: |measured| Some(measured.per_second),
    text: |value| thousands(value.round() as usize),
    has_ratio: true,
};

const MEMORY: Quantity = Quantity {
    axis: "memory a connection that is silent, in bytes",
    value: |measured| measured.server_bytes_each,
    text: |value| thousands(value.max(0.0).round() as usize),
    has_ratio: false,
};

struct Page {
    class: &'static str,
    width: f64,
    /// Where the axis begins, behind the names of the servers.
    left: f64,
    /// What is kept free for the numbers behind a bar.
    right: f64,
    /// The height of a row.
    row: f64,
    /// How far its line is above its middle, and its name, where that has no room before it.
    name: (f64, f64),
    /// The longest line of text above the axis, in letters.
    letters: usize,
}

const WIDE: Page = Page {
    class: "wide",
    width: 760.0,
    left: 160.0,
    right: 130.0,
    row: 26.0,
    name: (150.0, 4.0),
    letters: 110,
};
const NARROW: Page = Page {
    class: "narrow",
    width: 340.0,
    left: 8.0,
    right: 112.0,
    row: 42.0,
    name: (8.0, -11.0),
    letters: 40,
};

/// A colour by what a server is written in.
fn colour(server: &str) -> usize {
    // A word behind it says how it was started.
    let program = server.split(' ').next().unwrap_or(server);
    match program.rsplit_once('.') {
        Some((_, "c")) => 2,
        Some((_, "py")) => 1,
        _ => 0,
    }
}

fn bars(workloads: &[&Workload], quantity: &Quantity) -> Result<(String, String)> {
    let mut drawing = String::new();
    for page in [&WIDE, &NARROW] {
        for workload in workloads {
            drawing += &bar_panel(page, workload, quantity)?;
        }
    }
    let mut words = String::new();
    for workload in workloads {
        let mut items = String::new();
        for (server, spread, ratio) in rows(workload, quantity) {
            let ratio = ratio.map_or(String::new(), |ratio| format!(", {ratio:.2} of {BASE}"));
            let _ = write!(
                items,
                "<li>{}: {} ({} to {}){ratio}{}</li>",
                escape(server),
                (quantity.text)(spread.median),
                (quantity.text)(spread.least),
                (quantity.text)(spread.most),
                if is_full(workload, server) {
                    ", with no time left for the generator"
                } else {
                    ""
                }
            );
        }
        let _ = write!(
            words,
            "<p>{}; {}</p><ul>{items}</ul>",
            escape(&workload.about),
            quantity.axis
        );
        words += &skipped(workload);
    }
    Ok((drawing, words))
}

/// The servers with their numbers, and how these compare with the one in C.
fn rows<'a>(workload: &'a Workload, quantity: &Quantity) -> Vec<(&'a str, Spread, Option<f64>)> {
    let base = workload
        .spread(BASE, quantity.value)
        .filter(|_| quantity.has_ratio);
    let spread = |server: &'a str| {
        let spread = workload.spread(server, quantity.value)?;
        let ratio = base.map(|base| spread.median / base.median);
        Some((server, spread, ratio))
    };
    workload.servers().into_iter().filter_map(spread).collect()
}

/// Whether the generator, and not the server, was what limited.
fn is_full(workload: &Workload, server: &str) -> bool {
    // By the clock it never sleeps.
    !workload.arguments.starts_with("open")
        && workload
            .spread(server, |one| Some(one.cpu))
            .is_some_and(|cpu| cpu.median >= FULL)
}

fn bar_panel(page: &Page, workload: &Workload, quantity: &Quantity) -> Result<String> {
    let rows = rows(workload, quantity);
    let most = rows
        .iter()
        .map(|(_, spread, _)| spread.most)
        .fold(0.0, f64::max);
    if most <= 0.0 {
        bail!("the workload {} has no such numbers", workload.name);
    }
    let width = page.width - page.right - page.left;
    let x = |value: f64| page.left + width * (value / most).clamp(0.0, 1.0);
    let any_full = quantity.has_ratio && rows.iter().any(|(server, ..)| is_full(workload, server));
    let mut panel = Panel::new(page, &workload.about, &[quantity.axis.to_string()]);
    for (index, (server, spread, ratio)) in rows.iter().enumerate() {
        let y = panel.row(server, index);
        let c = colour(server);
        let (start, end) = (page.left, x(spread.median));
        let _ = write!(
            panel.body,
            "<path class=\"amount c{c}\" d=\"M{start:.0} {:.0}H{end:.1}v10H{start:.0}z\"/>",
            y - 5.0
        );
        if spread.least < spread.most {
            let _ = write!(
                panel.body,
                "<path class=\"spread\" d=\"M{:.1} {y:.0}H{:.1}m0 -4v8M{:.1} {:.0}v8\"/>",
                x(spread.least),
                x(spread.most),
                x(spread.least),
                y - 4.0
            );
        }
        let star = if quantity.has_ratio && is_full(workload, server) {
            "*"
        } else {
            ""
        };
        let ratio = ratio.map_or(String::new(), |ratio| format!(" · {ratio:.2}"));
        let _ = write!(
            panel.body,
            "<text class=\"value s\" x=\"{:.0}\" y=\"{:.0}\">{}{ratio}{star}</text>",
            x(spread.most.max(spread.median)) + 8.0,
            y + 4.0,
            (quantity.text)(spread.median)
        );
    }
    if quantity.has_ratio && rows.iter().any(|(.., ratio)| ratio.is_some()) {
        panel.note(&format!("behind the point: as a part of {BASE}"));
    }
    if any_full {
        panel.note("* the generator had no time left; the server may be able to do more");
    }
    Ok(panel.svg())
}

/// A drawing with a row for each server.
struct Panel<'a> {
    page: &'a Page,
    label: String,
    top: f64,
    bottom: f64,
    body: String,
}

impl<'a> Panel<'a> {
    fn new(page: &'a Page, title: &str, axes: &[String]) -> Panel<'a> {
        let mut panel = Panel {
            page,
            label: title.to_string(),
            top: 8.0,
            bottom: 0.0,
            body: String::new(),
        };
        for line in lines(title, page.letters) {
            panel.top += 16.0;
            let _ = write!(
                panel.body,
                "<text class=\"title s\" x=\"8\" y=\"{:.0}\">{}</text>",
                panel.top,
                escape(&line)
            );
        }
        for line in axes.iter().flat_map(|axis| lines(axis, page.letters)) {
            panel.top += 16.0;
            let _ = write!(
                panel.body,
                "<text class=\"axis s\" x=\"8\" y=\"{:.0}\">{}</text>",
                panel.top,
                escape(&line)
            );
        }
        panel.top += 6.0;
        panel.bottom = panel.top;
        panel
    }

    /// Writes the name of a server, and returns the middle of its row.
    fn row(&mut self, server: &str, index: usize) -> f64 {
        let page = self.page;
        let is_narrow = page.left < 50.0;
        let below = if is_narrow { 28.0 } else { page.row / 2.0 };
        let y = self.top + page.row * index as f64 + below;
        let (x, shift) = page.name;
        let class = if is_narrow { "server s" } else { "server e" };
        let _ = write!(
            self.body,
            "<text class=\"{class}\" x=\"{x:.0}\" y=\"{:.0}\">{}</text>",
            y + shift,
            escape(server)
        );
        self.bottom = self.bottom.max(self.top + page.row * (index + 1) as f64);
        y
    }

    /// A line below the rows.
    fn note(&mut self, text: &str) {
        for line in lines(text, self.page.letters) {
            self.bottom += 16.0;
            let _ = write!(
                self.body,
                "<text class=\"axis s\" x=\"8\" y=\"{:.0}\">{}</text>",
                self.bottom,
                escape(&line)
            );
        }
    }

    fn svg(self) -> String {
        format!(
            "<svg class=\"{}\" viewBox=\"0 0 {:.0} {:.0}\" role=\"img\" aria-label=\"{}\">{}</svg>",
            self.page.class,
            self.page.width,
            self.bottom + 10.0,
            escape(&format!("{}. The same in words follows.", self.label)),
            self.body
        )
    }
}

/// A text in lines of at most so many letters.
fn lines(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// The points of a latency: its class, its name, its value.
type Point = (&'static str, &'static str, fn(&Measured) -> f64);

const POINTS: [Point; 4] = [
    ("p50", "half of the answers", |measured| measured.p50_us),
    ("p99", "99 %", |measured| measured.p99_us),
    ("p999", "99.9 %", |measured| measured.p999_us),
    ("max", "the slowest", |measured| measured.max_us),
];

fn latencies(workloads: &[&Workload]) -> (String, String) {
    // One axis for all, so that panels can be compared.
    let values = workloads.iter().flat_map(|workload| {
        workload.servers().into_iter().flat_map(|server| {
            POINTS.iter().filter_map(|(.., value)| {
                Some(workload.spread(server, |one| Some(value(one)))?.median)
            })
        })
    });
    let values: Vec<f64> = values.filter(|value| *value > 0.0).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(1.0, f64::max);
    let (low, high) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let high = high.max(low + 1);

    let mut drawing = String::new();
    for page in [&WIDE, &NARROW] {
        for workload in workloads {
            drawing += &latency_panel(page, workload, low, high);
        }
    }
    let mut words = String::new();
    for workload in workloads {
        let mut items = String::new();
        for server in workload.servers() {
            let points: Vec<String> = POINTS
                .iter()
                .filter_map(|(_, name, value)| {
                    let spread = workload.spread(server, |one| Some(value(one)))?;
                    Some(format!("{name} {}", time(spread.median)))
                })
                .collect();
            let _ = write!(items, "<li>{}: {}</li>", escape(server), points.join(", "));
        }
        let _ = write!(
            words,
            "<p>{}; medians of the rounds</p><ul>{items}</ul>",
            escape(&workload.about)
        );
        words += &skipped(workload);
    }
    (drawing, words)
}

fn latency_panel(page: &Page, workload: &Workload, low: i32, high: i32) -> String {
    let right = 26.0;
    let width = page.width - right - page.left;
    let x = |us: f64| {
        let share = (us.max(0.1).log10() - f64::from(low)) / f64::from(high - low);
        page.left + width * share.clamp(0.0, 1.0)
    };
    let legend = "time until the answer: from the full point (half of them) by the ring (99 %) and the cross (99.9 %) to the bar (the slowest)";
    let mut panel = Panel::new(page, &workload.about, &[legend.to_string()]);
    let servers = workload.servers();
    let bottom = panel.top + page.row * servers.len() as f64;
    for power in low..=high {
        let us = 10_f64.powi(power);
        let _ = write!(
            panel.body,
            "<path class=\"grid\" d=\"M{0:.1} {1:.0}V{2:.0}\"/><text class=\"axis{5}\" x=\"{0:.1}\" y=\"{3:.0}\">{4}</text>",
            x(us),
            panel.top + 4.0,
            bottom,
            bottom + 14.0,
            time(us),
            // The first one would begin outside.
            if x(us) < 20.0 { " s" } else { "" }
        );
    }
    for (index, server) in servers.iter().enumerate() {
        let y = panel.row(server, index);
        let c = colour(server);
        let at = |value: fn(&Measured) -> f64| {
            workload
                .spread(server, |one| Some(value(one)))
                .map_or(page.left, |spread| x(spread.median))
        };
        let [half, most, nearly, last] = POINTS.map(|(.., value)| at(value));
        let _ = write!(
            panel.body,
            "<path class=\"arrow c{c}\" d=\"M{half:.1} {y:.0}H{last:.1}m0 -5v10\"/>\
             <circle class=\"dot m{c}\" cx=\"{half:.1}\" cy=\"{y:.0}\" r=\"4.5\"/>\
             <circle class=\"ring c{c}\" cx=\"{most:.1}\" cy=\"{y:.0}\" r=\"4.5\"/>\
             <path class=\"tick c{c}\" d=\"M{:.1} {:.0}l8 8m0 -8l-8 8\"/>",
            nearly - 4.0,
            y - 4.0
        );
    }
    panel.bottom = bottom + 18.0;
    panel.svg()
}

fn table(workloads: &[&Workload]) -> String {
    let mut html = String::new();
    for workload in workloads {
        let mut body = String::new();
        let base = workload.spread(BASE, |one| Some(one.per_second));
        for server in workload.servers() {
            let of = |value: fn(&Measured) -> f64| workload.spread(server, |one| Some(value(one)));
            let Some(rate) = of(|one| one.per_second) else {
                continue;
            };
            let median = |value| of(value).map_or(0.0, |spread: Spread| spread.median);
            let ratio = base.map_or("–".to_string(), |base| {
                format!("{:.2}", rate.median / base.median)
            });
            let each = median(|one| one.per_second / one.server_cpu.max(0.001));
            let _ = write!(
                body,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{ratio}</td><td>{}</td><td>{}</td><td>{}</td>\
                 <td>{:.2}\u{a0}({:.0}\u{a0}%)</td><td>{:.2}</td><td>{}</td></tr>",
                escape(server),
                thousands(rate.median as usize),
                time(median(|one| one.p50_us)),
                time(median(|one| one.p99_us)),
                time(median(|one| one.p999_us)),
                median(|one| one.server_cpu),
                100.0 * median(|one| one.server_cpu_system / one.server_cpu.max(0.001)),
                median(|one| one.cpu),
                thousands(each as usize),
            );
        }
        let _ = write!(
            html,
            "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>\
             <td></td><th scope=\"col\">answers a second</th>\
             <th scope=\"col\">of C</th><th scope=\"col\">p50</th><th scope=\"col\">p99</th><th scope=\"col\">p99.9</th>\
             <th scope=\"col\">server’s core (kernel)</th><th scope=\"col\">generator’s core</th>\
             <th scope=\"col\">answers a CPU second</th></tr></thead><tbody>{body}</tbody></table></div>{1}",
            escape(&workload.about),
            skipped(workload)
        );
    }
    html
}

/// Who was not measured, and why.
fn skipped(workload: &Workload) -> String {
    if workload.skipped.is_empty() {
        return String::new();
    }
    let items: String = workload
        .skipped
        .iter()
        .map(|one| format!("<li>{}: {}</li>", escape(&one.server), escape(&one.why)))
        .collect();
    format!("<p class=\"without\">Without:</p><ul class=\"without\">{items}</ul>")
}

/// Calls that wait for a message, or carry one.
const CARRYING: [&str; 15] = [
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "futex",
    "io_uring_enter",
    "poll",
    "ppoll",
    "readv",
    "recvfrom",
    "recvmsg",
    "select",
    "sendmsg",
    "sendto",
    "splice",
    "writev",
];

/// How often a call is made for each message, at least, to be one of these; any other call has to be made more often.
/// What a server does once for each connection is below that.
const SELDOM: [f64; 2] = [0.005, 0.5];

fn calls(results: &Results) -> Result<String> {
    if results.calls.is_empty() {
        bail!("the results hold no system calls");
    }
    let mut body = String::new();
    for server in &results.calls {
        let messages = server.messages.max(1) as f64;
        let mut often: BTreeMap<&str, f64> = BTreeMap::new();
        for (name, count) in &server.calls {
            often.insert(name, *count as f64 / messages);
        }
        let mut often: Vec<(&str, f64)> = often
            .into_iter()
            .filter(|(name, each)| *each >= SELDOM[usize::from(!CARRYING.contains(name))])
            .collect();
        often.sort_by(|a, b| b.1.total_cmp(&a.1));
        let all: f64 = often.iter().map(|(_, each)| each).sum();
        let names: Vec<String> = often
            .iter()
            .map(|(name, each)| format!("<code>{}</code> {each:.2}", escape(name)))
            .collect();
        let _ = write!(
            body,
            "<tr><th scope=\"row\">{}</th><td>{all:.2}</td><td class=\"names\">{}</td></tr>",
            escape(&server.server),
            names.join(", ")
        );
    }
    Ok(format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"System calls a message\"><table><thead><tr><td></td>\
         <th scope=\"col\">system calls a message</th><th scope=\"col\" class=\"names\">which</th></tr></thead>\
         <tbody>{body}</tbody></table></div>"
    ))
}

/// The parts of a bar, from its start: the number of its colour, and its name.
const PARTS: [(usize, &str); 3] = [
    (0, "sending and receiving, in the kernel’s TCP"),
    (1, "the rest of the kernel"),
    (2, "the program itself"),
];

fn profiles(results: &Results) -> Result<(String, String)> {
    if results.profiles.is_empty() {
        bail!("the results hold no profiles");
    }
    let parts = |one: &Profile| [one.tcp, one.kernel - one.tcp, 100.0 - one.kernel];
    let base = results.profiles.iter().find(|one| one.server == BASE);
    let limit = base.map(|base| {
        format!(
            "if all but TCP took no time, {BASE} would answer {:.2} times as much",
            100.0 / base.tcp.max(1.0)
        )
    });
    let title = "where each server spends its CPU time, in percent, on 100 connections";
    let mut drawing = String::new();
    for page in [&WIDE, &NARROW] {
        let mut panel = Panel::new(page, title, &[]);
        for (colour, name) in PARTS {
            panel.top += 18.0;
            let _ = write!(
                panel.body,
                "<path class=\"amount c{colour}\" d=\"M8 {0:.0}h10v-10h-10z\"/><text class=\"axis s\" x=\"26\" y=\"{0:.0}\">{name}</text>",
                panel.top
            );
        }
        panel.top += 6.0;
        panel.bottom = panel.top;
        let width = page.width - page.right - page.left;
        for (index, profile) in results.profiles.iter().enumerate() {
            let y = panel.row(&profile.server, index);
            let mut x = page.left;
            for ((colour, _), share) in PARTS.iter().zip(parts(profile)) {
                let long = width * share.clamp(0.0, 100.0) / 100.0;
                let _ = write!(
                    panel.body,
                    "<path class=\"amount c{colour}\" d=\"M{x:.1} {:.0}h{long:.1}v10h-{long:.1}z\"/>",
                    y - 5.0
                );
                x += long;
            }
            let [tcp, rest, own] = parts(profile);
            let _ = write!(
                panel.body,
                "<text class=\"value s\" x=\"{:.0}\" y=\"{:.0}\">{tcp:.0} · {rest:.0} · {own:.0}</text>",
                x + 8.0,
                y + 4.0
            );
        }
        if let Some(limit) = &limit {
            panel.note(limit);
        }
        drawing += &panel.svg();
    }
    let items: String = results
        .profiles
        .iter()
        .map(|profile| {
            let [tcp, rest, own] = parts(profile);
            format!(
                "<li>{}: {tcp:.0} %, {rest:.0} %, {own:.0} %</li>",
                escape(&profile.server)
            )
        })
        .collect();
    let names = PARTS.map(|(_, name)| name).join("; ");
    let limit = limit.map_or(String::new(), |limit| format!("<p>{limit}</p>"));
    Ok((
        drawing,
        format!("<p>{title}: {names}</p><ul>{items}</ul>{limit}"),
    ))
}

fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let mut rows = vec![
        (
            "processor",
            format!("{}, {} cores", machine.cpu, machine.cores),
        ),
        ("memory", format!("{} GiB", machine.memory_gib)),
        ("kernel", format!("Linux {}", machine.kernel)),
        ("congestion control", machine.congestion_control.clone()),
    ];
    rows.extend(
        results
            .versions
            .iter()
            .map(|(name, version)| (name.as_str(), version.clone())),
    );
    let rows: String = rows
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"names\">{}</td></tr>",
                escape(name),
                escape(value)
            )
        })
        .collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"The machine\"><table><tbody>{rows}</tbody></table></div>"
    )
}

/// Three digits and a unit.
fn time(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 999.5 => (us, "µs"),
        us if us < 999_500.0 => (us / 1000.0, "ms"),
        us => (us / 1_000_000.0, "s"),
    };
    let digits = match value {
        value if value >= 100.0 || value.fract() == 0.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}\u{a0}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        assert_eq!(time(10.0), "10\u{a0}µs");
        assert_eq!(time(43.46), "43.5\u{a0}µs");
        assert_eq!(time(1234.0), "1.23\u{a0}ms");
        assert_eq!(time(999.6), "1.00\u{a0}ms");
        assert_eq!(time(2_000_000.0), "2\u{a0}s");
    }

    #[test]
    fn words_fill_lines() {
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("unbreakable", 3), ["unbreakable"]);
    }
}
