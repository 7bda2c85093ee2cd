//! A run of one scenario, from its beginning to its end.
