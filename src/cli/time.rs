//! Times and lengths of time as people read and write them.

use std::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970 as RFC 3339 in UTC, with milliseconds.
pub(crate) fn precise(ms: i64) -> String {
    let (date, rest) = (date(ms.div_euclid(DAY_MS)), ms.rem_euclid(DAY_MS));
    let (seconds, millis) = (rest / 1000, rest % 1000);
    format!("{date}T{:02}:{:02}:{:02}.{millis:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The same without milliseconds.
pub(crate) fn stamp(ms: i64) -> String {
    let precise = precise(ms);
    precise.split_once('.').map_or(precise.clone(), |(whole, _)| format!("{whole}Z"))
}

/// A calendar date from days since 1970, by eras of 400 years that begin on 1 March.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A length of time in its largest fitting units, two at most.
pub(crate) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0 => format!("{} ms", ms.max(0)),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Reads a length of time: `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("`{text}` is no length of time: give a number with ms, s, m or h, e.g. 30s");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|ms| *ms <= 366 * 86_400_000).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_read_as_they_should() {
        let moments = [0, 951_782_399_999, 951_782_400_000, 1_709_164_800_000, 1_764_043_262_123, -1];
        assert_eq!(
            moments.map(precise),
            [
                "1970-01-01T00:00:00.000Z",
                "2000-02-28T23:59:59.999Z",
                "2000-02-29T00:00:00.000Z",
                "2024-02-29T00:00:00.000Z",
                "2025-11-25T04:01:02.123Z",
                "1969-12-31T23:59:59.999Z"
            ]
        );
        assert_eq!(stamp(1_764_043_262_123), "2025-11-25T04:01:02Z");
    }

    #[test]
    fn lengths_of_time_are_read_with_their_unit() {
        let read = |text| parse_span(text).map(|span| span.as_millis());
        assert_eq!(
            [read("500ms"), read("30s"), read("30"), read("2m")],
            [Ok(500), Ok(30_000), Ok(30_000), Ok(120_000)]
        );
        for wrong in ["", "s", "1d", "-1s", "1.5s", "99999999999h"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
