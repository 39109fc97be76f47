//! The time in an HTTP header: the only clock that a component has.

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Wed, 25 Nov 2026 11:10:38 GMT` in Unix seconds. The older forms of the header are not read.
pub(super) fn unix_secs(date: &str) -> Option<u64> {
    let (_, rest) = date.split_once(", ")?;
    let mut words = rest.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = 1 + u64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(str::parse::<u64>);
    let mut two = || time.next()?.ok().filter(|number| *number <= 60);
    let (hours, minutes, seconds) = (two()?, two()?, two()?);
    let known = (1970..=9999).contains(&year) && (1..=31).contains(&day) && hours < 24 && words.next() == Some("GMT");
    known.then(|| (days(year, month, day) * 24 + hours) * 3_600 + minutes * 60 + seconds)
}

/// Days from 1970. Years begin in March, so that the leap day is the last one.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_others_are_not() {
        for (date, secs) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Wed, 25 Nov 2026 11:10:38 GMT", 1_795_605_038),
        ] {
            assert_eq!(unix_secs(date), Some(secs), "{date}");
        }
        for date in [
            "",
            "yesterday",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 25:00:00 GMT",
        ] {
            assert_eq!(unix_secs(date), None, "{date}");
        }
    }
}
