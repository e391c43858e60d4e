use std::fs;
use std::path::Path;
use std::sync::Arc;

use wire::{Recording, SceneFile};

use super::figure::Figure;
use super::{Expanded, Figures, expand};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const PAGE: &str = "src/tcp/echo.md";
const SCENE: &str = "../../listings/tcp/echo/echo/scenes/hello.toml";

fn on_a_page(directive: &str) -> Expanded {
    let text = format!("# Echo\n\n{directive}\n\nMore.\n");
    expand(Path::new(REPOSITORY), Path::new(PAGE), &text)
}

#[test]
fn a_ladder_has_an_arrow_for_each_packet_and_links_to_the_captures() {
    let expanded = on_a_page(&format!(
        "{{{{#ladder {SCENE}\nA `SYN` first,\nand then the rest.}}}}"
    ));
    assert_eq!(expanded.mistakes, []);
    let page = &expanded.text;
    assert!(page.starts_with("# Echo\n\n<figure class=\"wire ladder\" id=\"scene-echo-hello\">"));
    assert!(page.ends_with("</figure>\n\n\nMore.\n"), "{page}");
    assert!(page.contains("<figcaption>A <code>SYN</code> first, and then the rest.<span"));
    for drawing in page.split("<svg").skip(1) {
        let drawing = drawing.split("</svg>").next().unwrap();
        // Ten packets cross in a connection that carries two messages.
        assert_eq!(drawing.matches("class=\"arrow ").count(), 10);
        assert_eq!(drawing.matches("class=\"cross\"").count(), 0);
        assert!(
            drawing.contains(">12 bytes &quot;Hello, world&quot;</text>"),
            "{drawing}"
        );
    }
    assert!(page.contains("href=\"../captures/echo-hello.client.pcapng\""));
    let names: Vec<&str> = expanded.captures.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "captures/echo-hello.client.pcapng",
            "captures/echo-hello.server.pcapng"
        ]
    );
    // An empty line would end the HTML.
    let figure = &page[page.find("<figure").unwrap()..page.find("</figure>").unwrap()];
    assert!(!figure.contains("\n\n"));
}

#[test]
fn a_lost_packet_ends_in_a_cross() {
    let scene = SCENE.replace("echo/echo/scenes/hello", "handshake/knock/scenes/syn-lost");
    let page = on_a_page(&format!("{{{{#ladder {scene} The first one is lost.}}}}")).text;
    let wide = page.split("</svg>").next().unwrap();
    assert_eq!(wide.matches("class=\"cross\"").count(), 1);
    assert_eq!(wide.matches(">lost</text>").count(), 1);
    assert!(wide.contains(">SYN again</text>"));
}

#[test]
fn what_the_kernel_says_of_groups_has_its_name() {
    let scene = SCENE.replace(
        "tcp/echo/echo/scenes/hello",
        "udp/loss-and-order/group/scenes/members",
    );
    let page = on_a_page(&format!(
        "{{{{#ladder {scene} Two of three have joined.}}}}"
    ))
    .text;
    let wide = page.split("</svg>").next().unwrap();
    assert_eq!(wide.matches(">IGMP</text>").count(), 2);
}

#[test]
fn fragments_are_thick_and_datagrams_name_one_of_many_addresses() {
    let scenes = "../../listings/udp/datagrams";
    let page = on_a_page(&format!(
        "{{{{#ladder {scenes}/datagrams/scenes/fragments.toml Six fragments.}}}}"
    ))
    .text;
    let wide = page.split("</svg>").next().unwrap();
    assert_eq!(wide.matches("class=\"arrow c0 full\"").count(), 5);
    let page = on_a_page(&format!(
        "{{{{#ladder {scenes}/udp-echo/scenes/other-address.toml Another address.}}}}"
    ))
    .text;
    assert!(page.contains(">to 10.0.0.3: 5 bytes &quot;hello&quot;</text>"));
    assert!(page.contains(">from 10.0.0.2: 5 bytes &quot;hello&quot;</text>"));
}

#[test]
fn calls_stand_where_the_program_made_them() {
    let page = on_a_page(&format!("{{{{#calls {SCENE} The calls.}}}}")).text;
    let wide = page.split("</svg>").next().unwrap();
    let at = |words: &str| {
        wide.find(words)
            .unwrap_or_else(|| panic!("no {words} in {wide}"))
    };
    for pair in [
        "bind(3, 10.0.0.2:7001) = 0",
        "listen(3, 128) = 0",
        "connect(3, 10.0.0.2:7001) …",
        "accept4 = 4",
        "close(4) = 0",
    ]
    .windows(2)
    {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?}");
    }
}

#[test]
fn a_console_shows_what_a_program_printed_and_on_what() {
    let page = on_a_page(&format!("{{{{#console {SCENE} echo-server The log.}}}}")).text;
    assert!(
        page.contains(
            "listening on 10.0.0.2:7001\n<span class=\"err\">10.0.0.1:40000: connected</span>"
        ),
        "{page}"
    );
}

#[test]
fn a_dissection_shows_the_packet_with_that_number() {
    let page = on_a_page(&format!(
        "{{{{#dissection {SCENE} client 4 The message.}}}}"
    ))
    .text;
    assert!(page.contains("<b>TCP header</b> 32 bytes"));
    assert!(page.contains("&quot;Hello, world&quot;"));
}

#[test]
fn bytes_are_on_their_way_until_they_are_acknowledged() {
    let page = on_a_page(&format!("{{{{#flight {SCENE} client The bytes.}}}}")).text;
    let words = page.split("<ol>").nth(1).unwrap();
    // One segment of twelve bytes, and its acknowledgment.
    for (flight, count) in [("12 bytes, with a window of 65160", 1), (" 0 bytes", 1)] {
        assert_eq!(words.matches(flight).count(), count, "{words}");
    }
    assert_eq!(page.matches("class=\"cross\"").count(), 0);
}

#[test]
fn a_lane_shows_the_states_of_its_socket() {
    let scene = SCENE.replace("echo/echo/scenes/hello", "handshake/knock/scenes/ordinary");
    let page = on_a_page(&format!("{{{{#ladder {scene} The states.}}}}")).text;
    let wide = page.split("</svg>").next().unwrap();
    for (class, count) in [("open", 1), ("part", 4), ("waits", 1)] {
        let found = wide.matches(&format!("class=\"state {class} ")).count();
        assert_eq!(found, count, "{class}: {wide}");
    }
    let at = |words: &str| wide.find(words).unwrap_or_else(|| panic!("no {words}"));
    assert!(at(">SYN-SENT<") < at(">ESTABLISHED<"));
    assert!(at(">ESTABLISHED<") < at(">LAST-ACK<"));
}

#[test]
fn a_way_between_states_leads_to_the_recording_that_goes_it() {
    let scene = SCENE.replace("echo/echo/scenes/hello", "handshake/knock/scenes/ordinary");
    let ladder = on_a_page(&format!(
        "{{{{#ladder {scene} It.}}}} {{{{#ladder {scene} Again.}}}}"
    ))
    .text;
    assert_eq!(
        ladder
            .matches("<figure class=\"wire ladder\" id=\"scene-knock-ordinary\">")
            .count(),
        1
    );
    let page = on_a_page(&format!("{{{{#states {scene} The states.}}}}")).text;
    let wide = page.split("</svg>").next().unwrap();
    // The server closed so early that its ESTABLISHED is not there, nor the way to it.
    for (way, walked) in [
        ("CLOSED to LISTEN", true),
        ("LISTEN to SYN-RECEIVED", true),
        ("SYN-RECEIVED to ESTABLISHED", false),
        ("SYN-SENT to ESTABLISHED", true),
        ("FIN-WAIT-1 to TIME-WAIT", true),
        ("FIN-WAIT-1 to FIN-WAIT-2", false),
    ] {
        let link = format!(
            "<a href=\"../tcp/handshake.html#scene-knock-ordinary\" aria-label=\"{way}, recording 1\">"
        );
        assert_eq!(wide.contains(&link), walked, "{way}: {wide}");
    }
    assert_eq!(wide.matches("class=\"way ").count(), 16);
    assert_eq!(wide.matches("<rect").count(), 12);
}

#[test]
fn recordings_stand_beside_each_other_with_what_they_add_up_to() {
    let page = on_a_page(&format!(
        "{{{{#totals {SCENE} {} The sums.}}}}",
        SCENE.replace("hello", "python-client")
    ))
    .text;
    let rows: Vec<Vec<&str>> = page
        .split("<tr>")
        .skip(2)
        .map(|row| {
            row.split("<td>")
                .map(|cell| cell.split('<').next().unwrap())
                .collect()
        })
        .collect();
    // First and last payload at about 40 and 60 ms; the lost answer comes more than 200 ms later.
    for (row, payload, packets, lost, bytes) in
        [(0, "12", "10", "0", "560"), (1, "12", "11", "1", "624")]
    {
        assert_eq!(rows[row][3..7], [payload, packets, lost, bytes], "{rows:?}");
    }
}

#[test]
fn boundaries_are_those_of_calls_and_of_segments() {
    let page = on_a_page(&format!("{{{{#boundaries {SCENE} client The bytes.}}}}")).text;
    let words = page.split("</summary>").nth(1).unwrap();
    assert_eq!(
        words
            .matches("<li>12 bytes: <code>&quot;Hello, world&quot;</code></li>")
            .count(),
        3,
        "{words}"
    );
    let wide = page.split("</svg>").next().unwrap();
    assert_eq!(wide.matches("class=\"piece\"").count(), 3);
    assert_eq!(wide.matches(">Hello,␣world</text>").count(), 3);
    let places = wide.split("class=\"byte\" x=\"").nth(1).unwrap();
    let places = places.split('"').next().unwrap();
    assert_eq!(places.split(' ').count(), 12);
    assert!(!wide.contains("class=\"border\""));
}

#[test]
fn a_border_that_was_written_runs_down_to_what_was_read() {
    // 14 bytes in two writes and two segments, read by four calls; the second takes of both messages.
    let scene = "../../listings/framing/sticky-packets/sticky/scenes/short-buffer.toml";
    let page = on_a_page(&format!("{{{{#boundaries {scene} sender The cuts.}}}}")).text;
    let wide = page.split("</svg>").next().unwrap();
    assert_eq!(wide.matches("class=\"border\"").count(), 1);
    assert_eq!(wide.matches("class=\"piece\"").count(), 2 + 2 + 4);
    assert_eq!(wide.matches("class=\"message m0\"").count(), 1 + 1 + 2);
    assert_eq!(wide.matches("class=\"message m1\"").count(), 1 + 1 + 3);
    // Nothing of a message is drawn outside the boxes.
    let number = |text: &str, name: &str| -> i32 {
        let rest = text.split(&format!(" {name}=\"")).nth(1).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    let boxes: Vec<(i32, i32)> = wide
        .split("<rect class=\"piece\"")
        .skip(1)
        .map(|text| (number(text, "x"), number(text, "width")))
        .collect();
    for row in [&boxes[..2], &boxes[2..4], &boxes[4..]] {
        for pair in row.windows(2) {
            assert!(pair[0].0 + pair[0].1 < pair[1].0, "{boxes:?}");
        }
    }
}

/// The recording of the echo, as if it had been of threads: `what` in milliseconds and JSON.
fn with_threads(what: &[(i64, &str)]) -> Recording {
    let file = SceneFile::at(&Path::new(REPOSITORY).join("src/tcp").join(SCENE));
    let mut recording = wire::load(&file).unwrap();
    for (at, what) in what {
        let json = format!("{{\"at_us\":{at}000,\"program\":0,{what}}}");
        recording
            .events
            .push(serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}")));
    }
    recording.events.sort_by_key(|event| event.at_us);
    recording
}

fn waits_of(recording: &Recording) -> String {
    let file = SceneFile::at(Path::new(SCENE));
    let figure = Figure::new(&file, recording, "../", true);
    crate::waits::html(&figure, "echo-server", "Who waits.").unwrap()
}

#[test]
fn each_thread_has_a_lane_with_a_bar_for_each_wait() {
    let client = r#"{"peer":"10.0.0.1:40000"}"#;
    let page = waits_of(&with_threads(&[
        (-9, r#""what":"thread","thread":0"#),
        (
            -5,
            r#""what":"wait","thread":0,"name":"accept4","whom":"anyone","result":"4","end_us":60000"#,
        ),
        (
            61,
            r#""what":"wait","thread":0,"name":"accept4","whom":"anyone","result":"?""#,
        ),
        (
            61,
            r#""what":"thread","thread":1,"name":"for-client","end_us":103000"#,
        ),
        (
            61,
            &format!(
                r#""what":"work","thread":1,"calls":[{{"name":"recvfrom","whom":{client},"count":2}}],"end_us":62000"#
            ),
        ),
        (
            63,
            &format!(
                r#""what":"wait","thread":1,"name":"recvfrom","whom":{client},"result":"0","end_us":102000"#
            ),
        ),
        (-8, r#""what":"thread","thread":2,"name":"idle-1""#),
        (-8, r#""what":"thread","thread":3,"name":"idle-2""#),
        (
            -7,
            r#""what":"wait","thread":2,"name":"futex","whom":"thread","result":"?""#,
        ),
        (
            -7,
            r#""what":"wait","thread":3,"name":"futex","whom":"thread","result":"?""#,
        ),
    ]));
    let wide = page.split("</svg>").next().unwrap();
    let at = |words: &str| {
        wide.find(words)
            .unwrap_or_else(|| panic!("no {words} in {wide}"))
    };
    // The two that do nothing are one lane below the others.
    for pair in [
        ">main</text>",
        ">for-client</text>",
        ">read from client</text>",
        ">2 threads</text>",
        ">futex</text>",
    ]
    .windows(2)
    {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?}");
    }
    for (class, count) in [
        ("bar anyone", 2),
        ("bar c0", 1),
        ("bar inside", 1),
        ("work c0", 1),
    ] {
        assert_eq!(
            wide.matches(&format!("class=\"{class}\"")).count(),
            count,
            "{class}: {wide}"
        );
    }
    // The handshake is complete and the bytes are there, and later the end.
    assert!(wide.contains(">client: connection, 12 bytes</text>"));
    assert!(wide.contains(">client: end</text>"));
    let words = page.split("</summary>").nth(1).unwrap();
    for said in [
        "from client: connection, 12 bytes</li>",
        "main waits in <code>accept4</code> for anyone, to the end</li>",
        "for-client works: <code>recvfrom</code> of client (2 times)</li>",
        "for-client waits in <code>recvfrom</code> for client, until ",
        "2 threads wait in <code>futex</code> for another thread, to the end</li>",
    ] {
        assert!(words.contains(said), "{said}: {words}");
    }
}

#[test]
fn a_thread_works_from_one_wait_to_the_next() {
    let wait =
        r#""what":"wait","thread":0,"name":"epoll_wait","whom":"anyone","result":"1","end_us":"#;
    let page = waits_of(&with_threads(&[
        (-9, r#""what":"thread","thread":0"#),
        (-5, &format!("{wait}30000")),
        (60, &format!("{wait}80000")),
        (81, &format!("{wait}100000")),
    ]));
    let wide = page.split("</svg>").next().unwrap();
    // And one in the legend.
    assert_eq!(wide.matches("class=\"work\"").count(), 2 + 1, "{wide}");
    assert_eq!(page.matches("main works until ").count(), 2, "{page}");
}

#[test]
fn what_can_t_be_drawn_is_named_with_its_line() {
    for (directive, said) in [
        (
            "{{#ladder}}".to_string(),
            "{{#ladder}} wants the path of a scene",
        ),
        (
            "{{#ladder ../no.toml A caption.}}".to_string(),
            "there is no scene ../no.toml",
        ),
        (
            format!("{{{{#ladder {SCENE}}}}}"),
            "{{#ladder}} has no caption",
        ),
        (
            format!("{{{{#console {SCENE}}}}}"),
            "{{#console}} wants the name of a program",
        ),
        (
            format!("{{{{#console {SCENE} ehco-server A log.}}}}"),
            "the scene has no program ehco-server, only echo-server, echo-client",
        ),
        (
            format!(
                "{{{{#boundaries {} client Bytes.}}}}",
                SCENE.replace("hello", "ipv6-first")
            ),
            "the scene does not trace both programs",
        ),
        (
            format!("{{{{#waits {SCENE} echo-server Waits.}}}}"),
            "the scene does not say what echo-server waits for; set `waits = true` for it",
        ),
        (
            format!("{{{{#states {SCENE} The states.}}}}"),
            "the scene echo/hello records no states",
        ),
        (
            format!("{{{{#ladder {SCENE} {SCENE} Two.}}}}"),
            "{{#ladder}} shows one scene, not 2",
        ),
        (
            format!("{{{{#flight {SCENE} clint Bytes.}}}}"),
            "the scene has no host clint, only client, server",
        ),
        (
            format!("{{{{#dissection {SCENE} clint 4 Bytes.}}}}"),
            "the scene has no host clint, only client, server",
        ),
        (
            format!("{{{{#dissection {SCENE} client four Bytes.}}}}"),
            "\"four\" is no number of a packet",
        ),
        (
            format!("{{{{#dissection {SCENE} client 99 Bytes.}}}}"),
            "has 10 packets, so none is number 99",
        ),
        (
            format!(
                "{{{{#calls {} Calls.}}}}",
                SCENE.replace("hello", "ipv6-first")
            ),
            "the scene records no calls",
        ),
    ] {
        let mistakes = on_a_page(&directive).mistakes;
        assert_eq!(mistakes.len(), 1, "{directive}: {mistakes:?}");
        assert_eq!(mistakes[0].line, 3, "{directive}");
        assert!(
            mistakes[0].message.contains(said),
            "{directive}: {}",
            mistakes[0].message
        );
    }
}

#[test]
fn an_escaped_directive_and_others_are_left_alone() {
    let text = "\\{{#ladder x.toml A.}} {{#include y.rs}}";
    assert_eq!(on_a_page(text).text, format!("# Echo\n\n{text}\n\nMore.\n"));
}

#[test]
fn a_recording_that_is_missing_or_stale_or_touched_is_no_figure() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = folder.path().join("listings/echo/scenes");
    fs::create_dir_all(&scenes).unwrap();
    fs::create_dir_all(folder.path().join("src")).unwrap();
    let from = Path::new(REPOSITORY).join("listings/tcp/echo/echo/scenes");
    let copy = |name: &str| fs::copy(from.join(name), scenes.join(name)).unwrap();
    let said = || {
        let text = "{{#ladder ../listings/echo/scenes/hello.toml A caption.}}";
        let expanded = expand(folder.path(), Path::new("src/page.md"), text);
        expanded
            .mistakes
            .first()
            .map_or(String::new(), |mistake| mistake.message.clone())
    };
    copy("hello.toml");
    assert_eq!(
        said(),
        "the scene echo/hello has no recording; record it with: cargo book record echo/hello"
    );
    for name in [
        "hello.jsonl",
        "hello.ladder",
        "hello.client.pcapng",
        "hello.server.pcapng",
    ] {
        copy(name);
    }
    assert_eq!(said(), "");

    let capture = scenes.join("hello.client.pcapng");
    let mut bytes = fs::read(&capture).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&capture, bytes).unwrap();
    assert!(
        said().contains("hello.client.pcapng does not hold what"),
        "{}",
        said()
    );
    copy("hello.client.pcapng");

    let ladder = fs::read_to_string(scenes.join("hello.ladder")).unwrap();
    fs::write(
        scenes.join("hello.ladder"),
        ladder.replace("len 12", "len 13"),
    )
    .unwrap();
    assert!(
        said().contains("hello.ladder does not say what"),
        "{}",
        said()
    );
    copy("hello.ladder");

    let events = fs::read_to_string(scenes.join("hello.jsonl")).unwrap();
    fs::write(
        scenes.join("hello.jsonl"),
        events.replacen("\"from\":0", "\"from\":7", 1),
    )
    .unwrap();
    assert!(said().contains("there is no host 7"), "{}", said());
    copy("hello.jsonl");

    let scene = fs::read_to_string(scenes.join("hello.toml")).unwrap();
    fs::write(scenes.join("hello.toml"), scene + "# another word\n").unwrap();
    assert!(
        said().starts_with("the scene echo/hello has changed since it was recorded"),
        "{}",
        said()
    );
}

/// Results of two rounds: a server in C, one that is half as fast, and one that was left out.
fn results(folder: &Path) {
    let run = |server: &str, round: usize, rate: f64, cpu: f64| {
        serde_json::json!({"server": server, "round": round, "measured": {
            "answers": 9, "total": 9, "errors": 0, "per_second": rate,
            "p50_us": 40.0, "p90_us": 50.0, "p99_us": 100.0, "p999_us": 2000.0, "max_us": 200_000.0,
            "cpu": cpu, "cpu_system": cpu, "server_cpu": 1.0, "server_cpu_system": 0.9,
            "server_bytes_each": 48.0}})
    };
    let results = serde_json::json!({
        "date": "2026-11-24", "rounds": 2, "seconds": 3.0,
        "machine": {"cpu": "A <CPU>", "cores": 2, "memory_gib": 4.0, "kernel": "6.1", "congestion_control": "cubic"},
        "versions": {"tokio": "1.54.1"},
        "workloads": [{"name": "pingpong-100", "about": "64 bytes", "arguments": "ping-pong", "runs": [
            run("epoll_server.c", 1, 1000.0, 0.5), run("tokio-server", 1, 400.0, 1.0),
            run("epoll_server.c", 2, 1200.0, 0.5), run("tokio-server", 2, 700.0, 1.0),
        ], "skipped": [{"server": "sequential-server", "why": "serves one at a time"}]}],
        "calls": [{"server": "tokio-server", "messages": 100, "calls": {"recvfrom": 150, "socket": 0}}],
        "profiles": [{"server": "tokio-server", "tcp": 72.6, "kernel": 81.5}],
    });
    let place = folder.join("listings/load/results");
    fs::create_dir_all(&place).unwrap();
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(place.join("bench.json"), results.to_string()).unwrap();
}

fn measured(arguments: &str) -> Expanded {
    let folder = tempfile::tempdir().unwrap();
    results(folder.path());
    let text = format!("{{{{#measured ../listings/load/results/bench.json {arguments} Look.}}}}");
    expand(folder.path(), Path::new("src/page.md"), &text)
}

#[test]
fn bars_are_medians_with_their_spread_and_a_ratio() {
    let expanded = measured("pingpong-100 throughput");
    assert_eq!(expanded.mistakes, []);
    let page = &expanded.text;
    let wide = page.split("</svg>").next().unwrap();
    assert_eq!(wide.matches("class=\"amount ").count(), 2);
    assert_eq!(wide.matches("class=\"spread\"").count(), 2);
    assert!(wide.contains(">1\u{a0}100 · 1.00</text>"), "{wide}");
    // The generator had no time left for the second one.
    assert!(wide.contains(">550 · 0.50*</text>"), "{wide}");
    let words = page.split("<details>").nth(1).unwrap();
    assert!(
        words.contains(
            "<li>tokio-server: 550 (400 to 700), 0.50 of epoll_server.c, with no time left"
        ),
        "{words}"
    );
    assert!(
        words.contains("sequential-server: serves one at a time"),
        "{words}"
    );
    assert!(page.contains("A &lt;CPU&gt;, 2 cores, Linux 6.1; 2 rounds of 3 s each on 2026-11-24"));
    // Readers get the numbers.
    assert!(
        page.contains("href=\"captures/load-bench.json\" download"),
        "{page}"
    );
    assert!(expanded.captures.contains_key("captures/load-bench.json"));
    assert!(!page.trim_end().contains("\n\n"));
}

#[test]
fn latencies_lie_on_an_axis_of_powers_of_ten() {
    let page = measured("pingpong-100 latency").text;
    let wide = page.split("</svg>").next().unwrap();
    for label in ["10\u{a0}µs", "1\u{a0}ms", "100\u{a0}ms", "1\u{a0}s"] {
        assert!(
            wide.contains(&format!(">{label}</text>")),
            "{label}: {wide}"
        );
    }
    let x = |what: &str| -> f64 {
        let after = wide.split(&format!("class=\"{what} ")).nth(1).unwrap();
        after
            .split("cx=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(x("dot") < x("ring"));
    assert!(page.contains("half of the answers 40\u{a0}µs, 99 % 100\u{a0}µs, 99.9 % 2\u{a0}ms, the slowest 200\u{a0}ms"));
}

#[test]
fn tables_of_what_was_measured_have_all_of_it() {
    let table = measured("pingpong-100 table").text;
    for cell in [
        "<td>550</td>",
        "<td>0.50</td>",
        "<td>1.00\u{a0}(90\u{a0}%)</td>",
        "<td>1.00</td>",
        "<td>2\u{a0}ms</td>",
    ] {
        assert!(table.contains(cell), "{cell}: {table}");
    }
    let calls = measured("pingpong-100 calls").text;
    assert!(
        calls.contains("<td>1.50</td><td class=\"names\"><code>recvfrom</code> 1.50</td>"),
        "{calls}"
    );
    let machine = measured("pingpong-100 machine").text;
    assert!(
        machine.contains("<th scope=\"row\">tokio</th><td class=\"names\">1.54.1</td>"),
        "{machine}"
    );
    let profile = measured("pingpong-100 profile").text;
    assert!(
        profile.contains("<li>tokio-server: 73 %, 9 %, 18 %</li>"),
        "{profile}"
    );
    assert!(profile.contains(">73 · 9 · 18</text>"), "{profile}");
    let memory = measured("pingpong-100 memory").text;
    assert!(memory.contains(">48</text>"), "{memory}");
}

#[test]
fn what_was_not_measured_is_no_figure() {
    for (arguments, message) in [
        (
            "pingpong-9 throughput",
            "there is no workload pingpong-9 in the results, only pingpong-100",
        ),
        (
            "pingpong-100 colour",
            "{{#measured}} knows no colour, only throughput, latency, ",
        ),
    ] {
        let said = &measured(arguments).mistakes[0].message;
        assert!(said.starts_with(message), "{said}");
    }
    let text = "{{#measured ../../listings/none.json a throughput Look.}}";
    let said = &on_a_page(text).mistakes[0].message;
    assert!(
        said.starts_with("read the results ../../listings/none.json: "),
        "{said}"
    );
}

#[test]
fn a_page_is_drawn_again_when_its_text_or_its_recording_is_another() {
    let root = tempfile::tempdir().unwrap();
    // The path of a scene goes through the page's folder.
    fs::create_dir_all(root.path().join("src/tcp")).unwrap();
    let scenes = root.path().join("listings/tcp/echo/echo/scenes");
    fs::create_dir_all(&scenes).unwrap();
    let original = Path::new(REPOSITORY).join("listings/tcp/echo/echo/scenes");
    for file in fs::read_dir(original).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), scenes.join(file.file_name())).unwrap();
    }
    let text = format!("{{{{#ladder {SCENE} All packets.}}}}");
    let page = Path::new(PAGE);
    let mut figures = Figures::default();
    let mut draw = |text: &str| {
        let mistakes = figures.draw(root.path(), &[(page, text)]).remove(0).1;
        (Arc::clone(&figures.drawn[page].1), mistakes)
    };

    let (first, mistakes) = draw(&text);
    assert_eq!(mistakes, []);
    assert!(Arc::ptr_eq(&first, &draw(&text).0));
    let (other, _) = draw(&text.replace("All", "Ten"));
    assert!(other.text.contains("Ten packets."));

    let (second, _) = draw(&text);
    fs::remove_file(scenes.join("hello.jsonl")).unwrap();
    let (gone, mistakes) = draw(&text);
    assert!(!Arc::ptr_eq(&second, &gone));
    assert!(mistakes[0].message.contains("hello"), "{mistakes:?}");
}
