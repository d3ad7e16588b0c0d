//! What must not compile, with what the compiler says about it.

#[test]
fn a02_a_command_without_tier_or_deadline_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
