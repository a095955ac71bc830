//! The text in which metrics are read: that of Prometheus, and `OpenMetrics` for who asks for it.
//!
//! Owns names, labels and numbers as text. What is measured is `metrics`' business, which writes one family
//! after the other; nothing is kept between two pages.

use std::fmt::Write as _;

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that rises and falls.
    Gauge,
    /// A number that only rises, from the start of the process on. Its name ends with `_total`.
    Counter,
    /// How many of something were within each of several bounds.
    Histogram,
}

/// A family of metrics: one name, and what tells its series apart.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What its numbers mean.
    pub kind: Kind,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
}

/// Which text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Prometheus,
    OpenMetrics,
}

impl Form {
    /// The one that a client accepts; the older one, which all read, unless it asks for the other.
    pub(crate) fn of(accept: Option<&[u8]>) -> Self {
        let wanted = b"application/openmetrics-text";
        let accept = accept.unwrap_or_default();
        if accept.windows(wanted.len()).any(|part| part == wanted) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// What the text is called.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page that is being written.
pub(crate) struct Page {
    text: String,
    form: Form,
}

/// A family whose series are being written.
pub(crate) struct Series<'p> {
    page: &'p mut Page,
    family: &'static Family,
}

impl Page {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            text: String::with_capacity(16 * 1024),
            form,
        }
    }

    /// Begins a family. Its series follow, before any other family's.
    pub(crate) fn family(&mut self, family: &'static Family) -> Series<'_> {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        // In OpenMetrics the suffix belongs to the number, not to the family.
        let name = match self.form {
            Form::OpenMetrics => family.name.trim_end_matches("_total"),
            Form::Prometheus => family.name,
        };
        let help = family.help;
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Series { page: self, family }
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // A text in memory takes everything.
        let _cannot_fail = self.text.write_fmt(text);
    }
}

impl Series<'_> {
    /// One number. The labels are in the order of the family; an empty one is as good as none.
    pub(crate) fn number(&mut self, labels: &[&str], value: f64) -> &mut Self {
        self.line("", labels, None, value)
    }

    /// A count.
    pub(crate) fn count(&mut self, labels: &[&str], value: u64) -> &mut Self {
        self.number(labels, as_number(value))
    }

    /// 1 for the case that holds, and 0 for the others.
    pub(crate) fn states(&mut self, labels: &[&str], all: &[&str], holds: &str) -> &mut Self {
        for state in all {
            let labels: Vec<&str> = labels.iter().copied().chain([*state]).collect();
            self.count(&labels, u64::from(*state == holds));
        }
        self
    }

    /// How many were within each bound, not counting those within a lower one, and the sum of all.
    pub(crate) fn histogram(
        &mut self,
        labels: &[&str],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) -> &mut Self {
        let mut within = 0;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(counts) {
            within += count;
            self.line("_bucket", labels, Some(bound), as_number(within));
        }
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, as_number(within))
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<f64>, value: f64) -> &mut Self {
        let name = self.family.name;
        self.page.write(format_args!("{name}{suffix}"));
        let named = self.family.labels.iter().zip(labels);
        let mut open = '{';
        for (label, text) in named.filter(|(_, text)| !text.is_empty()) {
            let text = escaped(text);
            self.page.write(format_args!("{open}{label}=\"{text}\""));
            open = ',';
        }
        if let Some(bound) = bound {
            let bound = if bound.is_finite() {
                bound.to_string()
            } else {
                "+Inf".to_owned()
            };
            self.page.write(format_args!("{open}le=\"{bound}\""));
            open = ',';
        }
        if open == ',' {
            self.page.write(format_args!("}}"));
        }
        self.page.write(format_args!(" {value}\n"));
        self
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
    out
}

/// Counts beyond 2^53 lose their last digits, which nobody will see.
#[expect(
    clippy::cast_precision_loss,
    reason = "the format has no other numbers"
)]
pub(crate) fn as_number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: Family = Family {
        name: "calls_total",
        kind: Kind::Counter,
        help: "Calls.",
        labels: &["server", "replica"],
    };
    const SECONDS: Family = Family {
        name: "call_seconds",
        kind: Kind::Histogram,
        help: "How long.",
        labels: &["server"],
    };

    fn page(form: Form) -> String {
        let mut page = Page::new(form);
        page.family(&CALLS)
            .count(&["a \"b\"\\\n", ""], 7)
            .count(&["", "x"], 0);
        page.family(&SECONDS)
            .histogram(&["a"], &[0.005, 1.0], &[2, 3, 1], 4.5);
        page.finish()
    }

    #[test]
    fn a_page_reads_as_prometheus_wants_it() {
        let expected = "# HELP calls_total Calls.\n# TYPE calls_total counter\n\
            calls_total{server=\"a \\\"b\\\"\\\\\\n\"} 7\ncalls_total{replica=\"x\"} 0\n\
            # HELP call_seconds How long.\n# TYPE call_seconds histogram\n\
            call_seconds_bucket{server=\"a\",le=\"0.005\"} 2\n\
            call_seconds_bucket{server=\"a\",le=\"1\"} 5\n\
            call_seconds_bucket{server=\"a\",le=\"+Inf\"} 6\n\
            call_seconds_sum{server=\"a\"} 4.5\ncall_seconds_count{server=\"a\"} 6\n";
        assert_eq!(page(Form::Prometheus), expected);
    }

    #[test]
    fn open_metrics_names_the_family_without_the_suffix_and_has_an_end() {
        let page = page(Form::OpenMetrics);
        assert!(page.starts_with("# HELP calls Calls.\n# TYPE calls counter\ncalls_total{"));
        assert!(page.ends_with("\n# EOF\n"), "{page}");
    }

    #[test]
    fn who_asks_for_open_metrics_gets_it() {
        let asked = b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        assert_eq!(Form::of(Some(asked)), Form::OpenMetrics);
        assert_eq!(Form::of(Some(b"text/plain")), Form::Prometheus);
        assert_eq!(Form::of(None), Form::Prometheus);
    }
}
