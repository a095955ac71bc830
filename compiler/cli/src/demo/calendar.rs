//! Times and offsets from UTC, as RFC 3339 writes them. Whole seconds, no time zone names.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECONDS: i64 = 86_400;

/// An offset from UTC, in whole minutes. Invariant: less than 24 hours either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    minutes: i64,
}

impl Offset {
    pub(super) const UTC: Self = Self { minutes: 0 };

    /// Reads `Z`, `UTC`, `+02:00` or `-09:30`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if matches!(text, "Z" | "z" | "UTC") {
            return Some(Self::UTC);
        }
        let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(rest), _) => (1, rest),
            (_, Some(rest)) => (-1, rest),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let minutes = number(hours, 2, 0..=23)? * 60 + number(minutes, 2, 0..=59)?;
        Some(Self {
            minutes: sign * minutes,
        })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.minutes == 0 {
            return formatter.write_str("Z");
        }
        let sign = if self.minutes < 0 { '-' } else { '+' };
        let minutes = self.minutes.abs();
        write!(formatter, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// A moment, in seconds since 1970 in UTC. Invariant: its year has four digits everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    seconds: i64,
}

impl Moment {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            seconds: since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0)),
        }
    }

    /// Reads a date and time with an offset, such as `2026-07-28T09:30:00+02:00`. Fractions of a
    /// second are cut off.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't', ' '])?;
        let mut date = date.splitn(3, '-');
        let year = number(date.next()?, 4, 1..=9998)?;
        let month = number(date.next()?, 2, 1..=12)?;
        let day = number(date.next()?, 2, 1..=days_of(year, month))?;
        let offset_at = time.find(['Z', 'z', '+', '-'])?;
        let (time, offset) = time.split_at_checked(offset_at)?;
        let offset = Offset::parse(offset)?;
        let whole = match time.split_once('.') {
            Some((whole, fraction)) => {
                let is_number =
                    !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then_some(whole)?
            }
            None => time,
        };
        let mut time = whole.splitn(3, ':');
        let hour = number(time.next()?, 2, 0..=23)?;
        let minute = number(time.next()?, 2, 0..=59)?;
        let second = number(time.next()?, 2, 0..=59)?;
        let local =
            days_since_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
        Some(Self {
            seconds: local - offset.minutes * 60,
        })
    }

    /// The moment as a clock at this offset shows it.
    pub(super) fn at(self, offset: Offset) -> String {
        let local = self.seconds + offset.minutes * 60;
        let (days, second) = (local.div_euclid(DAY_SECONDS), local.rem_euclid(DAY_SECONDS));
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}")
    }

    /// The day of the week at this offset.
    pub(super) fn weekday(self, offset: Offset) -> &'static str {
        let days = (self.seconds + offset.minutes * 60).div_euclid(DAY_SECONDS);
        // 1970-01-01 was a Thursday.
        match (days + 3).rem_euclid(7) {
            0 => "Monday",
            1 => "Tuesday",
            2 => "Wednesday",
            3 => "Thursday",
            4 => "Friday",
            5 => "Saturday",
            _ => "Sunday",
        }
    }

    /// Seconds since 1970.
    pub(super) fn unix(self) -> i64 {
        self.seconds
    }
}

fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok())??;
    range.contains(&number).then_some(number)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Leap days up to the end of a year, counted from year 1.
fn leap_days(year: i64) -> i64 {
    year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    years + months + day - 1
}

fn date_of(days: i64) -> (i64, i64, i64) {
    // A guess without leap days, a few years off at the ends of the range, then the exact year.
    let mut year = 1970 + days.div_euclid(365);
    while days_since_1970(year, 1, 1) > days {
        year -= 1;
    }
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut rest = days - days_since_1970(year, 1, 1);
    let mut month = 1;
    while rest >= days_of(year, month) {
        rest -= days_of(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown_at_any_offset() {
        for (text, offset, shown) in [
            ("1970-01-01T00:00:00Z", "Z", "1970-01-01T00:00:00Z"),
            (
                "2026-07-28T23:30:00Z",
                "+02:00",
                "2026-07-29T01:30:00+02:00",
            ),
            ("2024-02-29T12:00:00.250-09:30", "Z", "2024-02-29T21:30:00Z"),
            (
                "2000-03-01T00:00:00+00:00",
                "-00:01",
                "2000-02-29T23:59:00-00:01",
            ),
            (
                "1900-02-28T23:59:59Z",
                "+00:01",
                "1900-03-01T00:00:59+00:01",
            ),
            (
                "9998-12-31T23:59:59Z",
                "+23:59",
                "9999-01-01T23:58:59+23:59",
            ),
            ("0001-01-01T00:00:00Z", "Z", "0001-01-01T00:00:00Z"),
        ] {
            let moment = Moment::parse(text);
            let offset = Offset::parse(offset);
            let at = moment.zip(offset).map(|(moment, offset)| moment.at(offset));
            assert_eq!(at.as_deref(), Some(shown), "{text}");
        }
    }

    #[test]
    fn times_that_are_none_are_refused() {
        for text in [
            "",
            "2026",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00.Z",
            "2026-1-1T00:00:00Z",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:00+é:00",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn weekdays_follow_the_offset() {
        let moment = Moment::parse("2026-07-28T23:30:00Z");
        let weekday = |offset| moment.zip(Offset::parse(offset)).map(|(m, o)| m.weekday(o));
        assert_eq!(weekday("Z"), Some("Tuesday"));
        assert_eq!(weekday("+01:00"), Some("Wednesday"));
    }
}
