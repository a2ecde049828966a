use std::collections::VecDeque;

use super::*;
use crate::close::CloseCode;

/// A whole frame with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        medium @ 126..65536 => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

fn protocol() -> Protocol {
    Protocol::new(&Limits::default(), &[])
}

/// The result of one call: messages, payloads of pings, and the end of the frames.
type Received = (Vec<String>, Vec<Vec<u8>>, Option<ProtocolEnd>);

/// Receives at most `limit` messages.
fn receive(protocol: &mut Protocol, bytes: &[u8], limit: usize) -> Received {
    let (mut inbound, mut pings) = (VecDeque::new(), Vec::new());
    let mut on_ping = |payload: &[u8]| pings.push(payload.to_vec());
    let limit = (limit > 0).then_some(DecodeLimit { messages: limit, bytes: usize::MAX });
    let end = protocol.receive(bytes, limit, &mut inbound, &mut on_ping);
    let texts = inbound.iter().map(|message| message.as_text().unwrap().to_owned());
    (texts.collect(), pings, end)
}

fn texts(protocol: &mut Protocol, bytes: &[u8], limit: usize) -> Vec<String> {
    let (texts, pings, end) = receive(protocol, bytes, limit);
    assert_eq!((pings, end), (vec![], None));
    texts
}

fn normal() -> ProtocolEnd {
    ProtocolEnd::Close(PeerClose { code: Some(CloseCode::NORMAL), reason: String::new() })
}

#[test]
fn between_two_messages_there_is_no_context() {
    let mut protocol = protocol();
    let bytes = text("one");
    assert_eq!(texts(&mut protocol, &bytes[..5], 9), [""; 0]);
    assert!(protocol.context.is_some());
    assert_eq!(texts(&mut protocol, &bytes[5..], 9), ["one"]);
    assert!(protocol.context.is_none());
    let pinged = receive(&mut protocol, &frame(0x89, b"hi"), 9);
    assert_eq!(pinged, (vec![], vec![b"hi".to_vec()], None));
    assert!(protocol.context.is_none());
    assert_eq!(protocol.backlog(), 0);
}

#[test]
fn a_context_is_kept_while_it_holds_state() {
    let mut protocol = protocol();
    texts(&mut protocol, &frame(0x01, b"frag"), 9);
    assert!(protocol.context.is_some());
    assert_eq!(texts(&mut protocol, &frame(0x80, b"ments"), 9), ["fragments"]);
    assert!(protocol.context.is_none());
    assert_eq!(texts(&mut protocol, &[text("a"), text("b")].concat(), 1), ["a"]);
    assert!(protocol.context.is_some());
    assert_eq!(texts(&mut protocol, &[], 9), ["b"]);
    assert!(protocol.context.is_none());
}

#[test]
fn a_close_frame_in_pieces_is_kept_together() {
    let mut protocol = protocol();
    let close = frame(0x88, &1000_u16.to_be_bytes());
    assert_eq!(receive(&mut protocol, &close[..3], 9), (vec![], vec![], None));
    assert_eq!(receive(&mut protocol, &close[3..], 9), (vec![], vec![], Some(normal())));
}

#[test]
fn control_frames_are_seen_while_messages_wait_to_be_decoded() {
    let mut protocol = protocol();
    let close = frame(0x88, &1000_u16.to_be_bytes());
    let bytes = [text("a"), frame(0x89, b"1"), text("b"), frame(0x89, b"2"), close, text("c")];
    let found = receive(&mut protocol, &bytes.concat(), 0);
    assert_eq!(found, (vec![], vec![b"1".to_vec(), b"2".to_vec()], Some(normal())));
    assert!(protocol.has_undecoded());
    assert_eq!(receive(&mut protocol, &text("d"), 9), (vec!["a".into(), "b".into()], vec![], None));
    assert!(!protocol.has_undecoded());
}

#[test]
fn a_control_frame_between_the_fragments_of_a_message_is_removed_however_the_bytes_arrive() {
    let whole = [frame(0x01, b"one "), frame(0x89, b"ping"), frame(0x80, b"message"), text("two")];
    let whole = whole.concat();
    for size in 1..whole.len() {
        let (mut protocol, mut found, mut pings) = (protocol(), Vec::new(), Vec::new());
        for chunk in whole.chunks(size) {
            let (texts, pinged, end) = receive(&mut protocol, chunk, 9);
            found.extend(texts);
            pings.extend(pinged);
            assert_eq!(end, None);
        }
        assert_eq!(
            (found, pings),
            (vec!["one message".into(), "two".into()], vec![b"ping".to_vec()])
        );
    }
}

#[test]
fn at_most_64_control_frames_are_handled_in_one_turn() {
    let mut protocol = protocol();
    let bytes = [frame(0x89, b"").repeat(150), text("last")].concat();
    let (mut bytes, mut turns) = (&bytes[..], Vec::new());
    loop {
        let (texts, pings, _) = receive(&mut protocol, bytes, 9);
        turns.push((pings.len(), texts.len()));
        bytes = &[];
        if !protocol.is_paused() {
            break;
        }
    }
    assert_eq!(turns, [(64, 0), (64, 0), (22, 1)]);
    assert_eq!(protocol.backlog(), 0);
}

#[test]
fn an_error_in_a_message_comes_before_the_close_frame_behind_it() {
    let mut protocol = protocol();
    let bytes = [frame(0x81, b"\xff"), frame(0x88, &1000_u16.to_be_bytes())].concat();
    let end = receive(&mut protocol, &bytes, 0).2;
    assert_eq!(end, Some(normal()));
    assert_eq!(receive(&mut protocol, &[], 9).2, Some(ProtocolEnd::Failure(Failure::Utf8)));
    assert!(!protocol.has_undecoded());
}

#[test]
fn after_our_close_frame_only_the_close_frame_of_the_peer_matters() {
    let mut protocol = protocol();
    assert_eq!(protocol.skip(&text("late")[..4]), None);
    let rest = [&text("late")[4..], &frame(0x89, b""), &frame(0x88, &1000_u16.to_be_bytes())];
    assert_eq!(protocol.skip(&rest.concat()), Some(normal()));
    assert_eq!(protocol.backlog(), 0);
}

#[test]
fn connections_of_one_thread_do_not_mix_their_bytes() {
    let (mut ann, mut bob) = (protocol(), protocol());
    let (to_ann, to_bob) = (text("for ann"), text("for bob"));
    texts(&mut ann, &to_ann[..8], 9);
    assert_eq!(texts(&mut bob, &to_bob, 9), ["for bob"]);
    texts(&mut bob, &to_bob[..9], 9);
    assert_eq!(texts(&mut ann, &to_ann[8..], 9), ["for ann"]);
    assert_eq!(texts(&mut bob, &to_bob[9..], 9), ["for bob"]);
}

#[test]
fn a_context_follows_the_limits_of_the_connection_it_serves() {
    let limits = Limits { message_size: 4, ..Limits::default() };
    let mut strict = Protocol::new(&limits, &[]);
    assert_eq!(texts(&mut protocol(), &text("roomy"), 9), ["roomy"]);
    assert_eq!(texts(&mut strict, &text("tiny"), 9), ["tiny"]);
    assert_eq!(texts(&mut protocol(), &text("roomy"), 9), ["roomy"]);
    let end = receive(&mut strict, &text("roomy"), 9).2;
    assert_eq!(end, Some(ProtocolEnd::Failure(Failure::TooLarge(4))));
}

#[test]
fn the_context_of_a_large_message_is_kept_until_it_is_shrunk() {
    let large = "x".repeat(100_000);
    let mut protocol = protocol();
    assert_eq!(texts(&mut protocol, &text(&large), 9), [large]);
    assert!(protocol.has_grown());
    assert!(protocol.context.is_some());
    protocol.shrink();
    assert!(!protocol.has_grown());
    assert!(protocol.context.is_none());
}

#[test]
fn connections_together_keep_a_limited_number_of_large_buffers() {
    let large = "x".repeat(1 << 20);
    let mut protocols: Vec<_> = (0..32).map(|_| protocol()).collect();
    let keep = |protocol: &mut Protocol| {
        texts(protocol, &text(&large), 9);
        assert!(protocol.has_grown());
        protocol.keep_grown()
    };
    let kept = protocols.iter_mut().map(keep).collect::<Vec<_>>();
    assert_eq!(kept.iter().filter(|kept| **kept).count(), 16);
    assert!(protocols[0].keep_grown(), "what is kept is counted once");
    assert!(!protocols[31].keep_grown());
    protocols[0].discard();
    assert!(protocols[31].keep_grown());
}

#[test]
fn decoding_stops_after_the_message_that_reaches_the_limit_in_bytes() {
    let (mut protocol, mut inbound) = (protocol(), VecDeque::new());
    let limit = Some(DecodeLimit { messages: 9, bytes: 5 });
    let end = protocol.receive(&text("four").repeat(3), limit, &mut inbound, &mut |_| {});
    assert_eq!((end, inbound.len()), (None, 2));
    assert!(protocol.has_undecoded());
}

#[test]
fn one_fragment_too_many_is_never_decoded() {
    let limits = Limits { fragments: 4, ..Limits::default() };
    for payload in [&b""[..], b"x"] {
        let (first, more) = (frame(0x01, payload), frame(0x00, payload));
        let whole = [first, more.repeat(3), frame(0x80, payload)].concat();
        for size in [1, 5, whole.len()] {
            let mut protocol = Protocol::new(&limits, &[]);
            let found = whole.chunks(size).map(|chunk| receive(&mut protocol, chunk, 9));
            let found: Vec<_> = found.filter(|(_, _, end)| end.is_some()).collect();
            assert_eq!(
                found,
                [(vec![], vec![], Some(ProtocolEnd::Failure(Failure::TooManyFragments(4))))]
            );
        }
    }
}

#[test]
fn the_rest_of_a_message_with_too_many_fragments_reaches_no_other_connection() {
    let limits = Limits { fragments: 2, ..Limits::default() };
    let mut strict = Protocol::new(&limits, &[]);
    let secret = [frame(0x01, b"se"), frame(0x00, b"cr"), frame(0x80, b"et")].concat();
    assert!(receive(&mut strict, &secret, 9).2.is_some());
    assert_eq!(texts(&mut protocol(), &text("another"), 9), ["another"]);
}

#[test]
fn bytes_behind_a_frame_that_is_not_allowed_are_ignored() {
    for invalid in [frame(0xa1, b"x"), frame(0x83, b"x"), frame(0x80, b"x")] {
        let bytes = [text("before"), invalid, frame(0x89, b"after")].concat();
        for size in [1, bytes.len()] {
            let (mut protocol, mut found, mut ends) = (protocol(), Vec::new(), Vec::new());
            for chunk in bytes.chunks(size) {
                let (texts, pings, end) = receive(&mut protocol, chunk, 9);
                assert_eq!(pings, [b""; 0]);
                found.extend(texts);
                ends.extend(end);
            }
            assert_eq!(found, ["before"]);
            assert_eq!(ends, [ProtocolEnd::Failure(Failure::Protocol)]);
        }
    }
}
