//! What goes wrong in a world, and how often. Each world draws its own: some see nothing but one kind of fault, some
//! nearly all of them at once.

use piton_testkit::Rng;

/// Chances are in a thousand: of each call where nothing else is said, of each tick below.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    /// A call to the store takes up to `store_slow_ms`, half of it before it is carried out.
    pub(crate) store_slow: u64,
    pub(crate) store_slow_ms: u64,
    /// It fails and nothing was done.
    pub(crate) store_fails: u64,
    /// It was carried out, and fails all the same.
    pub(crate) unacknowledged: u64,
    /// The process is gone before or after any call.
    pub(crate) crash_at_call: u64,
    /// Nobody hears of a write.
    pub(crate) rings_lost: u64,
    /// The model takes up to `model_slow_ms`.
    pub(crate) model_slow: u64,
    pub(crate) model_slow_ms: u64,
    pub(crate) model_fails: u64,
    /// A tool takes up to `tool_slow_ms`.
    pub(crate) tool_slow: u64,
    pub(crate) tool_slow_ms: u64,
    /// It says that it failed, and did nothing.
    pub(crate) tool_fails: u64,
    /// It does not say what came of the call, which took effect, or did not, or takes effect later.
    pub(crate) tool_unknown: u64,
    /// Per tick: a worker is killed from outside.
    pub(crate) crash: u64,
    /// The process stands still before or after any call, for up to `freeze_ms`.
    pub(crate) freeze_at_call: u64,
    /// Per tick: a worker stands still.
    pub(crate) freeze: u64,
    pub(crate) freeze_ms: u64,
    /// Per tick: a worker is asked to stop, and another takes its place.
    pub(crate) deploy: u64,
    /// Per tick: the power goes.
    pub(crate) power: u64,
    /// Per tick: the wall clock is set an hour back or forth.
    pub(crate) clock: u64,
    /// Per tick: a run gets a job that it is not owed.
    pub(crate) job_twice: u64,
    /// Per tick: a job is lost.
    pub(crate) job_lost: u64,
    /// Each time somebody looks at a run: it is paused, resumed or cancelled.
    pub(crate) commands: u64,
    /// Between two looks at a run, at most.
    pub(crate) think_ms: u64,
    /// What a model call takes at most where nothing else is said: half of them longer than a blink.
    pub(crate) model_ms: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub(crate) fn calm() -> Self {
        Self { think_ms: 100, model_ms: 50, ..Self::default() }
    }

    /// Workers stand still, for long and above all at the worst moments; nothing else.
    pub(crate) fn frost(lease_ms: u64) -> Self {
        let freeze_ms = lease_ms * 8;
        Self {
            freeze_at_call: 40,
            freeze_ms,
            tool_slow_ms: 100,
            think_ms: 50,
            model_ms: 30,
            ..Self::default()
        }
    }

    /// About four tenths of all faults, each more or less often.
    pub(crate) fn draw(rng: &mut Rng, lease_ms: u64) -> Self {
        let mut rate = |often: u64| if rng.chance(400) { rng.between(1, often) } else { 0 };
        let rates: Vec<u64> =
            [150, 100, 100, 25, 700, 300, 80, 400, 200, 300, 20, 40, 15, 6, 12, 30, 10, 500, 25]
                .map(&mut rate)
                .into();
        // Up to well beyond a lease: whatever waits for it has to be ready to find the world changed.
        let mut long = || {
            let most = if rng.chance(350) { lease_ms / 3 } else { lease_ms * 4 };
            rng.between(5, most)
        };
        Self {
            store_slow: rates[0],
            store_slow_ms: long(),
            store_fails: rates[1],
            unacknowledged: rates[2],
            crash_at_call: rates[3],
            rings_lost: rates[4],
            model_slow: rates[5],
            model_slow_ms: long(),
            model_fails: rates[6],
            tool_slow: rates[7],
            tool_slow_ms: long(),
            tool_fails: rates[8],
            tool_unknown: rates[9],
            crash: rates[10],
            freeze: rates[11],
            freeze_ms: long(),
            deploy: rates[12],
            power: rates[13],
            clock: rates[14],
            job_twice: rates[15],
            job_lost: rates[16],
            commands: rates[17],
            freeze_at_call: rates[18],
            think_ms: rng.between(20, 400),
            model_ms: rng.between(20, 200),
        }
    }
}
