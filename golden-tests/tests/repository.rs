//! The repository's own rules, run over the repository. Each rule lives in `src/rules`, with a test
//! beside it that shows what it finds.

use mcpc_compiler::CODES;
use mcpc_dataplane::FAMILIES;
use mcpc_golden_tests::{
    Expectation, Repository, assert_none, blessing, configuration_reference, error_index,
    metrics_reference, rules,
};

#[test]
fn every_rust_file_says_what_it_owns() {
    assert_none(&rules::missing_headers(Repository::this()));
}

#[test]
fn functions_fit_on_a_screen_and_files_hold_one_concept() {
    assert_none(&rules::too_long(Repository::this()));
}

#[test]
fn no_text_names_private_paths_or_leaves_loose_ends() {
    assert_none(&rules::banned_words(Repository::this()));
}

#[test]
fn no_code_hides_a_failure_or_a_test() {
    assert_none(&rules::banned_calls(Repository::this()));
}

#[test]
fn names_say_what_a_thing_is() {
    assert_none(&rules::vague_names(Repository::this()));
}

#[test]
fn crates_depend_in_one_direction() {
    assert_none(&rules::direction(&rules::metadata()));
}

#[test]
fn imports_of_the_data_plane_get_no_more_tangled() {
    assert_none(&rules::tangled_modules(Repository::this()));
}

#[test]
fn architecture_page_names_what_exists() {
    assert_none(&rules::stale_architecture(Repository::this()));
}

#[test]
fn headers_name_what_exists() {
    assert_none(&rules::stale_headers(Repository::this()));
}

#[test]
fn every_bridge_between_eras_is_shown_by_a_transcript() {
    assert_none(&rules::unshown_bridges(Repository::this()));
}

#[test]
fn every_promise_names_what_checks_it() {
    assert_none(&rules::unchecked_promises(Repository::this()));
}

#[test]
fn what_has_one_place_stays_in_it() {
    assert_none(&rules::border_crossings(Repository::this()));
}

#[test]
fn data_plane_stays_within_its_package_budget() {
    assert_none(&rules::budget(&rules::package_tree()));
}

#[test]
fn every_package_is_under_a_licence_that_is_allowed() {
    let repository = Repository::this();
    let deny = repository.file("deny.toml").map_or("", |file| &file.text);
    assert_none(&rules::unwelcome_licences(&rules::licence_tree(), deny));
}

#[test]
fn every_dependency_has_a_decision() {
    let repository = Repository::this();
    assert_none(&rules::undecided_dependencies(
        &rules::metadata(),
        repository,
    ));
}

#[test]
fn every_decision_has_a_number_of_its_own() {
    assert_none(&rules::misnumbered_decisions(Repository::this()));
}

#[test]
fn every_code_has_a_page_a_case_and_a_use() {
    assert_none(&rules::incomplete_codes(CODES, Repository::this()));
}

#[test]
fn generated_files_are_fresh() {
    let schema = mcpc_config::schema_of_types();
    let generated = [
        ("schema/mcpc.schema.json", format!("{schema:#}\n")),
        (
            "docs/reference/configuration.md",
            configuration_reference(&schema),
        ),
        ("docs/reference/metrics.md", metrics_reference(FAMILIES)),
        ("docs/errors/README.md", error_index(CODES)),
    ];
    let stale = generated.into_iter().filter_map(|(path, text)| {
        Expectation::new(Repository::root().join(path), Some(text)).check(blessing())
    });
    assert_none(&stale.collect::<Vec<_>>());
}
