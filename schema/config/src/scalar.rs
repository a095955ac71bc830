//! Typed scalars: durations, sizes, rates, addresses, URLs, patterns and secrets.
//!
//! Each is checked once, where it enters, and trusted afterwards. Every type names itself in the
//! schema with the keyword [`KIND_KEYWORD`](crate::KIND_KEYWORD), which is how the compiler's
//! passes know what a leaf of the tree stands for without a typed walk.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a value of its type. The message never repeats the text: it may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalarError(pub Cow<'static, str>);

impl fmt::Display for ScalarError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn error<T>(text: impl Into<Cow<'static, str>>) -> Result<T, ScalarError> {
    Err(ScalarError(text.into()))
}

/// Gives a scalar its serde form (text) and its schema (text with a kind and a pattern).
macro_rules! text_scalar {
    ($type:ident, $kind:literal, $pattern:literal, $examples:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "x-mcpc-kind": $kind,
                    "pattern": $pattern,
                    "examples": $examples,
                })
            }
        }
    };
}

/// A time span with its unit: `200ms`, `2s`, `5m`, `1h`. Invariant: at most 365 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    ms: u64,
}

impl Duration {
    const MS_MAX: u64 = 365 * 24 * 3_600_000;

    /// A span of this many milliseconds, cut to the largest that is allowed.
    pub const fn from_ms(ms: u64) -> Self {
        Self {
            ms: if ms > Self::MS_MAX { Self::MS_MAX } else { ms },
        }
    }

    /// The span in milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// Reads a number and its unit.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        const UNITS: [(&str, u64); 5] = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
        ];
        let (number, unit) = split_number(text)?;
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return error("a duration needs a unit: `ms`, `s`, `m`, `h` or `d`");
        };
        match number.checked_mul(*factor) {
            Some(ms) if ms <= Self::MS_MAX => Ok(Self { ms }),
            _ => error("a duration is at most 365d"),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ms {
            ms if ms > 0 && ms % 3_600_000 == 0 => write!(formatter, "{}h", ms / 3_600_000),
            ms if ms > 0 && ms % 60_000 == 0 => write!(formatter, "{}m", ms / 60_000),
            ms if ms > 0 && ms % 1000 == 0 => write!(formatter, "{}s", ms / 1000),
            ms => write!(formatter, "{ms}ms"),
        }
    }
}

text_scalar!(
    Duration,
    "duration",
    r"^[0-9]+(ms|s|m|h|d)$",
    ["200ms", "30s", "5m"]
);

/// A number of bytes with its unit: `512B`, `64KiB`, `4MiB`, `1GiB`. Invariant: at most 1 TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    bytes: u64,
}

impl Size {
    const BYTES_MAX: u64 = 1 << 40;

    /// This many bytes, cut to the largest that is allowed.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self {
            bytes: if bytes > Self::BYTES_MAX {
                Self::BYTES_MAX
            } else {
                bytes
            },
        }
    }

    /// The number of bytes.
    pub const fn as_bytes(self) -> u64 {
        self.bytes
    }

    /// Reads a number and its unit.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        const UNITS: [(&str, u64); 7] = [
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("kB", 1000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
        ];
        let (number, unit) = split_number(text)?;
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return error("a size needs a unit: `B`, `KiB`, `MiB` or `GiB`");
        };
        match number.checked_mul(*factor) {
            Some(bytes) if bytes <= Self::BYTES_MAX => Ok(Self { bytes }),
            _ => error("a size is at most 1024GiB"),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            n if n > 0 && n % (1 << 30) == 0 => write!(formatter, "{}GiB", n >> 30),
            n if n > 0 && n % (1 << 20) == 0 => write!(formatter, "{}MiB", n >> 20),
            n if n > 0 && n % (1 << 10) == 0 => write!(formatter, "{}KiB", n >> 10),
            n => write!(formatter, "{n}B"),
        }
    }
}

text_scalar!(
    Size,
    "size",
    r"^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)$",
    ["64KiB", "4MiB"]
);

/// A number of events per time: `100/m`. Invariant: at least one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    per: char,
}

impl Rate {
    /// Reads a count and a unit of time.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        let Some((count, per)) = text.split_once('/') else {
            return error("a rate is a number per time, for example `100/m`");
        };
        let per = match per {
            "s" => 's',
            "m" => 'm',
            "h" => 'h',
            _ => return error("a rate is per `s`, `m` or `h`"),
        };
        match count.parse::<u64>() {
            Ok(count) if count > 0 && count <= 1_000_000_000 => Ok(Self { count, per }),
            _ => error("the count of a rate is a whole number from 1 to 1000000000"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.count, self.per)
    }
}

text_scalar!(Rate, "rate", r"^[0-9]+/[smh]$", ["100/m", "10/s"]);

/// A share: `20%`. Invariant: 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u8);

impl Percent {
    /// Reads a whole number and the sign.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        match text.strip_suffix('%').map(str::parse::<u8>) {
            Some(Ok(share)) if share <= 100 => Ok(Self(share)),
            _ => error("a share is a whole number from `0%` to `100%`"),
        }
    }

    /// The number: 0 to 100.
    pub const fn as_number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

text_scalar!(Percent, "percent", r"^[0-9]{1,3}%$", ["20%"]);

/// An address and port to listen on. Invariant: parses as a socket address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(SocketAddr);

impl Address {
    /// Reads `IP:port`; `localhost` stands for 127.0.0.1.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        let numeric = match text.strip_prefix("localhost:") {
            Some(port) => Cow::Owned(format!("127.0.0.1:{port}")),
            None => Cow::Borrowed(text),
        };
        match numeric.parse() {
            Ok(address) => Ok(Self(address)),
            Err(_) => error(
                "an address is an IP address and a port, for example `127.0.0.1:8080` or `[::1]:8080`",
            ),
        }
    }

    /// An address from a text that this crate wrote itself.
    pub(crate) fn trusted(text: &str) -> Self {
        Self(
            text.parse()
                .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0))),
        )
    }

    /// The address.
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

text_scalar!(
    Address,
    "address",
    r"^.+:[0-9]{1,5}$",
    ["127.0.0.1:8080", "[::1]:8080"]
);

/// An `http` or `https` URL. Invariant: has a host, no user information and no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Checks scheme, host and port, and refuses what would carry a secret or never be sent.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        let Some(rest) = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
        else {
            return error("a URL starts with `http://` or `https://`");
        };
        if text.len() > 2048 {
            return error("a URL is at most 2048 bytes long");
        }
        if text
            .bytes()
            .any(|byte| byte <= b' ' || byte >= 0x7f || b"\"<>\\^`{|}".contains(&byte))
        {
            return error(
                "a URL has no blanks, control or non-ASCII characters; encode them with `%`",
            );
        }
        if text.contains('#') {
            return error("a server's URL has no fragment (`#`)");
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return error("a URL carries no user name or password; send them in `headers`");
        }
        check_authority(authority)?;
        Ok(Self(text.to_owned()))
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks `host`, `host:port`, `[v6]` and `[v6]:port`.
fn check_authority(authority: &str) -> Result<(), ScalarError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                (host, port.strip_prefix(':'))
            }
            _ => return error("the host of this URL is not a valid IPv6 address"),
        },
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return error("a URL needs a host");
    }
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if !host.bytes().all(is_host) {
        return error("the host of this URL has a character that host names do not have");
    }
    match port.map(str::parse::<u16>) {
        None => Ok(()),
        Some(Ok(port)) if port > 0 => Ok(()),
        Some(_) => error("the port of a URL is a number from 1 to 65535"),
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_scalar!(Url, "url", r"^https?://", ["https://mcp.example.com/mcp"]);

/// A pattern over names: `*` stands for any characters, everything else for itself.
/// Invariant: 1 to 512 bytes, no control characters, at most 8 stars.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(String);

impl Glob {
    /// Checks length, characters and the number of stars.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        if text.is_empty() || text.len() > 512 {
            return error("a pattern has 1 to 512 bytes");
        }
        if text.chars().any(char::is_control) {
            return error("a pattern has no control characters");
        }
        if text.contains("**") {
            return error("one `*` already stands for any characters; write it once");
        }
        if text.matches('*').count() > 8 {
            return error("a pattern has at most 8 stars");
        }
        if text.contains(['?', '[', ']']) && !text.contains("://") {
            return error("only `*` is special in a pattern; names have no `?`, `[` or `]`");
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for one name only.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_scalar!(Glob, "glob", r"^.+$", ["get_*", "search"]);

/// A host name that clients may put into `Host` and `Origin`, without a port.
/// Invariant: letters, digits, dots and hyphens, or an IP address; lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// Checks the characters; the port never takes part in the comparison.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        let name = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if name.is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        if text.is_empty() || text.len() > 253 || !text.bytes().all(is_host) {
            return error("a host is a name or an IP address, without scheme and port");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_scalar!(Host, "host", r"^.+$", ["mcp.example.com"]);

/// The template of a secret, for example `Bearer $<GITHUB_TOKEN>`. The compiler never expands it
/// and no diagnostic repeats it; the data plane resolves it when it prepares a plan.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes any text: the syntax of placeholders is checked by the `expand` pass.
    pub fn parse(text: &str) -> Result<Self, ScalarError> {
        Ok(Self(text.to_owned()))
    }

    /// The template, with its placeholders.
    pub fn template(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "x-mcpc-kind": "secret",
            "examples": ["Bearer $<GITHUB_TOKEN>", "$<file:/run/secrets/key>"],
        })
    }
}

/// Splits `200ms` into 200 and `ms`.
fn split_number(text: &str) -> Result<(u64, &str), ScalarError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let is_unit = unit.bytes().all(|byte| byte.is_ascii_alphabetic());
    // What no number holds is larger than all that is allowed.
    let number = (digits > 0).then(|| number.parse().unwrap_or(u64::MAX));
    match number {
        Some(number) if is_unit => Ok((number, unit)),
        _ => error("a whole number is expected, and its unit directly after it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_reads_every_unit_and_prints_the_largest_that_fits() {
        for (text, ms, printed) in [
            ("200ms", 200, "200ms"),
            ("2s", 2000, "2s"),
            ("60s", 60_000, "1m"),
            ("1d", 86_400_000, "24h"),
        ] {
            let duration = Duration::parse(text).map(|d| (d.as_ms(), d.to_string()));
            assert_eq!(duration, Ok((ms, printed.to_owned())), "{text}");
        }
        for text in [
            "",
            "5",
            "5 s",
            "s",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "366d",
        ] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_configuration_shows_of_itself_can_be_read_again() {
        /// The value, once read from the text, as it is written out.
        fn written<T: for<'de> Deserialize<'de> + Serialize>(text: &str) -> String {
            let value: Result<T, _> = serde_json::from_value(text.into());
            let value = value.and_then(serde_json::to_value);
            value.map_or_else(|error| error.to_string(), |value| value.to_string())
        }
        assert_eq!(written::<Duration>("90s"), "\"90s\"");
        assert_eq!(written::<Size>("2MiB"), "\"2MiB\"");
        assert_eq!(written::<Rate>("100/m"), "\"100/m\"");
        assert_eq!(written::<Percent>("20%"), "\"20%\"");
        assert_eq!(written::<Address>("localhost:8080"), "\"127.0.0.1:8080\"");
        assert_eq!(written::<Url>("http://h/a"), "\"http://h/a\"");
        assert_eq!(written::<Glob>("get_*"), "\"get_*\"");
        assert_eq!(written::<Host>("MCP.test"), "\"mcp.test\"");
        assert_eq!(written::<Secret>("$<A>"), "\"$<A>\"");
        assert_eq!(
            written::<Glob>("a\u{7}"),
            "a pattern has no control characters"
        );
    }

    #[test]
    fn url_refuses_what_would_leak_or_mislead() {
        for text in [
            "http://h",
            "https://h:8443/a?b=c",
            "http://[::1]:1/x",
            "http://127.0.0.1:9000/mcp",
        ] {
            assert!(Url::parse(text).is_ok(), "{text}");
        }
        for text in [
            "ftp://h",
            "http://",
            "http://u:p@h/",
            "http://h/#f",
            "http://h h/",
            "http://h:0/",
            "http://h:x/",
            "http://[::g]/",
            "http://h\\x",
            "http:/h",
            "HTTP://h",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secret_is_not_printed() {
        assert_eq!(
            format!("{:?}", Secret("Bearer abc".to_owned())),
            "Secret(..)"
        );
    }
}
