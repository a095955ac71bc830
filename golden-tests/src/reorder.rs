//! The same configuration in another order: top-level keys and servers turned around, as text.
//!
//! What holds an anchor stays in front, because an alias must follow it.

/// The text with its top-level keys and its servers in reverse; `None` if it is not in block style.
pub(crate) fn reordered(text: &str) -> Option<String> {
    let blocks = blocks(text, 0)?;
    let (mut anchored, mut free): (Vec<String>, Vec<String>) =
        blocks.into_iter().partition(|block| block.contains('&'));
    free.reverse();
    for block in &mut free {
        if let Some(servers) = block.strip_prefix("servers:\n") {
            *block = format!("servers:\n{}", reversed_servers(servers)?);
        }
    }
    anchored.extend(free);
    Some(anchored.concat())
}

fn reversed_servers(text: &str) -> Option<String> {
    let mut servers = blocks(text, 2)?;
    if !servers.iter().any(|server| server.contains(['*', '&'])) {
        servers.reverse();
    }
    Some(servers.concat())
}

/// The entries of a block map at an indentation, each with the comments above it.
fn blocks(text: &str, indent: usize) -> Option<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut waiting = String::new();
    for line in text.split_inclusive('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let depth = line.len() - line.trim_start_matches(' ').len();
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            waiting.push_str(line);
        } else if depth == indent {
            if !content.starts_with(|c: char| c.is_ascii_alphanumeric()) {
                return None;
            }
            found.push(std::mem::take(&mut waiting) + line);
        } else {
            let current = found.last_mut()?;
            current.push_str(&std::mem::take(&mut waiting));
            current.push_str(line);
        }
    }
    if !text.ends_with('\n') || text.contains('\r') {
        return None;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_servers_turn_around_and_anchors_stay_in_front() {
        let text =
            "# c\nversion: 1\nx-a: &a\n  b: c\nservers:\n  one:\n    url: d\n  # two\n  two: {}\n";
        let expected =
            "x-a: &a\n  b: c\nservers:\n  # two\n  two: {}\n  one:\n    url: d\n# c\nversion: 1\n";
        assert_eq!(reordered(text).as_deref(), Some(expected));
        assert_eq!(reordered("{version: 1}\n"), None);
    }
}
