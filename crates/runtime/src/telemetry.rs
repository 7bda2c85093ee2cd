//! Log lines: JSON on Lambda, with the same names everywhere.
//!
//! Identifiers are fields with dotted names (`offer.id`, `push.number`, `customer.id`), numbers carry their unit
//! (`duration_ms`), a failure is logged once, at the boundary, and no address, number or name ever appears.

/// Begins logging, in the format and at the level that Lambda's logging configuration asks for.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}
