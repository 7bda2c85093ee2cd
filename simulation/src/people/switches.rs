//! What operators set without a call of a function: parameters of the stack, and releases.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Rate;
use crate::scenario::Settings;

/// What operators have set. Models read it.
#[derive(Debug)]
pub struct Switches {
    is_sending_enabled: AtomicBool,
    changed: Notify,
    rates: Mutex<Rates>,
    /// How often the stack was deployed since the beginning.
    deployments: AtomicU32,
}

/// The rates of the stack's parameters, per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    pub email: u32,
    pub fallback_email: u32,
    pub sms: u32,
}

impl Switches {
    pub fn new(settings: &Settings) -> Self {
        let &Settings { email_rate, fallback_email_rate, sms_rate, .. } = settings;
        Self {
            is_sending_enabled: AtomicBool::new(true),
            changed: Notify::new(),
            rates: Mutex::new(Rates { email: email_rate, fallback_email: fallback_email_rate, sms: sms_rate }),
            deployments: AtomicU32::new(0),
        }
    }

    /// The parameter `SendingEnabled`: while it is `false`, the mappings of the functions `email` and `sms` are disabled.
    pub fn is_sending_enabled(&self) -> bool {
        self.is_sending_enabled.load(Ordering::Relaxed)
    }

    /// Returns when sending is enabled, at once if it is.
    pub async fn sending_enabled(&self) {
        loop {
            let changed = self.changed.notified();
            if self.is_sending_enabled() {
                return;
            }
            changed.await;
        }
    }

    /// The rates that a process that starts now has.
    pub fn rates(&self) -> Rates {
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the present deployment. Lambda invokes no process that started under an earlier one.
    pub fn deployment(&self) -> u32 {
        self.deployments.load(Ordering::Relaxed)
    }

    /// Disables sending.
    pub fn hold(&self) {
        self.set_sending(false);
    }

    /// Enables sending.
    pub fn resume(&self) {
        self.set_sending(true);
    }

    /// Sets a rate.
    pub fn set_rate(&self, rate: Rate, per_second: u32) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        match rate {
            Rate::Email => rates.email = per_second,
            Rate::FallbackEmail => rates.fallback_email = per_second,
            Rate::Sms => rates.sms = per_second,
        }
        drop(rates);
        self.deploy();
    }

    /// Replaces the processes.
    pub fn deploy(&self) {
        self.deployments.fetch_add(1, Ordering::Relaxed);
    }

    fn set_sending(&self, is_enabled: bool) {
        self.is_sending_enabled.store(is_enabled, Ordering::Relaxed);
        self.deploy();
        self.changed.notify_waiters();
    }
}
