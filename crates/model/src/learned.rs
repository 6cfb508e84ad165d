//! What an endpoint was found not to support, remembered for as long as the client lives.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Api;
use crate::wire::{Dialect, Omitted, Route};

/// Models that are remembered; past it all are forgotten, and learnt again at the price of a refused request each.
const MODELS_MAX: usize = 256;

/// Learnt only from an ask that succeeded, so that a server in trouble teaches nothing.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    has_no_responses: bool,
    omitted: HashMap<(Dialect, String), Omitted>,
}

impl Learned {
    /// How to ask for `model`, from all that is known.
    pub(crate) fn route(&self, api: Api, model: &str) -> Route {
        let state = self.state();
        let dialect = match api {
            Api::Responses => Dialect::Responses,
            Api::Chat => Dialect::Chat,
            Api::Auto if state.has_no_responses => Dialect::Chat,
            Api::Auto => Dialect::Responses,
        };
        let omitted = if state.omitted.is_empty() {
            Omitted::default()
        } else {
            state.omitted.get(&(dialect, model.to_owned())).copied().unwrap_or_default()
        };
        Route { dialect, omitted, fell_back: false }
    }

    /// Keeps what led to a reply.
    pub(crate) fn keep(&self, model: &str, route: Route) {
        if !route.fell_back && route.omitted == Omitted::default() {
            return;
        }
        let mut state = self.state();
        if route.fell_back && !state.has_no_responses {
            state.has_no_responses = true;
            tracing::info!("the model's endpoint has no Responses API: Chat Completions from now on");
        }
        if route.omitted != Omitted::default() {
            if state.omitted.len() >= MODELS_MAX {
                state.omitted.clear();
            }
            state.omitted.insert((route.dialect, model.to_owned()), route.omitted);
        }
    }

    /// Drops the belief that there is no Responses API, once Chat Completions is gone too.
    pub(crate) fn forget_missing(&self) {
        self.state().has_no_responses = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
