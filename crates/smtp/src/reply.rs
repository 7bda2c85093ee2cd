//! Replies: from bytes, in any form that servers send, within a bound.

use std::fmt;

use crate::EnhancedStatus;
use crate::error::ErrorKind;

/// The longest reply that is read, in bytes. RFC 5321, 4.5.3.1.5, allows 512 a line and any number of lines; a reply
/// without end must not fill the memory.
pub const MAX_REPLY: usize = 64 * 1024;
/// The characters of a reply's text that are kept.
const MAX_TEXT: usize = 1_000;

/// A server's reply to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits. The first one says what it means, also of a code that no document lists (RFC 5321, 4.2.1).
    pub code: u16,
    /// The enhanced status code, if the text starts with one of the same class as the code (RFC 2034, 4).
    pub enhanced: Option<EnhancedStatus>,
    /// The text of all lines without the enhanced status code, at most 1,000 characters, without control characters.
    /// Bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Whether the reply was read to its end. If not, its code is known, and the connection cannot be used again.
    pub is_complete: bool,
}

impl Reply {
    /// The first digit of the code.
    pub const fn class(&self) -> u16 {
        self.code / 100
    }

    /// 2xx: done.
    pub const fn is_positive(&self) -> bool {
        self.class() == 2
    }

    /// 3xx: the server waits for more.
    pub const fn is_intermediate(&self) -> bool {
        self.class() == 3
    }

    /// 421: the server closes the connection, whatever the command was (RFC 5321, 3.8).
    pub const fn is_closing(&self) -> bool {
        self.code == 421
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.code)?;
        if let Some(status) = &self.enhanced {
            write!(f, " {status}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

/// A reply as it came.
#[derive(Debug)]
pub(crate) struct RawReply {
    code: u16,
    bytes: Vec<u8>,
    is_complete: bool,
}

impl RawReply {
    pub(crate) const fn class(&self) -> u16 {
        self.code / 100
    }

    pub(crate) const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The text of each line.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.split(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            head(line).map_or(line, |head| &line[head.length..])
        })
    }

    pub(crate) fn reply(&self) -> Reply {
        let class = u8::try_from(self.code / 100).expect("a code has three digits");
        let status_of = |line| EnhancedStatus::at_start_of(line).filter(|(status, _)| status.class == class);
        // Each line should have the same one. The last line decides, like for the code.
        let enhanced = self.lines().rev().find_map(status_of).map(|(status, _)| status);
        let mut text = String::new();
        for line in self.lines() {
            let length =
                status_of(line).filter(|(status, _)| Some(*status) == enhanced).map_or(0, |(_, length)| length);
            let line = String::from_utf8_lossy(&line[length..]);
            for word in line.split(|c: char| c.is_whitespace()) {
                let mut word = word.chars().filter(|c| !c.is_control()).peekable();
                if word.peek().is_some() && !text.is_empty() {
                    text.push(' ');
                }
                text.extend(word);
            }
            // Four bytes a character at most.
            if text.len() > 4 * MAX_TEXT {
                break;
            }
        }
        let text = text.chars().take(MAX_TEXT).collect();
        Reply { code: self.code, enhanced, text, is_complete: self.is_complete }
    }
}

/// The start of a line: the code, and what follows.
struct Head {
    code: u16,
    /// Whether more lines follow: `250-`.
    has_more: bool,
    /// The bytes before the text.
    length: usize,
}

/// The start of a reply's line: three digits, and then a hyphen, a space, or nothing. Another character counts as the
/// text, but a fourth digit makes it no code.
fn head(line: &[u8]) -> Option<Head> {
    let (digits, rest) = line.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.first() {
        Some(b'-') => Some(Head { code, has_more: true, length: 4 }),
        Some(b' ' | b'\t') => Some(Head { code, has_more: false, length: 4 }),
        Some(byte) if byte.is_ascii_digit() => None,
        _ => Some(Head { code, has_more: false, length: 3 }),
    }
}

/// Turns the bytes of a connection into replies, however they are cut into pieces.
///
/// - A line ends with CRLF or LF; its text may be missing, long, or in any encoding.
/// - In a reply of several lines the last line's code counts, and a line without a code is text.
/// - Empty lines before a reply are skipped.
#[derive(Debug, Default)]
pub struct Replies {
    /// What came and belongs to no reply yet that was returned. At most [`MAX_REPLY`] and what one read adds.
    bytes: Vec<u8>,
    /// Where the line starts that has not ended.
    line: usize,
    /// Up to where its end was looked for.
    searched: usize,
    /// The code of the lines so far.
    code: Option<u16>,
    /// The bytes of the empty lines before them, which are not kept.
    skipped: usize,
}

impl Replies {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next reply, if enough has come.
    ///
    /// # Errors
    /// If what came is no reply ([`ErrorKind::Malformed`]). Nothing more can be read then.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ErrorKind> {
        Ok(self.next_raw()?.map(|raw| raw.reply()))
    }

    pub(crate) fn next_raw(&mut self) -> Result<Option<RawReply>, ErrorKind> {
        while let Some(offset) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + offset;
            let line = &self.bytes[self.line..end];
            let head = head(line.strip_suffix(b"\r").unwrap_or(line));
            let is_empty = line.iter().all(|byte| *byte == b'\r');
            (self.line, self.searched) = (end + 1, end + 1);
            match head {
                Some(head) => {
                    self.code = Some(head.code);
                    if !head.has_more {
                        return Ok(Some(self.take(head.code, true)));
                    }
                }
                None if self.code.is_some() => {}
                None if is_empty => {
                    self.skipped += self.line;
                    self.bytes.drain(..self.line);
                    (self.line, self.searched) = (0, 0);
                }
                None => return Err(ErrorKind::Malformed),
            }
        }
        self.searched = self.bytes.len();
        let start = self.bytes[self.line..].iter().take(3);
        if self.code.is_none() && !start.clone().all(u8::is_ascii_digit) && start.clone().any(|byte| *byte != b'\r') {
            return Err(ErrorKind::Malformed);
        }
        if self.skipped + self.bytes.len() >= MAX_REPLY {
            return self.cut_short().map(Some).ok_or(ErrorKind::Malformed);
        }
        Ok(None)
    }

    /// What is known of a reply whose end will not come: its code, if that has.
    pub(crate) fn cut_short(&mut self) -> Option<RawReply> {
        let code = head(&self.bytes[self.line..]).map(|head| head.code).or(self.code)?;
        (self.line, self.searched) = (self.bytes.len(), self.bytes.len());
        Some(self.take(code, false))
    }

    /// Takes the bytes before the line that has not ended.
    fn take(&mut self, code: u16, is_complete: bool) -> RawReply {
        let rest = self.bytes.split_off(self.line);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        (self.line, self.searched, self.code, self.skipped) = (0, 0, None, 0);
        RawReply { code, bytes, is_complete }
    }

    /// Whether something has come that belongs to no reply yet, except line ends.
    pub(crate) fn has_unread(&self) -> bool {
        self.bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// Whether anything at all has come that belongs to no reply yet.
    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
