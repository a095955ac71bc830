//! Output: lines and Markdown tables on standard output, and the order statistics they show.
//!
//! Owns the only place that prints. Does not know what the figures mean.

use std::io::Write as _;

/// Prints a line. A closed pipe ends nothing: the processes must still be ended in order.
pub(crate) fn line(text: &str) {
    let _closed_pipe = writeln!(std::io::stdout().lock(), "{text}");
}

/// A Markdown table whose columns line up in a terminal as well.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(ToString::to_string).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn print(&self) {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<String> = cells
                .map(|(column, (cell, &width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            line(&format!("| {} |", cells.join(" | ")));
            if number == 0 {
                line(&rule(&widths));
            }
        }
    }
}

/// The line under the head: the first column to the left, figures to the right.
fn rule(widths: &[usize]) -> String {
    let cells = widths.iter().enumerate();
    let cells: Vec<String> = cells
        .map(|(column, &width)| match column {
            0 => "-".repeat(width),
            _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
        })
        .collect();
    format!("| {} |", cells.join(" | "))
}

/// The value at a fraction of a sample, by nearest rank. `None` for an empty sample.
pub(crate) fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank: the sample is far smaller than 2^52 and the fraction lies in 0..=1"
    )]
    let rank = (last as f64 * fraction).round() as usize;
    sorted.get(rank).copied()
}

/// The median, or NaN for an empty sample, which prints as what it is.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5).unwrap_or(f64::NAN)
}
