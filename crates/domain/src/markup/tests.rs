//! Formatted texts.
