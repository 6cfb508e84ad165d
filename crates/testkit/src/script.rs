//! What a scripted model says: replies by turn, the faults that come before a reply, and gates that hold one back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

/// A call as the model writes it.
#[derive(Debug, Clone)]
pub struct Call {
    /// `None`: one that is unique in the run.
    pub call_id: Option<String>,
    pub name: String,
    /// Raw text, not necessarily JSON.
    pub arguments: String,
}

impl Call {
    pub fn new(name: &str, arguments: &Value) -> Self {
        Self { call_id: None, name: name.to_owned(), arguments: arguments.to_string() }
    }

    pub fn raw(name: &str, arguments: &str) -> Self {
        Self { call_id: None, name: name.to_owned(), arguments: arguments.to_owned() }
    }

    #[must_use]
    pub fn with_id(mut self, call_id: &str) -> Self {
        self.call_id = Some(call_id.to_owned());
        self
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error status in OpenAI's shape, with `Retry-After` in seconds.
    Status { status: u16, retry_after_s: Option<u32> },
    /// No reply, ever.
    Hang,
    /// The head and the first bytes of a reply, then the connection is cut.
    Cut,
    /// 200 with a body that is not JSON.
    InvalidJson,
    /// 200 with JSON that is no reply.
    OtherJson,
    /// The reply, so much later.
    Late(Duration),
}

impl Fault {
    pub const fn status(status: u16) -> Self {
        Self::Status { status, retry_after_s: None }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Words {
    Calls {
        text: Option<String>,
        calls: Vec<Call>,
    },
    Text(String),
    /// A call written as text: it comes back as a call, or as text, as the client chooses.
    CallInText(Call),
    Empty,
}

/// One reply, with what comes before it.
#[derive(Debug, Clone)]
pub struct Say {
    pub(crate) words: Words,
    /// One try each.
    pub(crate) faults: Vec<Fault>,
    pub(crate) always: Option<Fault>,
    pub(crate) gate: Option<Gate>,
    pub(crate) latency: Duration,
    pub(crate) cut_off: bool,
}

impl Say {
    const fn words(words: Words) -> Self {
        Self { words, faults: Vec::new(), always: None, gate: None, latency: Duration::ZERO, cut_off: false }
    }

    pub fn call(name: &str, arguments: Value) -> Self {
        Self::calls(vec![Call::new(name, &arguments)])
    }

    /// Several calls in one reply.
    pub const fn calls(calls: Vec<Call>) -> Self {
        Self::words(Words::Calls { text: None, calls })
    }

    pub fn answer(answer: &str) -> Self {
        Self::call("final_answer", json!({ "answer": answer }))
    }

    pub fn ask(question: &str) -> Self {
        Self::call("ask_human", json!({ "question": question }))
    }

    pub fn text(text: &str) -> Self {
        Self::words(Words::Text(text.to_owned()))
    }

    /// The call as bare JSON in the text.
    pub fn call_in_text(name: &str, arguments: &Value) -> Self {
        Self::words(Words::CallInText(Call::new(name, arguments)))
    }

    pub const fn empty() -> Self {
        Self::words(Words::Empty)
    }

    /// Never a reply, always this.
    pub fn never(fault: Fault) -> Self {
        Self { always: Some(fault), ..Self::empty() }
    }

    /// Text beside the calls.
    #[must_use]
    pub fn with_text(mut self, said: &str) -> Self {
        if let Words::Calls { text, .. } = &mut self.words {
            *text = Some(said.to_owned());
        }
        self
    }

    /// One more try fails so before the reply comes.
    #[must_use]
    pub fn after(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// The reply comes once `gate` is open.
    #[must_use]
    pub fn held_by(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    #[must_use]
    pub const fn taking(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// The reply says that it ended at the token limit.
    #[must_use]
    pub const fn cut_off(mut self) -> Self {
        self.cut_off = true;
        self
    }

    /// How much of a dialogue this reply accounts for once it is carried out: see [`Turn::done`].
    pub(crate) const fn weight(&self) -> usize {
        match &self.words {
            // No client is expected to carry out more than 64 calls of one reply.
            Words::Calls { calls, .. } => {
                if calls.len() > 64 {
                    64
                } else {
                    calls.len()
                }
            }
            Words::Text(_) | Words::CallInText(_) | Words::Empty => 1,
        }
    }
}

/// Where a dialogue stands, read from the request alone: a client that lost its memory gets the same reply.
#[derive(Debug, Clone)]
pub struct Turn {
    pub tag: String,
    /// What follows the colon in `[tag:argument]`.
    pub argument: String,
    pub task: String,
    /// Calls with an output, replies in text, and nudges after an empty reply.
    pub done: usize,
    /// The outputs so far, parsed.
    pub outputs: Vec<Value>,
    pub tools: Vec<String>,
}

type Speaker = Arc<dyn Fn(&Turn) -> Say + Send + Sync>;

/// The replies to one kind of task.
#[derive(Clone)]
pub enum Script {
    Turns(Vec<Say>),
    By(Speaker),
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turns(turns) => f.debug_tuple("Turns").field(turns).finish(),
            Self::By(_) => f.write_str("By(..)"),
        }
    }
}

impl Script {
    /// Must be a function of its argument, or a retry gets another reply than the first try.
    pub fn by(speaker: impl Fn(&Turn) -> Say + Send + Sync + 'static) -> Self {
        Self::By(Arc::new(speaker))
    }

    /// The reply to `turn`; `None` when the script has ended.
    pub(crate) fn say(&self, turn: &Turn) -> Option<Say> {
        match self {
            Self::By(speaker) => Some(speaker(turn)),
            Self::Turns(turns) => {
                let mut accounted = 0;
                turns
                    .iter()
                    .find(|say| {
                        if accounted + say.weight() > turn.done {
                            return true;
                        }
                        accounted += say.weight();
                        false
                    })
                    .cloned()
            }
        }
    }
}

impl From<Vec<Say>> for Script {
    fn from(turns: Vec<Say>) -> Self {
        Self::Turns(turns)
    }
}

impl<const N: usize> From<[Say; N]> for Script {
    fn from(turns: [Say; N]) -> Self {
        Self::Turns(turns.into())
    }
}

/// Holds replies back until a test has done what it wants done meanwhile.
#[derive(Debug, Clone)]
pub struct Gate {
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    pub fn new() -> Self {
        Self { open: watch::Sender::new(false), waiting: watch::Sender::new(0) }
    }

    /// Returns once `requests` of them have come to the gate, however they went on.
    ///
    /// # Panics
    /// When they have not come within the deadline.
    pub async fn reached(&self, requests: usize) {
        let mut waiting = self.waiting.subscribe();
        let reached = waiting.wait_for(|seen| *seen >= requests);
        tokio::time::timeout(crate::deadline(), reached)
            .await
            .unwrap_or_else(|_| panic!("fewer than {requests} requests came to the gate in time"))
            .expect("the gate keeps its sender");
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Returns once the gate is open.
    pub async fn wait(&self) {
        self.waiting.send_modify(|seen| *seen += 1);
        self.open.subscribe().wait_for(|open| *open).await.expect("the gate keeps its sender");
    }
}
