//! Parsing a rule.

use cel::Program;

use super::check::DEPTH_LIMIT;
use super::invalid::InvalidRule;

/// The parser's stack, in bytes of address space; only used pages take memory. A debug build uses up to 12 MiB.
const PARSER_STACK: usize = 64 << 20;

/// Compiles on a separate stack: the parser recurses through some ten grammar rules for each level of nesting, up to
/// 96 levels, which needs more stack than a thread has.
pub(super) fn compile(source: &str) -> Result<Program, InvalidRule> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("compile-rule".to_owned())
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || Program::compile(source).map_err(|errors| syntax_error(source, &errors)))
            .map_err(|error| InvalidRule::NotCompiled { reason: error.to_string() })?
            .join()
            .unwrap_or_else(|_| Err(InvalidRule::NotCompiled { reason: "the parser crashed".to_owned() }))
    })
}

fn syntax_error(source: &str, errors: &cel::ParseErrors) -> InvalidRule {
    let (line, column, message) = errors.errors.first().map_or((1, 1, String::new()), |error| {
        let one_based = |n: isize| usize::try_from(n).unwrap_or(1).max(1);
        (one_based(error.pos.0), one_based(error.pos.1), error.msg.clone())
    });
    let message = if source.trim().is_empty() {
        "the rule is empty; leave eligibility out to select every customer".to_owned()
    } else if message.contains("recursion") || message.contains("OtherError") {
        format!("it is nested too deeply (at most {DEPTH_LIMIT} levels)")
    } else {
        message.trim_start_matches("Syntax error: ").to_owned()
    };
    InvalidRule::Syntax { line, column, message }
}
