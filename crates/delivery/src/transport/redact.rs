//! Redacts texts of providers: they are stored and logged, and often repeat the recipient's address.

/// The maximum length of a reason.
const MAX_CHARS: usize = 500;

/// Replaces addresses and phone numbers, removes control characters, and limits the length.
pub(crate) fn redact(text: &str) -> String {
    text.split(' ')
        .map(|word| match word.contains('@') {
            true => "(address)",
            false if has_phone_number(word) => "(number)",
            false => word,
        })
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_CHARS)
        .collect()
}

/// Whether the word contains a phone number in E.164.
fn has_phone_number(word: &str) -> bool {
    let after_plus = word.split('+').skip(1);
    after_plus.map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count()).any(|digits| digits >= 7)
}
