//! The decoder against a plain model, with streams and pieces of any kind.

mod model;

use std::fs;
use std::path::Path;

use frames::{Framing, READ};
use model::{check, model, real};
use proptest::collection::vec;
use proptest::prelude::*;

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![
        (1..40_usize).prop_map(|size| format!("fixed{size}").parse().unwrap()),
        Just(Framing::Lines),
        Just(Framing::Escaped),
        Just(Framing::U16),
        Just(Framing::U32),
    ]
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![0..40_usize, Just(300), Just(3 * READ), Just(usize::MAX)]
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(
        prop_oneof![1..8_usize, 1..400_usize, READ - 2..3 * READ],
        0..20,
    )
}

/// Bytes in which lengths are short, and newlines and backslashes common.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(0),
        0..20_u8,
        Just(b'\n'),
        Just(b'\\'),
        Just(b'n'),
        any::<u8>()
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        19 => vec(byte(), 0..40),
        1 => (0..2 * READ).prop_map(|length| vec![b'x'; length]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_is_cut_as_the_model_cuts_it(
        framing in framing(), limit in limit(), pieces in pieces(), stream in vec(byte(), 0..600),
    ) {
        prop_assert_eq!(real(framing, limit, &stream, &pieces), model(framing, limit, &stream));
    }

    #[test]
    fn what_is_sent_arrives(
        framing in framing(), pieces in pieces(), payloads in vec(payload(), 0..10),
    ) {
        let mut stream = Vec::new();
        let sent: Vec<Vec<u8>> = payloads
            .into_iter()
            .filter(|payload| framing.encode(payload, &mut stream).is_ok())
            .collect();
        // The tightest limit that surely allows them: an escape doubles a byte.
        let longest = sent.iter().map(Vec::len).max().unwrap_or(40);
        let limit = if framing == Framing::Escaped { 2 * longest } else { longest.max(40) };
        let outcome = real(framing, limit, &stream, &pieces);
        prop_assert!(outcome == (sent, Ok(())));
    }

    #[test]
    fn a_stream_cut_off_anywhere_gives_no_wrong_frame(
        framing in framing(), pieces in pieces(), payloads in vec(payload(), 1..5), end in any::<prop::sample::Index>(),
    ) {
        let mut stream = Vec::new();
        for payload in &payloads {
            let _ = framing.encode(payload, &mut stream);
        }
        let all = model(framing, usize::MAX, &stream).0;
        let end = end.index(stream.len() + 1);
        let (frames, outcome) = real(framing, usize::MAX, &stream[..end], &pieces);
        prop_assert!(all.starts_with(&frames));
        prop_assert_eq!(outcome, model(framing, usize::MAX, &stream[..end]).1);
    }
}

/// What the fuzzer starts from, and what it has found, is tried by every run of the tests.
#[test]
fn the_seeds_of_the_fuzz_targets_pass() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for name in ["fixed", "lines", "escaped", "u16", "u32"] {
        let mut count = 0;
        for seed in fs::read_dir(seeds.join(name)).unwrap() {
            let input = fs::read(seed.unwrap().path()).unwrap();
            check(name.parse().ok(), &input);
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
