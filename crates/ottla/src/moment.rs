//! Times as they are typed.

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// What can be typed, for messages and help.
pub(crate) const FORMS: &str =
    "a time in ms since 1970, or one such as 2026-01-31T12:00:00Z (UTC if it names no zone)";

/// The time in milliseconds since 1970, if the text is one at or after that.
pub(crate) fn parse_ms(text: &str) -> Option<i64> {
    let time_ms = match text.parse::<i64>() {
        Ok(number) => number,
        Err(_) => match text.parse::<Timestamp>() {
            Ok(timestamp) => timestamp.as_millisecond(),
            Err(_) => {
                let local: civil::DateTime = text.parse().ok()?;
                local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()
            }
        },
    };
    (time_ms >= 0).then_some(time_ms)
}

/// The same for an argument.
pub(crate) fn argument(text: &str) -> Result<i64, String> {
    parse_ms(text).ok_or_else(|| format!("expected {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_or_dates_with_or_without_a_zone() {
        for (text, time_ms) in [
            ("0", 0),
            ("1767225600000", 1_767_225_600_000),
            ("2026-01-01T00:00:00Z", 1_767_225_600_000),
            ("2026-01-01T01:00:00+01:00", 1_767_225_600_000),
            ("2026-01-01T00:00:00.5", 1_767_225_600_500),
            ("2026-01-01 00:00", 1_767_225_600_000),
            ("2026-01-01", 1_767_225_600_000),
        ] {
            assert_eq!(parse_ms(text), Some(time_ms), "{text}");
        }
        for text in ["", "-1", "1969-12-31", "yesterday", "2026-02-30", "1.5"] {
            assert_eq!(parse_ms(text), None, "{text}");
        }
    }
}
