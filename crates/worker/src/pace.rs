//! How fast model endpoints are called: the limits of the configuration, kept to by all processes of a database together.
//!
//! Whoever asks while another's question is under way is asked for with the next one: however many steps wait, one
//! question of the store is under way for each model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use piton_core::Usage;
use piton_store::{Clock, Error, HOLD_OFF_MAX_MS, PACE_AHEAD_MS, Pace, PerName, Store};
use tokio::sync::oneshot;

/// A wait that is told to others is no shorter: each look costs.
const HOLD_OFF_MIN_MS: i64 = 250;

/// How fast the models of one endpoint may be called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paces {
    /// What the endpoint is known by, the same in every process.
    pub endpoint: String,
    /// Requests a minute, by model.
    pub requests: PerName,
    /// Tokens a minute, by model.
    pub tokens: PerName,
}

impl Paces {
    fn of(&self, model: &str) -> Option<Pace> {
        let pace = Pace { requests: self.requests.of(model), tokens: self.tokens.of(model) };
        (pace != Pace::default()).then_some(pace)
    }
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In so long.
    In(Duration),
    /// Not soon: nobody is to ask before, UTC milliseconds.
    NotBefore(i64),
}

type Asker = oneshot::Sender<Result<Place, Error>>;

/// Gets places for a worker's calls.
#[derive(Debug)]
pub(crate) struct Pacer {
    paces: Paces,
    store: Arc<dyn Store>,
    clock: Clock,
    /// By model; those who ask while a question is under way.
    asking: Mutex<BTreeMap<String, Vec<Asker>>>,
}

impl Pacer {
    pub(crate) fn new(paces: Paces, store: Arc<dyn Store>, clock: Clock) -> Arc<Self> {
        Arc::new(Self { paces, store, clock, asking: Mutex::default() })
    }

    /// A place for a call of `model`, at once where nothing limits it.
    pub(crate) async fn place(self: &Arc<Self>, model: &str) -> Result<Place, Error> {
        let Some(pace) = self.paces.of(model) else { return Ok(Place::In(Duration::ZERO)) };
        let (asker, answer) = oneshot::channel();
        let is_first = {
            let mut asking = self.asking();
            match asking.get_mut(model) {
                Some(askers) => {
                    askers.push(asker);
                    false
                }
                None => {
                    asking.insert(model.to_owned(), vec![asker]);
                    true
                }
            }
        };
        if is_first {
            // On its own: a step that is dropped leaves the others with an answer.
            tokio::spawn(Arc::clone(self).ask(model.to_owned(), pace));
        }
        answer.await.unwrap_or_else(|_| Err(Error::Unavailable("the worker is shutting down".to_owned())))
    }

    /// Asks the store until nobody asks any more.
    async fn ask(self: Arc<Self>, model: String, pace: Pace) {
        loop {
            let askers = {
                let mut asking = self.asking();
                let waiting = asking.get_mut(&model).map(std::mem::take).unwrap_or_default();
                if waiting.is_empty() {
                    asking.remove(&model);
                    return;
                }
                waiting
            };
            // Who gave up meanwhile needs none.
            let askers: Vec<Asker> = askers.into_iter().filter(|asker| !asker.is_closed()).collect();
            let wanted = u32::try_from(askers.len()).unwrap_or(u32::MAX);
            let taken = self.store.take_places(&self.endpoint(&model), pace, wanted).await;
            let now_ms = self.clock.now_ms();
            let mut places = taken.as_ref().map(|places| places.at_ms.iter()).into_iter().flatten();
            for asker in askers {
                let answer = match (&taken, places.next()) {
                    (Err(error), _) => Err(error.clone()),
                    (Ok(_), Some(at_ms)) => {
                        let wait_ms = u64::try_from(at_ms - now_ms).unwrap_or_default();
                        Ok(Place::In(Duration::from_millis(wait_ms)))
                    }
                    (Ok(taken), None) => {
                        let soon = taken.next_at_ms - PACE_AHEAD_MS;
                        Ok(Place::NotBefore(soon.clamp(now_ms + HOLD_OFF_MIN_MS, now_ms + HOLD_OFF_MAX_MS)))
                    }
                };
                let _ = asker.send(answer);
            }
        }
    }

    /// Counts what a call used: its tokens, and each try beyond the first.
    pub(crate) async fn spent(&self, model: &str, tries: u32, usage: Usage) -> Result<(), Error> {
        let Some(pace) = self.paces.of(model) else { return Ok(()) };
        let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        let tokens = if pace.tokens.is_some() { tokens } else { 0 };
        let requests = if pace.requests.is_some() { tries.saturating_sub(1) } else { 0 };
        if tokens == 0 && requests == 0 {
            return Ok(());
        }
        self.store.spend(&self.endpoint(model), pace, requests, tokens).await
    }

    fn endpoint(&self, model: &str) -> String {
        format!("{} {model}", self.paces.endpoint)
    }

    fn asking(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Asker>>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
