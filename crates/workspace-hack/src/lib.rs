//! Nothing. This crate exists for its dependencies: see `.config/hakari.toml`.
