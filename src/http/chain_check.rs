//! Walks the whole journal and says whether it is in order. That takes minutes on a large site, so
//! it runs on a thread of its own, tells how far it is, and its result stays until the next one or
//! a restart.

use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::web::Data;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::commands::exceptions::Trouble;
use crate::store::{Error, facts};

/// How the check stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Not checked since this server started.
    #[default]
    Never,
    /// It is at work.
    Running {
        /// When it began, seconds since 1970.
        began_at: i64,
        /// Facts found in order so far.
        checked: u64,
        /// Facts of this server when it began.
        total: u64,
    },
    /// Every fact follows from the one before it.
    InOrder {
        /// When it ended, seconds since 1970.
        ended_at: i64,
        /// How many facts there are.
        checked: u64,
    },
    /// The journal was changed, or its file is damaged.
    Broken {
        /// When that was found, seconds since 1970.
        ended_at: i64,
        /// Where.
        detail: String,
    },
    /// It could not be done.
    Failed {
        /// When, seconds since 1970.
        ended_at: i64,
        /// Why.
        detail: String,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct ChainCheck(Mutex<State>);

impl ChainCheck {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Begins a check, unless one is at work; tells whether it did. `total` is the number of facts
    /// there are.
    pub fn begin(context: &Data<Context>, total: u64) -> bool {
        let began_at = context.clock.now_seconds();
        {
            let mut state = context.chain_check.lock();
            if matches!(*state, State::Running { .. }) {
                return false;
            }
            *state = State::Running { began_at, checked: 0, total };
        }
        let shared = context.clone();
        let started = std::thread::Builder::new().name("chain check".to_owned()).spawn(move || {
            let result = shared.store.reader().and_then(|reader| {
                let tell = |checked: u64| {
                    *shared.chain_check.lock() = State::Running { began_at, checked, total: total.max(checked) };
                    true
                };
                facts::verify_chain_telling(&reader, tell)
            });
            let ended_at = shared.clock.now_seconds();
            *shared.chain_check.lock() = match result {
                Ok(checked) => State::InOrder { ended_at, checked },
                // What cannot be read as a fact was damaged or put there by somebody, too.
                Err(Error::Chain(detail) | Error::Corrupt(detail) | Error::Other(detail)) => {
                    shared.exceptions.raise(
                        Trouble::Journal,
                        ended_at,
                        format!("the journal is not in order ({detail}): stop the server and restore a backup"),
                    );
                    State::Broken { ended_at, detail }
                }
                Err(error) => State::Failed { ended_at, detail: error.to_string() },
            };
        });
        if let Err(error) = started {
            *context.chain_check.lock() = State::Failed { ended_at: began_at, detail: error.to_string() };
        }
        true
    }
}
