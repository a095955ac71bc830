//! A line diff for failed expectations: what left, what came, and two lines around.

/// Lines of `expected` that are gone (`-`) and of `actual` that are new (`+`), with context.
pub(crate) fn line_diff(expected: &str, actual: &str) -> String {
    let old: Vec<&str> = expected.lines().collect();
    let new: Vec<&str> = actual.lines().collect();
    let edits = edits(&old, &new);
    let near_change = |index: usize| {
        let window = index.saturating_sub(2)..(index + 3).min(edits.len());
        edits
            .get(window)
            .is_some_and(|near| near.iter().any(|(mark, _)| *mark != ' '))
    };
    let mut out = String::new();
    let mut skipped = false;
    for (index, (mark, line)) in edits.iter().enumerate() {
        if near_change(index) {
            if skipped {
                out.push_str("  ...\n");
            }
            skipped = false;
            out.extend([mark.to_string().as_str(), " ", line, "\n"]);
        } else {
            skipped = true;
        }
    }
    out
}

/// The shortest edit script by the longest common subsequence, quadratic in the changed middle.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(new).take_while(same).count();
    let room = old.len().min(new.len()) - head;
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(room)
        .take_while(same)
        .count();
    let middle_old = old.get(head..old.len() - tail).unwrap_or_default();
    let middle_new = new.get(head..new.len() - tail).unwrap_or_default();

    let mut script: Vec<(char, &str)> = old.iter().take(head).map(|line| (' ', *line)).collect();
    script.extend(middle(middle_old, middle_new));
    script.extend(old.iter().skip(old.len() - tail).map(|line| (' ', *line)));
    script
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    // common[i][j]: the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    let at = |table: &[Vec<u32>], i: usize, j: usize| {
        table
            .get(i)
            .and_then(|row| row.get(j))
            .copied()
            .unwrap_or(0)
    };
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let best = if a == b {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut script = Vec::new();
    loop {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => {
                script.push((' ', *a));
                i += 1;
                j += 1;
            }
            (Some(a), b) if b.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                script.push(('-', *a));
                i += 1;
            }
            (_, Some(b)) => {
                script.push(('+', *b));
                j += 1;
            }
            (Some(_) | None, None) => return script,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_show_with_two_lines_around() {
        let old = "a\nb\nc\nd\ne\nf\ng\n";
        let new = "a\nb\nc\nd\nX\nf\ng\n";
        assert_eq!(line_diff(old, new), "  ...\n  c\n  d\n- e\n+ X\n  f\n  g\n");
        assert_eq!(line_diff(old, old), "");
        assert_eq!(line_diff("", "x\n"), "+ x\n");
        assert_eq!(line_diff("x\ny\n", "y\n"), "- x\n  y\n");
    }
}
