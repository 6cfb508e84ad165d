//! `piton migrate`: all runs to another database, while the first is being used.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use piton_store::{Move, Moved, Place, Progress};

use crate::cli::Migrate;
use crate::config::Loaded;
use crate::out;

pub(crate) async fn migrate(loaded: &Loaded, args: &Migrate) -> anyhow::Result<()> {
    let config = &loaded.config.store;
    let place = |url: &str| Place {
        url: url.to_owned(),
        password: config.password.clone(),
        lock_dir: PathBuf::from(&config.lock_dir),
    };
    let from = place(&args.from);
    let Some(to) = &args.to else {
        let went = Move::undo(&from).await?;
        out::line(format!(
            "the runs go on here as they are; whatever happened to them at {went} stays there"
        ));
        return Ok(());
    };
    let mut moving = Move::open(&from, &place(to)).await?;
    let mut teller = Teller::new();
    let Moved { runs, closed, held } = moving.run(|progress| teller.tell(progress)).await?;
    drop(teller);
    out::line(format!(
        "{runs} runs are moved; the source refused launches and commands for {} ms before that",
        closed.as_millis()
    ));
    if held > 0 {
        out::line(format!("{held} of them were still held by workers: they go on as after a worker's death"));
    }
    out::line("start servers and workers with store.url set to the target");
    Ok(())
}

/// Tells of progress: a bar on a terminal, else a line whenever there is something new to say.
struct Teller {
    bar: Option<ProgressBar>,
    /// Of runs copied, the hundredths that were told of.
    hundredths: Option<u64>,
}

impl Teller {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos} of {len} runs, {eta} left")
            {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, hundredths: None }
    }

    fn tell(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            match progress {
                Progress::Copying { done, of } => {
                    bar.set_length(of);
                    bar.set_position(done);
                    bar.set_message("copying");
                }
                Progress::CatchingUp { again } => bar.set_message(format!("copying {again} that changed")),
                Progress::Draining { held } => bar.set_message(format!("waiting for {held} held by workers")),
                Progress::Closed => bar.set_message("switching"),
                Progress::Done => bar.finish_and_clear(),
            }
            return;
        }
        match progress {
            Progress::Copying { done, of } => {
                let hundredths = (done * 100).checked_div(of).unwrap_or(100);
                if self.hundredths.replace(hundredths) != Some(hundredths) {
                    out::line(format!("{done} of {of} runs copied"));
                }
            }
            Progress::CatchingUp { again } => {
                out::line(format!("{again} runs that changed meanwhile copied again"))
            }
            Progress::Draining { held } => out::line(format!("workers still hold {held} runs")),
            Progress::Closed => out::line("the source takes no launches and commands now"),
            Progress::Done => out::line("the source is given up"),
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
