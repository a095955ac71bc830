//! What a client can be asked, and what a question needs.
//!
//! Owns the mapping between `ClientCapabilities` of both eras, the bits of a session's grant, and
//! the method and params of a question (2025-11-25 Lifecycle §Capability Negotiation).

use bytes::Bytes;

use crate::json::member;
use crate::session::{Asks, Revision};

/// What the gateway declares to legacy upstreams. Their sessions are shared, so it is the most that
/// any client can be asked; each question is checked against the client that it reaches
/// (`docs/decisions/0019-asking-the-client.md`).
pub(crate) const DECLARED: &str =
    r#"{"elicitation":{"form":{},"url":{}},"roots":{},"sampling":{"tools":{}}}"#;

/// What is declared to a process. Roots are missing: a process keeps what it was told for all its
/// callers, and a client's roots would replace the directories that the configuration gave it.
pub(crate) const DECLARED_TO_PROCESSES: &str =
    r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}}}"#;

/// What must be declared for a question; nothing if it is none.
pub(crate) fn needs(method: &[u8], params: Option<&Bytes>) -> Option<Asks> {
    let params: &[u8] = params.map_or(b"{}", Bytes::as_ref);
    match method {
        b"elicitation/create" => {
            let mode = member(params, b"mode");
            let is_url = mode == Some(b"\"url\"");
            Some(if is_url {
                Asks::ELICIT_URL
            } else {
                Asks::ELICIT_FORM
            })
        }
        b"sampling/createMessage" if member(params, b"tools").is_some() => {
            Some(Asks::SAMPLE.and(Asks::SAMPLE_TOOLS))
        }
        b"sampling/createMessage" => Some(Asks::SAMPLE),
        b"roots/list" => Some(Asks::ROOTS),
        _ => None,
    }
}

/// What a client of this revision can be asked that declares these capabilities.
pub(crate) fn of_capabilities(capabilities: &[u8], revision: Option<Revision>) -> Asks {
    let mut asks = Asks::default();
    let has_elicitation = revision.is_none_or(|revision| revision >= Revision::R2025_06);
    let is_latest = revision.is_none_or(|revision| revision >= Revision::R2025_11);
    if let Some(elicitation) = member(capabilities, b"elicitation").filter(|_| has_elicitation) {
        let has_url = is_latest && member(elicitation, b"url").is_some();
        // An empty object means forms, as it did before there were other modes.
        if !has_url || member(elicitation, b"form").is_some() {
            asks = asks.and(Asks::ELICIT_FORM);
        }
        if has_url {
            asks = asks.and(Asks::ELICIT_URL);
        }
    }
    if let Some(sampling) = member(capabilities, b"sampling") {
        asks = asks.and(Asks::SAMPLE);
        if is_latest && member(sampling, b"tools").is_some() {
            asks = asks.and(Asks::SAMPLE_TOOLS);
        }
    }
    if member(capabilities, b"roots").is_some() {
        asks = asks.and(Asks::ROOTS);
    }
    asks
}

/// Appends the `ClientCapabilities` of 2026-07-28 that say this.
pub(crate) fn write_capabilities(out: &mut Vec<u8>, asks: Asks) {
    let elicitation = match (asks.can(Asks::ELICIT_FORM), asks.can(Asks::ELICIT_URL)) {
        (true, true) => "\"elicitation\":{\"form\":{},\"url\":{}}",
        (true, false) => "\"elicitation\":{\"form\":{}}",
        (false, true) => "\"elicitation\":{\"url\":{}}",
        (false, false) => "",
    };
    let extensions = if asks.can(Asks::TASKS) {
        "\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}"
    } else {
        ""
    };
    let roots = if asks.can(Asks::ROOTS) {
        "\"roots\":{}"
    } else {
        ""
    };
    let sampling = match (asks.can(Asks::SAMPLE), asks.can(Asks::SAMPLE_TOOLS)) {
        (true, true) => "\"sampling\":{\"tools\":{}}",
        (true, false) => "\"sampling\":{}",
        (false, _) => "",
    };
    let before = out.len();
    for part in [elicitation, extensions, roots, sampling] {
        if !part.is_empty() {
            out.push(b',');
            out.extend_from_slice(part.as_bytes());
        }
    }
    match out.get_mut(before) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_needs_what_its_kind_is_declared_by() {
        let needs = |method: &str, params: &'static str| {
            needs(
                method.as_bytes(),
                Some(&Bytes::from_static(params.as_bytes())),
            )
        };
        let tools = Asks::SAMPLE.and(Asks::SAMPLE_TOOLS);
        for (method, params, needed) in [
            (
                "elicitation/create",
                r#"{"mode":"url"}"#,
                Some(Asks::ELICIT_URL),
            ),
            (
                "elicitation/create",
                r#"{"mode":"form"}"#,
                Some(Asks::ELICIT_FORM),
            ),
            ("elicitation/create", "{}", Some(Asks::ELICIT_FORM)),
            ("elicitation/create", "garbage", Some(Asks::ELICIT_FORM)),
            ("sampling/createMessage", r#"{"tools":[]}"#, Some(tools)),
            ("sampling/createMessage", "{}", Some(Asks::SAMPLE)),
            ("roots/list", "{}", Some(Asks::ROOTS)),
            ("ping", "{}", None),
            ("elicitation/Create", "{}", None),
        ] {
            assert_eq!(needs(method, params), needed, "{method} {params}");
        }
    }

    #[test]
    fn a_declaration_counts_as_its_revision_means_it() {
        let of = |text: &str, revision| of_capabilities(text.as_bytes(), revision);
        let all = r#"{"elicitation":{"form":{},"url":{}},"roots":{},"sampling":{"tools":{}}}"#;
        let oldest = Asks::ROOTS.and(Asks::SAMPLE);
        let older = oldest.and(Asks::ELICIT_FORM);
        let whole = older.and(Asks::ELICIT_URL).and(Asks::SAMPLE_TOOLS);
        assert_eq!(of(all, None), whole);
        assert_eq!(of(all, Some(Revision::R2025_11)), whole);
        assert_eq!(of(all, Some(Revision::R2025_06)), older);
        assert_eq!(of(all, Some(Revision::R2025_03)), oldest);
        assert_eq!(of(r#"{"elicitation":{}}"#, None), Asks::ELICIT_FORM);
        assert_eq!(of(r#"{"elicitation":{"url":{}}}"#, None), Asks::ELICIT_URL);
        for nothing in ["{}", "[]", "", r#"{"tools":{"sampling":{}}}"#] {
            assert_eq!(of(nothing, None), Asks::default(), "{nothing}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bits = [
            Asks::ELICIT_FORM,
            Asks::ELICIT_URL,
            Asks::SAMPLE,
            Asks::ROOTS,
            Asks::SAMPLE.and(Asks::SAMPLE_TOOLS),
        ];
        for chosen in 0..1_u32 << bits.len() {
            let mut asks = Asks::default();
            for (index, bit) in bits.into_iter().enumerate() {
                if chosen & (1 << index) != 0 {
                    asks = asks.and(bit);
                }
            }
            let mut text = Vec::new();
            write_capabilities(&mut text, asks);
            assert_eq!(of_capabilities(&text, None), asks, "{chosen}");
        }
    }
}
