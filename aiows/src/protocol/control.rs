//! The control frames of a peer, which are handled ahead of the messages they arrive with.

use super::failure::Failure;
use super::frame::{CLOSE, MASK, MAX_CONTROL, PING, PONG};
use crate::close::CloseCode;

/// The result of one attempt to parse a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The rest of the frame has not arrived yet.
    Incomplete,
    Frame {
        /// The length of the whole frame in bytes.
        length: usize,
        frame: ControlFrame,
    },
    Invalid(Failure),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ControlFrame {
    Close(PeerClose),
    Ping(Payload),
    Pong,
}

/// The unmasked payload of a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload {
    bytes: [u8; MAX_CONTROL],
    length: usize,
}

/// The close frame of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerClose {
    /// `None` if the frame has no code.
    pub(crate) code: Option<CloseCode>,
    pub(crate) reason: String,
}

/// Parses the control frame at the start of `bytes`. Source: RFC 6455 sections 5.2 and 5.5.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let [first, rest @ ..] = bytes else {
        return Parsed::Incomplete;
    };
    if !matches!(*first, CLOSE | PING | PONG) {
        // The frame is a fragment, has a reserved bit, or has an opcode without a meaning.
        return Parsed::Invalid(Failure::Protocol);
    }
    let [second, rest @ ..] = rest else {
        return Parsed::Incomplete;
    };
    let length = usize::from(second & !MASK);
    if second & MASK == 0 || length > MAX_CONTROL {
        return Parsed::Invalid(Failure::Protocol);
    }
    let Some((mask, masked)) = rest.split_first_chunk::<4>() else {
        return Parsed::Incomplete;
    };
    let Some(masked) = masked.get(..length) else {
        return Parsed::Incomplete;
    };
    let payload = Payload::unmask(*mask, masked);
    let frame = match *first {
        PING => ControlFrame::Ping(payload),
        PONG => ControlFrame::Pong,
        _ => match close(payload.as_bytes()) {
            Ok(close) => ControlFrame::Close(close),
            Err(failure) => return Parsed::Invalid(failure),
        },
    };
    Parsed::Frame { length: bytes.len() - rest.len() + mask.len() + length, frame }
}

fn close(payload: &[u8]) -> Result<PeerClose, Failure> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(PeerClose { code: None, reason: String::new() }),
            _ => Err(Failure::Protocol),
        };
    };
    let code = CloseCode::from(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(Failure::Protocol);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Failure::Utf8)?;
    Ok(PeerClose { code: Some(code), reason: reason.to_owned() })
}

impl Payload {
    fn unmask(mask: [u8; 4], masked: &[u8]) -> Self {
        let mut bytes = [0; MAX_CONTROL];
        for (at, (byte, masked)) in bytes.iter_mut().zip(masked).enumerate() {
            *byte = masked ^ mask[at % 4];
        }
        Self { bytes, length: masked.len() }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let payload = payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]);
        [first, MASK | payload.len() as u8].into_iter().chain(mask).chain(payload).collect()
    }

    fn parse_close(payload: &[u8]) -> Result<PeerClose, Failure> {
        match parse(&masked(CLOSE, payload)) {
            Parsed::Frame { frame: ControlFrame::Close(close), .. } => Ok(close),
            Parsed::Invalid(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_frame_is_parsed_once_all_of_it_has_arrived() {
        let bytes = [masked(PING, b"payload"), vec![0x81]].concat();
        for end in 0..bytes.len() - 1 {
            assert_eq!(parse(&bytes[..end]), Parsed::Incomplete, "{end}");
        }
        let Parsed::Frame { length, frame: ControlFrame::Ping(payload) } = parse(&bytes) else {
            panic!("{:?}", parse(&bytes));
        };
        assert_eq!((length, payload.as_bytes()), (bytes.len() - 1, b"payload".as_slice()));
    }

    #[test]
    fn frames_that_no_client_may_send_are_invalid_from_the_first_wrong_byte() {
        for bytes in [
            &[0x09][..],
            &[0xc9],
            &[0x8b],
            &[0x8f],
            &[PING, 0],
            &[PING, MASK | 126],
            &[CLOSE, MASK | 127],
        ] {
            assert_eq!(parse(bytes), Parsed::Invalid(Failure::Protocol), "{bytes:?}");
        }
    }

    #[test]
    fn a_close_frame_has_a_code_that_may_be_sent_and_a_reason_in_utf8() {
        assert_eq!(parse_close(b""), Ok(PeerClose { code: None, reason: String::new() }));
        let normal = PeerClose { code: Some(CloseCode::NORMAL), reason: "é".into() };
        assert_eq!(parse_close(b"\x03\xe8\xc3\xa9"), Ok(normal));
        assert_eq!(parse_close(b"\x03"), Err(Failure::Protocol));
        assert_eq!(parse_close(b"\x03\xed"), Err(Failure::Protocol));
        assert_eq!(parse_close(b"\x03\xe8\xff"), Err(Failure::Utf8));
    }
}
