//! Accounts in which something is wrong, and what the doctor says of it.

mod account;
mod domain;
mod ses;
mod sms;

use doctor::State;

use crate::replay::World;

pub(crate) struct Sick {
    pub(crate) check: &'static str,
    pub(crate) state: State,
    /// Part of what was found.
    pub(crate) says: &'static str,
    /// Part of the remedy.
    pub(crate) does: &'static str,
    pub(crate) world: World,
}

const WELL: World = World { answers: &[], parameters: &[], stack: &[], records: &[], health: 0 };

const fn sick(check: &'static str, state: State, says: &'static str, does: &'static str, world: World) -> Sick {
    Sick { check, state, says, does, world }
}

/// One other answer of AWS.
const fn answer(answers: &'static [(&'static str, u16, &'static str)]) -> World {
    World { answers, ..WELL }
}

/// Other parameters of the stack.
const fn parameters(parameters: &'static [(&'static str, &'static str)]) -> World {
    World { parameters, ..WELL }
}

/// Another description of the stack.
const fn stack(stack: &'static [(&'static str, &'static str)]) -> World {
    World { stack, ..WELL }
}

/// Other TXT records.
const fn records(records: &'static [(&'static str, Option<&'static [&'static str]>)]) -> World {
    World { records, ..WELL }
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Sick> {
    [account::SICK, ses::SICK, domain::SICK, sms::SICK].into_iter().flatten()
}
