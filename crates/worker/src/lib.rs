//! A worker: a stateless process that advances runs.
//!
//! One *incarnation* holds a lock and a lease, takes jobs from the queue as an apalis worker, and advances each run by
//! one step: load, [`piton_core::next`], perform, commit. When its lease is lost it drops everything, writes nothing
//! more under that name, and begins anew under another.

mod cache;
mod deps;
mod lease;
mod overrun;
mod pace;
mod perform;
mod retention;
mod step;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::{ParallelizeExt, WorkerBuilder, WorkerError};
use futures::FutureExt;
use futures::future::BoxFuture;
use piton_core::WorkerId;
use piton_queue::{Job, Queue, QueueOptions};
use piton_store::Lane;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use deps::{Deps, Model, Tools};
pub use pace::Paces;

use cache::Caches;
use lease::Lease;
use overrun::Polls;
use pace::Pacer;
use retention::Retention;
use step::Advance;
use watch::Watch;

/// Between two looks at whether the runs are on their way to another database.
const LOOK: Duration = Duration::from_secs(1);

/// What a worker is told.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The id of the first incarnation, used by no other worker ever; that of a later one is this with its number.
    pub name: WorkerId,
    /// Which runs it takes. One for runs that go apart takes a single one and ends with it.
    pub lane: Lane,
    /// Steps at once.
    pub concurrency: u32,
    /// How long the others wait before they take a worker that does not renew for dead.
    pub lease_ms: u64,
    /// The hard limit of one step.
    pub step_timeout_ms: u64,
    /// How long steps under way may take to end once the worker is asked to stop.
    pub shutdown_ms: u64,
    /// The same when there is no time for that.
    pub hurried_shutdown_ms: u64,
    pub host: String,
    pub version: String,
    pub paces: Paces,
    /// How long runs are kept after they were over; `None`: for good.
    pub finished_kept: Option<Duration>,
}

/// Why an incarnation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    LeaseLost,
    /// The runs are on their way to another database.
    Leaving,
    /// Asked to finish its steps and take nothing new.
    Drained,
}

/// Why a worker cannot run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the worker's lock cannot be taken in {dir}: {source}")]
    Lock { dir: String, source: std::io::Error },
    #[error("the queue gave up: {0}")]
    Queue(String),
}

/// Advances runs until `stop`, then lets steps under way end or hands them back; in less time once `hurry`.
///
/// # Errors
/// [`Error`] when there is no way to begin. Trouble with the database is waited out.
pub async fn run(
    deps: Deps,
    options: WorkerOptions,
    stop: CancellationToken,
    hurry: CancellationToken,
) -> Result<(), Error> {
    let caches = Arc::new(Caches::default());
    let pacer = Pacer::new(options.paces.clone(), Arc::clone(&deps.store), deps.clock.clone());
    // One that goes apart is there for a single run.
    let finished_kept = options.finished_kept.filter(|_| options.lane == Lane::Common);
    let retention = finished_kept.map(|kept| Retention {
        store: Arc::clone(&deps.store),
        clock: deps.clock.clone(),
        kept,
    });
    let _retaining = retention.map(|retention| AbortOnDropHandle::new(tokio::spawn(retention.run())));
    let mut worker = options.name.clone();
    for number in 2_u64.. {
        if !stays(&deps, &stop).await {
            break;
        }
        match incarnation(&deps, &options, &worker, (&caches, &pacer), &stop, &hurry).await? {
            End::Stopped | End::Drained => break,
            End::LeaseLost => tracing::warn!("the lease was lost; beginning anew under another name"),
            End::Leaving => {
                tracing::info!("the runs are being moved to another database: all are handed back")
            }
        }
        worker = WorkerId::new(format!("{}.{number}", options.name));
    }
    Ok(())
}

/// Waits for as long as the runs are on their way to another database, which may be for good. `false` when the worker is
/// asked to stop meanwhile.
async fn stays(deps: &Deps, stop: &CancellationToken) -> bool {
    while matches!(deps.store.is_leaving().await, Ok(true)) {
        tokio::select! {
            biased;
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    true
}

/// Returns when the runs are on their way to another database.
async fn leaving(deps: &Deps) {
    while !matches!(deps.store.is_leaving().await, Ok(true)) {
        tokio::time::sleep(LOOK).await;
    }
}

async fn incarnation(
    deps: &Deps,
    options: &WorkerOptions,
    worker: &WorkerId,
    (caches, pacer): (&Arc<Caches>, &Arc<Pacer>),
    stop: &CancellationToken,
    hurry: &CancellationToken,
) -> Result<End, Error> {
    let Some(lease) = Lease::take(deps, options, worker, stop).await? else { return Ok(End::Stopped) };
    tracing::info!(%worker, concurrency = options.concurrency, lease_ms = options.lease_ms, "the worker is ready");

    // Claiming ends at once when the worker is asked to stop; what is under way gets its time.
    let claiming = CancellationToken::new();
    let queue = Queue::start(
        Arc::clone(&deps.store),
        QueueOptions {
            worker: worker.clone(),
            lane: options.lane,
            concurrency: options.concurrency as usize,
            open: lease.open(),
            stop: claiming.clone(),
        },
    );
    let advance = Arc::new(Advance {
        store: Arc::clone(&deps.store),
        model: Arc::clone(&deps.model),
        tools: Arc::clone(&deps.tools),
        clock: deps.clock.clone(),
        worker: worker.clone(),
        caches: Arc::clone(caches),
        pacer: Arc::clone(pacer),
        slots: lease.slots(),
        watch: Watch::start(Arc::clone(&deps.store), lease.lost()),
        stopping: claiming.clone(),
        drop_calls: CancellationToken::new(),
        lost: lease.lost(),
        step_timeout: Duration::from_millis(options.step_timeout_ms),
        polls: Polls::watch(Duration::from_millis(options.step_timeout_ms), lease.lost()),
        under_way: AtomicUsize::new(0),
    });
    let drop_calls = advance.drop_calls.clone();
    let working = apalis_worker(queue, advance, deps.steps.clone());
    // Where its steps are: each that ends wakes it.
    let working = AbortOnDropHandle::new(deps.steps.spawn(working));

    let lost = lease.lost();
    let left = CancellationToken::new();
    let drained = lease.drained();
    let ending = async {
        let end = tokio::select! {
            biased;
            () = stop.cancelled() => End::Stopped,
            () = lost.cancelled() => End::LeaseLost,
            () = leaving(deps) => End::Leaving,
            () = drained.cancelled() => End::Drained,
        };
        claiming.cancel();
        if end == End::Leaving {
            left.cancel();
        }
        if end == End::Drained {
            // Each step ends by its own limit.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = lost.cancelled() => {}
                () = leaving(deps) => {}
            }
        }
        if end != End::LeaseLost {
            let patience = Duration::from_millis(options.shutdown_ms);
            let hurried = async {
                hurry.cancelled().await;
                tokio::time::sleep(Duration::from_millis(options.hurried_shutdown_ms)).await;
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep(patience) => {}
                () = hurried => {}
                () = lost.cancelled() => {}
            }
            drop_calls.cancel();
        }
        // Past this, only an at_most_once call whose own limit has not passed is still awaited.
        std::future::pending::<()>().await;
    };
    let ran = tokio::select! {
        biased;
        ran = working => match ran {
            Ok(ran) => ran.map_err(|error| Error::Queue(error.to_string())),
            Err(error) => Err(Error::Queue(error.to_string())),
        },
        () = ending => Ok(()),
    };
    let was_lost = lost.is_cancelled();
    let was_drained = drained.is_cancelled();
    lease.give_up().await;
    ran?;
    Ok(match () {
        () if stop.is_cancelled() => End::Stopped,
        // Whoever was drained does not begin anew.
        () if was_drained => End::Drained,
        () if was_lost => End::LeaseLost,
        () if left.is_cancelled() => End::Leaving,
        () => End::Stopped,
    })
}

/// An ordinary apalis worker over the queue: each job is a task of its own, and a panic ends only that one.
fn apalis_worker(
    queue: Queue,
    advance: Arc<Advance>,
    steps: Handle,
) -> BoxFuture<'static, Result<(), WorkerError>> {
    WorkerBuilder::new(advance.worker.as_str())
        .backend(queue)
        .parallelize(move |step| steps.spawn(step))
        .catch_panic()
        .build(move |job: Job| {
            let advance = Arc::clone(&advance);
            async move { advance.job(job).await }
        })
        .run()
        .boxed()
}
