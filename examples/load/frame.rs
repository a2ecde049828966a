//! The WebSocket frames that this client needs: masked frames to send, and frames to receive.

use crate::Result;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;
const LENGTH_IN_2_BYTES: u8 = 126;
const LENGTH_IN_8_BYTES: u8 = 127;
/// A fixed masking key is enough, because no intermediary between the two processes parses
/// payloads.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x8e];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

impl Opcode {
    /// Returns the opcode, and whether this is the last frame of its message.
    fn from_first_byte(byte: u8) -> Result<(Self, bool)> {
        [Self::Continuation, Self::Text, Self::Close, Self::Ping, Self::Pong]
            .into_iter()
            .find(|opcode| *opcode as u8 == byte & !FIN)
            .map(|opcode| (opcode, byte & FIN != 0))
            .ok_or_else(|| format!("a frame begins with {byte:#04x}").into())
    }
}

pub(crate) struct Frame<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) is_last: bool,
    pub(crate) payload: &'a [u8],
    /// The size of the frame in bytes, including its header.
    pub(crate) size: usize,
}

pub(crate) fn encode(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FIN | opcode as u8];
    match payload.len() {
        len @ 0..126 => frame.push(MASKED | len as u8),
        len @ 126..=0xFFFF => {
            frame.push(MASKED | LENGTH_IN_2_BYTES);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(MASKED | LENGTH_IN_8_BYTES);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Decodes the frame at the start of `bytes`. Returns `None` if the frame is incomplete.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let &[first, length, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let (opcode, is_last) = Opcode::from_first_byte(first)?;
    let (header, len) = match (length, rest) {
        (LENGTH_IN_2_BYTES, &[a, b, ..]) => (4, u16::from_be_bytes([a, b]).into()),
        (LENGTH_IN_8_BYTES, &[a, b, c, d, e, f, g, h, ..]) => {
            (10, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
        (LENGTH_IN_2_BYTES | LENGTH_IN_8_BYTES, _) => return Ok(None),
        (MASKED.., _) => return Err("a server must not mask its frames".into()),
        (len, _) => (2, len.into()),
    };
    let size = header + usize::try_from(len)?;
    Ok(bytes.get(header..size).map(|payload| Frame { opcode, is_last, payload, size }))
}
