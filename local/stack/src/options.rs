//! How a stack is set up.

use crate::emulator::Emulator;

/// Which stack to start, and how it is set up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// `None`: the one that is up, or else MiniStack.
    pub(crate) stack: Option<Emulator>,
    /// Where e-mail is delivered. `None`: the inbox.
    pub(crate) smtp: Option<String>,
    /// Parameters of the template.
    pub(crate) set: Vec<(String, String)>,
}

impl From<commands::Options> for Options {
    fn from(commands::Options { stack, smtp, set }: commands::Options) -> Self {
        let stack = stack.map(|stack| stack.parse().expect("it was parsed with the arguments"));
        Self { stack, smtp, set }
    }
}
