//! The command behind `cargo xtask simulate`.

fn main() {}
