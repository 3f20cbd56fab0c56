//! Our decoder against a parser of other authors, `eventsource-stream`: the same events of any bytes in any chunks.
//!
//! What that parser is known to get wrong is kept from it: it panics on a BOM as the first character, stops at malformed
//! UTF-8, takes a CR at the end of a chunk for the end of a line before the LF arrives, and is quadratic in long chunks. So
//! it is given one whole line at a time, ended by LF, behind a comment that takes the place of the first character.
use std::convert::Infallible;

use eventsource_stream::EventStream;
use proptest::prelude::*;

use super::*;

/// What the other parser makes of `input`: type, data and id of each event, and the last `retry` seen with one.
fn oracle(input: &[u8]) -> Vec<(String, String, String)> {
    let input = input.strip_prefix("\u{feff}".as_bytes()).unwrap_or(input);
    let text = String::from_utf8_lossy(input).replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = [":\n"].into_iter().chain(text.split_inclusive('\n')).map(str::to_owned).collect();
    let events = EventStream::new(stream::iter(lines.into_iter().map(Ok::<_, Infallible>)));
    let events = events.map(|event| event.map(|event| (event.event, event.data, event.id)).unwrap());
    futures::executor::block_on(events.collect())
}

/// Lines as servers write them, and as they should not.
fn stretch() -> impl Strategy<Value = Vec<u8>> {
    let fixed = proptest::sample::select(vec![
        "data",
        "data:",
        "data: x",
        "data:  y",
        "data:{\"a\": 1}",
        "event: e",
        "event:",
        "event",
        "id: 7",
        "id:",
        "id",
        "id: a\0b",
        "retry: 10",
        "retry: x",
        ": comment",
        ":",
        "other: z",
        "Data: no",
        " data: no",
        "\u{feff}data: no",
        "é\u{2028}\u{85}",
        "\n",
        "\n",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "\r\r",
        "\0",
    ]);
    prop_oneof![
        8 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => proptest::sample::select(&b"dataeventidretry: \n\r\0\xef\xbb\xbf"[..]).prop_map(|byte| vec![byte]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn s03_any_bytes_in_any_chunks_give_the_events_that_another_parser_finds(
        input in proptest::collection::vec(stretch(), 0..60),
        chunk in 1_usize..40,
    ) {
        let input = input.concat();
        prop_assert_eq!(read(&input, chunk), oracle(&input), "{:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn s03_both_parsers_read_the_vectors_alike() {
    for (input, expected) in DATA {
        let data: Vec<_> = oracle(input).into_iter().map(|(_, data, _)| data).collect();
        assert_eq!(data, *expected, "{:?}", String::from_utf8_lossy(input));
    }
}
