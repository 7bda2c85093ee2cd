//! Languages: which one a customer gets, the fixed texts in each, and how each writes numbers, money and dates.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | a fixed text, or to add a language | `catalogues/`, one file for each language |
//! | which texts there are | [`catalogue`] |
//! | how a customer's locale is matched with the languages of an offer | [`tag`] |
//! | how values are written | [`formats`] |

pub mod catalogue;
pub mod formats;
pub mod tag;

pub use catalogue::{Catalogue, Medium};
pub use fixed_decimal::{Decimal, Sign};
pub use formats::{Currency, DateLength, Formats};
pub use tag::{Direction, Language};
