//! A `piton serve` of its own for a check: a free port, an empty folder, no settings from outside.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http;
use crate::shell::{Done, While, cmd, say, spelled, target};

const READY_MS_MAX: u64 = 30_000;
const STOP_MS_MAX: u64 = 10_000;

/// A running server; stopped, and its folder removed, when dropped.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    folder: PathBuf,
    process: Child,
}

impl Served {
    /// Starts target/debug/piton and waits until it says that it is ready.
    pub(crate) fn start(name: &str, args: &[&str], env: &[(&str, String)]) -> Done<Self> {
        let address = free_address()?;
        let folder = target().join("xtask").join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).while_doing("making a folder for the server")?;
        let log = std::fs::File::create(folder.join("serve.log")).while_doing("making the server's log")?;

        let mut serve = Command::new(target().join("debug/piton"));
        serve.args(["serve", "--listen", &address.to_string(), "--store"]);
        serve.arg(format!("sqlite://{}/piton.db", folder.display())).args(args);
        for (key, _) in std::env::vars_os() {
            let key = key.to_string_lossy().into_owned();
            if key.starts_with("PITON_") || key.starts_with("OPENAI_") {
                serve.env_remove(key);
            }
        }
        serve.envs(env.iter().map(|(key, value)| (key, value))).current_dir(&folder).stdin(Stdio::null());
        serve.stdout(log.try_clone().while_doing("sharing the server's log")?).stderr(log);
        say(&spelled(&serve));
        let process = serve.spawn().while_doing(&spelled(&serve))?;
        let mut served = Self { address, folder, process };
        served.wait_until_ready()?;
        Ok(served)
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("serve.log")).unwrap_or_default()
    }

    fn wait_until_ready(&mut self) -> Done {
        let deadline = Instant::now() + Duration::from_millis(READY_MS_MAX);
        while Instant::now() < deadline {
            if http::get(self.address, "/readyz").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(
                    format!("the server ended before it was ready ({status}):\n{}", self.log()).into()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the server was not ready after {READY_MS_MAX} ms:\n{}", self.log()).into())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = cmd(&format!("kill -TERM {}", self.process.id())).status();
        let deadline = Instant::now() + Duration::from_millis(STOP_MS_MAX);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An address on loopback that nobody listens on now.
pub(crate) fn free_address() -> Done<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").while_doing("looking for a free port")?;
    listener.local_addr().while_doing("looking for a free port")
}
