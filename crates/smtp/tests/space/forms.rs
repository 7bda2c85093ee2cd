//! The forms that a reply may have: legal, common, odd and broken.

/// What follows a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The conversation goes on.
    Continue,
    /// The server closes the connection.
    Close,
    /// It keeps the connection open and says nothing more.
    Silence,
    /// It sends the last line again and again.
    Repeat,
}

/// A reply as bytes, and what a person would read in it.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The code, if it has come. A reply of several lines is only as good as its last one.
    pub(crate) code: Option<u16>,
    pub(crate) then: Then,
}

/// Every reply code of RFC 5321, its extensions and their IANA registries, and the first and last code of each class,
/// classes that do not exist among them.
pub(crate) const CODES: [u16; 62] = [
    0, 1, 99, 100, 101, 199, 200, 211, 214, 220, 221, 235, 250, 251, 252, 253, 299, 300, 334, 354, 399, 400, 401, 420,
    421, 422, 431, 432, 441, 442, 446, 447, 449, 450, 451, 452, 454, 455, 458, 459, 471, 499, 500, 501, 502, 503, 504,
    521, 523, 524, 530, 534, 535, 538, 550, 552, 554, 555, 556, 599, 600, 999,
];

/// A reply of one line with this text.
pub(crate) fn plain(code: u16, text: &str) -> Form {
    whole("one line", code, format!("{code:03} {text}\r\n"))
}

fn whole(name: &'static str, code: u16, bytes: impl Into<Vec<u8>>) -> Form {
    Form { name, bytes: bytes.into(), code: Some(code), then: Then::Continue }
}

/// The forms that are whole replies with this code.
pub(crate) fn whole_forms(code: u16) -> Vec<Form> {
    let c = format!("{code:03}");
    let other = if code == 250 { "550" } else { "250" };
    let long = "x".repeat(5_000);
    vec![
        plain(code, "text"),
        whole("no text", code, format!("{c}\r\n")),
        whole("a space for a text", code, format!("{c} \r\n")),
        whole("no text and a bare LF", code, format!("{c}\n")),
        whole("a bare LF", code, format!("{c} text\n")),
        whole("a CR too many", code, format!("{c} text\r\r\n")),
        whole("a CR inside", code, format!("{c} te\rxt\r\n")),
        whole("a Latin-1 letter", code, [c.as_bytes(), b" caf\xe9\r\n"].concat()),
        whole("UTF-8", code, format!("{c} caf\u{e9} \u{1f4e7}\r\n")),
        whole("broken UTF-8 and controls", code, [c.as_bytes(), b" \xff\xc3\x28\0\x1b[2J\x7f\r\n"].concat()),
        whole("a NUL at the start of the text", code, [c.as_bytes(), b"\0text\r\n"].concat()),
        whole("a tab", code, format!("{c}\ttext\r\n")),
        whole("no space", code, format!("{c}text\r\n")),
        whole("a long line", code, format!("{c} {long}\r\n")),
        whole("two lines", code, format!("{c}-one\r\n{c} two\r\n")),
        whole("lines without text", code, format!("{c}-\r\n{c}-\n{c}\r\n")),
        whole("lines with LF and CRLF", code, format!("{c}-one\n{c}-two\r\n{c} three\n")),
        whole("lines of another code first", code, format!("{other}-one\r\n{c} two\r\n")),
        whole("a line without a code", code, format!("{c}-one\r\ntwo\r\n{c} three\r\n")),
        whole("an empty line inside", code, format!("{c}-one\r\n\r\n{c} two\r\n")),
        whole("many lines", code, format!("{c}-{}\r\n", "x".repeat(70)).repeat(30) + &format!("{c} end\r\n")),
        whole("an empty line first", code, format!("\r\n{c} text\r\n")),
        whole("looks like the end of a message", code, format!("{c}-.\r\n.\r\n{c} .\r\n")),
    ]
}

/// The forms that are no whole reply: this code may have come or not.
pub(crate) fn broken_forms(code: u16) -> Vec<Form> {
    let c = format!("{code:03}");
    let mut forms = Vec::new();
    let starts = [
        ("nothing", String::new(), None),
        ("two digits", c[..2].to_owned(), None),
        ("three digits", c.clone(), Some(code)),
        ("a code and a CR", format!("{c}\r"), Some(code)),
        ("a part of the text", format!("{c} te"), Some(code)),
        ("the first of two lines", format!("{c}-one\r\n"), Some(code)),
        ("a part of the second line", format!("{c}-one\r\n{c}"), Some(code)),
        ("empty lines", "\r\n\r\n".to_owned(), None),
    ];
    for (name, bytes, code) in starts {
        for then in [Then::Close, Then::Silence] {
            forms.push(Form { name, bytes: bytes.clone().into(), code, then });
        }
    }
    for (name, bytes, code) in [
        ("no code", "hello\r\n".to_owned(), None),
        ("four digits", format!("{c}0 text\r\n"), None),
        ("a space before the code", format!(" {c} text\r\n"), None),
        ("a negative code", format!("-{c} text\r\n"), None),
        ("HTTP", "HTTP/1.1 200 OK\r\n".to_owned(), None),
        ("100,000 characters", format!("{c} {}\r\n", "x".repeat(100_000)), Some(code)),
        ("100,000 characters in lines", format!("{c}-{}\r\n", "x".repeat(500)).repeat(200) + &c + "\r\n", Some(code)),
        ("100,000 digits", format!("{c}{}\r\n", "0".repeat(100_000)), None),
    ] {
        forms.push(Form { name, bytes: bytes.into(), code, then: Then::Continue });
    }
    for (name, bytes, code) in [
        ("lines without end", format!("{c}-more\r\n"), Some(code)),
        ("text without end", format!("{c} more"), Some(code)),
        ("empty lines without end", "\r\n".to_owned(), None),
        ("noise without end", "\u{ff}noise".to_owned(), None),
        ("NULs without end", "\0".to_owned(), None),
    ] {
        forms.push(Form { name, bytes: bytes.into(), code, then: Then::Repeat });
    }
    forms
}
