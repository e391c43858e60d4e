use std::process::Command;

#[test]
fn three_writes_arrive_as_one_text() {
    let output = Command::new(env!("CARGO_BIN_EXE_first-bytes"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{stdout}");

    let addr = lines[0].strip_prefix("listening on ").unwrap();
    assert!(addr.starts_with("127.0.0.1:"), "{addr}");
    // The client's end is another port of the same host, chosen by the kernel.
    let from = lines[1].strip_prefix("a connection from ").unwrap();
    let (from, to) = from.split_once(" to ").unwrap();
    assert_eq!(to, addr);
    assert_ne!(from, addr);

    assert_eq!(lines[2], r#"received "one two three""#);
}
