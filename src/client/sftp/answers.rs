//! What a packet of the server says.

use std::{borrow::Cow, sync::Arc};

use bytes::{Buf, Bytes};

use super::{
    attributes::Attributes,
    error::{Nonsense, StatusCode},
    wire::{Reader, Truncated, kind},
};

/// Content that is shorter is copied out of the block it was received in, which would live on with it.
const SHORT: usize = 64 << 10;

/// Bytes that are kept of what a server says of a refusal.
const SAID: usize = 1 << 10;

/// What a request has for an answer, unless it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Status,
    Handle,
    /// At most so many bytes.
    Data(u32),
    Names,
    Attributes,
    Extended,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was done.
    Done,
    /// It was not.
    Refused(StatusCode, Arc<str>),
    Handle(Box<[u8]>),
    Data(Bytes),
    Names(Names),
    Attributes(Attributes),
    Extended(Bytes),
}

/// The number of the request that a packet answers.
pub(super) fn id_of(packet: &[u8]) -> Result<u32, Nonsense> {
    let mut body = Reader(packet);
    let kind = body.byte().map_err(|Truncated| Nonsense::Length(0))?;
    body.uint32().map_err(|Truncated| Nonsense::Truncated(kind))
}

impl Answer {
    /// Reads an answer to a request of a kind. What follows its last field is not looked at.
    ///
    /// # Errors
    /// [`Nonsense`] when it is no such answer.
    pub(super) fn read(packet: &Bytes, expect: Expect) -> Result<Self, Nonsense> {
        let mut body = Reader(packet);
        let kind = body.byte().map_err(|Truncated| Nonsense::Length(0))?;
        let answer = body.uint32().and_then(|_| Self::fields(kind, &mut body, expect, packet));
        answer.map_err(|Truncated| Nonsense::Truncated(kind))?
    }

    fn fields(
        kind: u8,
        body: &mut Reader<'_>,
        expect: Expect,
        packet: &Bytes,
    ) -> Result<Result<Self, Nonsense>, Truncated> {
        let answer = match (kind, expect) {
            (kind::STATUS, _) => {
                let code = body.uint32()?;
                // Servers of a version before 3 leave the message out, and some of version 3 do too.
                let message = body.string().unwrap_or_default();
                let message = &message[..message.len().min(SAID)];
                match StatusCode::from_wire(code) {
                    Some(code) => Self::Refused(code, String::from_utf8_lossy(message).into()),
                    None if expect == Expect::Status => Self::Done,
                    None => return Ok(Err(Nonsense::WrongType(kind))),
                }
            }
            (kind::HANDLE, Expect::Handle) => Self::Handle(body.string()?.into()),
            (kind::DATA, Expect::Data(asked)) => {
                let data = body.string()?;
                if data.len() > asked as usize || data.is_empty() {
                    return Ok(Err(Nonsense::DataLength { asked, got: data.len() }));
                }
                let short = data.len() < SHORT;
                Self::Data(if short { Bytes::copy_from_slice(data) } else { packet.slice_ref(data) })
            }
            (kind::NAME, Expect::Names) => Self::Names(Names::read(body)?),
            (kind::ATTRS, Expect::Attributes) => Self::Attributes(Attributes::read(body)?),
            (kind::EXTENDED_REPLY, Expect::Extended) => Self::Extended(Bytes::copy_from_slice(body.0)),
            _ => return Ok(Err(Nonsense::WrongType(kind))),
        };
        Ok(Ok(answer))
    }
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as the server has it. It may be hostile: empty, `..`, or a path.
    pub name: Vec<u8>,
    /// The attributes of the entry itself, not those of what it links to.
    pub attributes: Attributes,
}

impl Entry {
    /// The name as text; what is not UTF-8 is U+FFFD.
    #[must_use]
    pub fn name_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }
}

/// Entries that are read one by one: at once they would take ten times the memory of the packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    left: u32,
    body: Bytes,
}

impl Names {
    fn read(body: &mut Reader<'_>) -> Result<Self, Truncated> {
        let left = body.uint32()?;
        let all = body.0;
        for _ in 0..left {
            Self::entry(body)?;
        }
        let body = Bytes::copy_from_slice(&all[..all.len() - body.0.len()]);
        Ok(Self { left, body })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The only name.
    pub(super) fn one(mut self) -> Result<Vec<u8>, Nonsense> {
        match (self.left, self.next()) {
            (1, Some(entry)) => Ok(entry.name),
            (left, _) => Err(Nonsense::Names(left as usize)),
        }
    }

    fn entry<'a>(body: &mut Reader<'a>) -> Result<(&'a [u8], Attributes), Truncated> {
        let name = body.string()?;
        // The long name is a line for people that says the same.
        body.string()?;
        Ok((name, Attributes::read(body)?))
    }
}

impl Iterator for Names {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        let mut body = Reader(&self.body);
        let (name, attributes) = Self::entry(&mut body).ok()?;
        let (entry, rest) = (Entry { name: name.to_vec(), attributes }, body.0.len());
        self.body.advance(self.body.len() - rest);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(packet: &[u8], expect: Expect) -> Result<Answer, Nonsense> {
        Answer::read(&Bytes::copy_from_slice(packet), expect)
    }

    #[test]
    fn a_status_without_a_message_is_one() {
        let answer = read(&[101, 0, 0, 0, 9, 0, 0, 0, 2], Expect::Handle);
        assert_eq!(answer, Ok(Answer::Refused(StatusCode::NoSuchFile, "".into())));
    }

    #[test]
    fn success_is_no_handle() {
        let answer = read(&[101, 0, 0, 0, 9, 0, 0, 0, 0], Expect::Handle);
        assert_eq!(answer, Err(Nonsense::WrongType(101)));
    }

    #[test]
    fn more_than_was_asked_for_is_nonsense() {
        let packet = [103, 0, 0, 0, 9, 0, 0, 0, 2, 5, 6];
        assert_eq!(read(&packet, Expect::Data(2)), Ok(Answer::Data(Bytes::from_static(&[5, 6]))));
        assert_eq!(read(&packet, Expect::Data(1)), Err(Nonsense::DataLength { asked: 1, got: 2 }));
        let nothing = read(&[103, 0, 0, 0, 9, 0, 0, 0, 0], Expect::Data(1));
        assert_eq!(nothing, Err(Nonsense::DataLength { asked: 1, got: 0 }));
    }

    #[test]
    fn a_count_of_names_is_not_believed() {
        let packet = [104, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(read(&packet, Expect::Names), Err(Nonsense::Truncated(104)));
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..200), kind in 95u8..110) {
            let packet = [vec![kind, 0, 0, 0, 1], packet].concat();
            for expect in [
                Expect::Status, Expect::Handle, Expect::Data(9), Expect::Names, Expect::Attributes,
                Expect::Extended,
            ] {
                let _ = read(&packet, expect);
                let _ = id_of(&packet);
            }
        }
    }
}
