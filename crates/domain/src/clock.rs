use jiff::{Timestamp, Unit};

/// Now, in whole milliseconds: the precision of every time that is stored.
pub fn now() -> Timestamp {
    to_millis(Timestamp::now())
}

/// A time rounded to whole milliseconds.
pub(crate) fn to_millis(at: Timestamp) -> Timestamp {
    at.round(Unit::Millisecond).unwrap_or(at)
}
