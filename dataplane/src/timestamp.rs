//! Wall-clock times in documents and logs: RFC 3339 text in UTC, with milliseconds.
//!
//! Owns the conversion between a count of milliseconds since 1970 and its text, in both
//! directions. Does not read the clock for deadlines: those use a monotonic one.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

const DAY_MS: u64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_1970: u64 = 719_468;
/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;

impl Timestamp {
    /// Now.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn unix_ms(self) -> u64 {
        self.0
    }

    /// The time this many milliseconds after 1970-01-01T00:00:00Z.
    pub fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Reads `2026-07-28T12:34:56Z`, with or without a fraction of a second; UTC only.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let mut date = date.split('-');
        let year = digits(date.next()?, 4)?;
        let month = digits(date.next()?, 2).filter(|month| (1..=12).contains(month))?;
        let day = digits(date.next()?, 2).filter(|day| (1..=31).contains(day))?;
        let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let mut clock = clock.split(':');
        let hour = digits(clock.next()?, 2).filter(|hour| *hour < 24)?;
        let minute = digits(clock.next()?, 2).filter(|minute| *minute < 60)?;
        let second = digits(clock.next()?, 2).filter(|second| *second < 60)?;
        if date.next().is_some() || clock.next().is_some() || year < 1970 {
            return None;
        }
        let seconds = (hour * 60 + minute) * 60 + second;
        let ms = days_since_1970(year, month, day) * DAY_MS + seconds * 1000 + millis(fraction)?;
        // A day that its month does not have would come back as another date.
        let time = Self(ms);
        (time.calendar() == (year, month, day)).then_some(time)
    }

    /// How long [`Timestamp::http`] is.
    pub(crate) const HTTP_BYTES: usize = 29;

    /// The text that HTTP has for it (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub(crate) fn http(self) -> [u8; Self::HTTP_BYTES] {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let of = |names: &[&'static str], index: u64| {
            let index = usize::try_from(index).unwrap_or_default();
            names.get(index).copied().unwrap_or_default()
        };
        let (year, month, day) = self.calendar();
        let seconds = self.0 / 1000 % 86_400;
        let text = format!(
            "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            of(&DAYS, self.0 / DAY_MS % 7),
            of(&MONTHS, month - 1),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        // Longer only after the year 9999.
        text.as_bytes()
            .first_chunk()
            .copied()
            .unwrap_or([b' '; Self::HTTP_BYTES])
    }

    /// Year, month and day.
    fn calendar(self) -> (u64, u64, u64) {
        // Years start in March here, so that the leap day is the last one.
        let days = self.0 / DAY_MS + DAYS_TO_1970;
        let day_of_era = days % ERA_DAYS;
        let leaps = day_of_era / 1_460 + day_of_era / (ERA_DAYS - 1);
        let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
        let leap_days = year_of_era / 4 - year_of_era / 100;
        let day_of_year = day_of_era - (365 * year_of_era + leap_days);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = year_of_era + days / ERA_DAYS * 400 + u64::from(month <= 2);
        (year, month, day)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.calendar();
        let ms = self.0 % DAY_MS;
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            ms % 1000
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time in UTC"))
    }
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let year_of_era = year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year / 400 * ERA_DAYS + day_of_era - DAYS_TO_1970
}

/// Exactly `count` decimal digits.
fn digits(text: &str, count: usize) -> Option<u64> {
    let whole = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| text.parse().ok()).flatten()
}

/// The first three digits of a fraction.
fn millis(fraction: &str) -> Option<u64> {
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(*b"00").take(3);
    Some(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn known_times_have_their_known_text() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_785_196_800_000, "2026-07-28T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ms)));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in 0..ERA_DAYS {
            let time = Timestamp(day * DAY_MS + 1);
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
    }

    #[test]
    fn fractions_are_cut_to_milliseconds() {
        let whole = Timestamp::parse("2026-07-28T00:00:00Z").unwrap();
        for (text, ms) in [(".5Z", 500), (".12Z", 120), (".123999Z", 123)] {
            let text = format!("2026-07-28T00:00:00{text}");
            assert_eq!(
                Timestamp::parse(&text).unwrap().unix_ms(),
                whole.unix_ms() + ms
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-07-28",
            "2026-07-28T00:00:00",
            "2026-07-28T00:00:00+01:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-07-28T24:00:00Z",
            "2026-07-28T00:00:00.Z",
            "2026-7-28T00:00:00Z",
            "1969-12-31T00:00:00Z",
            "2026-07-28T00:00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn it_travels_as_json_text() {
        let time = Timestamp(1_785_196_800_123);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2026-07-28T00:00:00.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
    }
}
