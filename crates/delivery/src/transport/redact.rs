//! Providers' words, without addresses and numbers.

/// A provider's words, cleared of addresses and numbers, which many providers repeat, and no longer than a record should hold.
pub(crate) fn redact(said: &str) -> String {
    said.split(' ')
        .map(|word| match word.contains('@') {
            true => "(address)",
            false if is_number(word) => "(number)",
            false => word,
        })
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(500)
        .collect()
}

/// Whether a phone number in E.164 stands in it.
fn is_number(word: &str) -> bool {
    let after_plus = word.split('+').skip(1);
    after_plus.map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count()).any(|digits| digits >= 7)
}
