use super::*;

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

/// Receives at most `max` messages; what the context answers by itself comes last.
fn receive(protocol: &mut Protocol, bytes: &[u8], max: usize) -> (Vec<String>, Vec<u8>) {
    let (mut inbound, mut control) = (VecDeque::new(), Vec::new());
    assert_eq!(protocol.receive(bytes, max, &mut inbound, &mut control), Ok(None));
    let texts = inbound.iter().map(|message| message.as_text().unwrap().to_owned());
    (texts.collect(), control)
}

#[test]
fn between_two_messages_there_is_no_context() {
    let mut protocol = protocol();
    let bytes = text("one");
    assert_eq!(receive(&mut protocol, &bytes[..5], 9).0, [""; 0]);
    assert!(protocol.context.is_some());
    assert_eq!(receive(&mut protocol, &bytes[5..], 9).0, ["one"]);
    assert!(protocol.context.is_none());
    let (texts, control) = receive(&mut protocol, &frame(0x89, b"hi"), 9);
    assert_eq!((texts, control), (vec![], vec![0x8a, 2, b'h', b'i']));
    assert!(protocol.context.is_none());
}

#[test]
fn a_context_is_kept_while_it_has_something_to_remember() {
    let mut protocol = protocol();
    receive(&mut protocol, &frame(0x01, b"frag"), 9);
    assert!(protocol.context.is_some());
    assert_eq!(receive(&mut protocol, &frame(0x80, b"ments"), 9).0, ["fragments"]);
    assert!(protocol.context.is_none());
    assert_eq!(receive(&mut protocol, &[text("a"), text("b")].concat(), 1).0, ["a"]);
    assert!(protocol.context.is_some());
    assert_eq!(receive(&mut protocol, &[], 9).0, ["b"]);
    assert!(protocol.context.is_none());
}

#[test]
fn a_close_frame_in_pieces_is_kept_together() {
    let mut protocol = protocol();
    let close = frame(0x88, &1000_u16.to_be_bytes());
    receive(&mut protocol, &close[..3], 9);
    assert_eq!(protocol.receive_close(&mut Vec::new()), Ok(None));
    receive(&mut protocol, &close[3..], 9);
    let mut control = Vec::new();
    let closed = protocol.receive_close(&mut control).unwrap().unwrap();
    assert_eq!(closed.code, Some(CloseCode::NORMAL));
    assert_eq!(control, [0x88, 2, 0x03, 0xe8]);
}

#[test]
fn connections_of_one_thread_do_not_mix_what_they_were_sent() {
    let (mut ann, mut bob) = (protocol(), protocol());
    let (to_ann, to_bob) = (text("for ann"), text("for bob"));
    receive(&mut ann, &to_ann[..8], 9);
    assert_eq!(receive(&mut bob, &to_bob, 9).0, ["for bob"]);
    receive(&mut bob, &to_bob[..9], 9);
    assert_eq!(receive(&mut ann, &to_ann[8..], 9).0, ["for ann"]);
    assert_eq!(receive(&mut bob, &to_bob[9..], 9).0, ["for bob"]);
}

#[test]
fn a_context_follows_the_limits_of_the_connection_it_serves() {
    let limits = Limits { message_size: 4, ..Limits::default() };
    let mut strict = Protocol::new(&limits, &[]);
    assert_eq!(receive(&mut protocol(), &text("roomy"), 9).0, ["roomy"]);
    assert_eq!(receive(&mut strict, &text("tiny"), 9).0, ["tiny"]);
    assert_eq!(receive(&mut protocol(), &text("roomy"), 9).0, ["roomy"]);
    let received = strict.receive(&text("roomy"), 9, &mut VecDeque::new(), &mut Vec::new());
    assert_eq!(received, Err(Failure::SIZE));
}

#[test]
fn the_context_of_a_large_message_is_kept_until_it_is_shrunk() {
    let large = "x".repeat(100_000);
    let mut protocol = protocol();
    assert_eq!(receive(&mut protocol, &text(&large), 9).0, [large]);
    assert!(protocol.has_grown());
    assert!(protocol.context.is_some());
    protocol.shrink();
    assert!(!protocol.has_grown());
    assert!(protocol.context.is_none());
}
