//! A PostgreSQL server of one's own, from the system's packages: its data lies in a throw-away folder, and it listens on a
//! socket there.
//!
//! Making a data folder takes two seconds, copying one a tenth of that. So the first test on a machine makes one, and all
//! copy it. PostgreSQL refuses to run as root: there it runs as the user `postgres`, who comes with its package.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::world::Port;

/// Where packages put the programs, beside the search path.
const PACKAGES: &str = "/usr/lib/postgresql";
const HOW_TO_GET: &str = "these tests need PostgreSQL's server: `apt-get install postgresql` (nothing has to be set up or started)";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// What a server for tests does not need. Losing power is not tried here, so nothing waits for the disk.
const SETTINGS: &str = "listen_addresses = ''\nfsync = off\nshared_buffers = 16MB\nmax_wal_size = 64MB\nmin_wal_size = 32MB\n\
                        wal_init_zero = off\nmax_connections = 60\nautovacuum = off\nlogging_collector = off\n";

/// Ends with its folder when dropped.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    server: Option<Child>,
    /// Where it listens beside its socket.
    port: Option<Port>,
}

impl PostgresServer {
    /// # Panics
    /// When there is no PostgreSQL here, or it does not start.
    pub fn start() -> Self {
        Self::start_on(None)
    }

    /// One that is also spoken to over TLS, with a certificate for `localhost` by an authority of its own.
    ///
    /// # Panics
    /// When there is no PostgreSQL or no openssl here, or it does not start.
    pub fn start_with_tls() -> Self {
        Self::start_on(Some(Port::lease()))
    }

    fn start_on(port: Option<Port>) -> Self {
        let programs = programs().expect(HOW_TO_GET);
        let folder = tempfile::Builder::new().prefix("piton-pg-").tempdir().expect("a folder");
        let data = folder.path().join("data");
        copy(&template(&programs), &data).expect("the template can be copied");
        if let Some(port) = &port {
            certify(folder.path());
            let conf = data.join("postgresql.conf");
            let settings = std::fs::read_to_string(&conf).expect("its settings");
            let (port, folder) = (port.number, folder.path().display());
            let tls = format!(
                "listen_addresses = 'localhost'\nport = {port}\nssl = on\nssl_cert_file = '{folder}/server.crt'\n\
                 ssl_key_file = '{folder}/server.key'\n"
            );
            std::fs::write(&conf, settings + &tls).expect("its settings");
        }
        give_away(folder.path()).expect("the folder can be given to the server's user");
        let mut this = Self { folder, programs, server: None, port };
        this.begin();
        this
    }

    /// Starts the server on its data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn begin(&mut self) {
        let log = File::create(self.folder.path().join("log")).expect("a log");
        let mut server = as_its_user(&self.programs.join("postgres"));
        server.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        self.server =
            Some(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a server"));
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(self.folder.path()).stdin(Stdio::null());
        if let Some(port) = &self.port {
            ready.arg("-p").arg(port.number.to_string());
        }
        let mut waited = Duration::ZERO;
        while !ready.status().expect("an answer").success() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(waited < READY_WITHIN, "PostgreSQL is not ready: {}", log());
            waited += pause();
        }
    }

    /// Its processes are gone at once, as with a loss of power.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // The postmaster takes this as: all of you, at once.
            let pid = rustix::process::Pid::from_child(&server);
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            let _ended = server.wait();
        }
    }

    /// The names of its databases.
    ///
    /// # Panics
    /// When it does not say.
    pub fn databases(&self) -> Vec<String> {
        let told = self.shell().args(["-A", "-t", "-c", "SELECT datname FROM pg_database"]).output();
        let told = told.expect("a shell");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stdout).lines().map(str::to_owned).collect()
    }

    /// An SQL shell on it.
    pub(crate) fn shell(&self) -> Command {
        let mut shell = Command::new(self.programs.join("psql"));
        shell.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]).arg(self.folder.path());
        shell
    }

    /// A way to the database that every server has.
    pub fn url(&self) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}/postgres")
    }
}

impl PostgresServer {
    /// A way to its database over the network, with these parameters.
    ///
    /// # Panics
    /// When it was not started with TLS.
    pub fn tls_url(&self, host: &str, parameters: &str) -> String {
        let port = self.port.as_ref().expect("it listens").number;
        format!("postgres://postgres@{host}:{port}/postgres?{parameters}")
    }

    /// The certificate of the authority that issued the server's.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }
}

/// Makes an authority, and a key and a certificate for `localhost`, by openssl.
fn certify(folder: &Path) {
    std::fs::write(folder.join("san"), "subjectAltName = DNS:localhost\n").expect("a file");
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).current_dir(folder).output();
        let made = made.expect("this test needs openssl: `apt-get install openssl`");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let own = ["req", "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"];
    openssl(&[&own[..], &key].concat());
    let request = ["req", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"];
    openssl(&[&request[..], &key].concat());
    let issue = ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&issue[..], &["-days", "2", "-extfile", "san", "-out", "server.crt"]].concat());
    std::fs::set_permissions(folder.join("server.key"), Permissions::from_mode(0o600)).expect("a mode");
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "starting a server is waited for before any test begins")]
fn pause() -> Duration {
    let pause = Duration::from_millis(20);
    std::thread::sleep(pause);
    pause
}

fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packages = std::fs::read_dir(PACKAGES).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = packages.map(|package| package.path().join("bin")).collect();
    folders.sort();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

/// A data folder to be copied, made once for all tests.
fn template(programs: &Path) -> PathBuf {
    let whose = if rustix::process::getuid().is_root() { "system".to_owned() } else { whoami() };
    let home = std::env::temp_dir().join(format!("piton-pg-template-{whose}"));
    std::fs::create_dir_all(&home).expect("a folder for the template");
    let lock = File::create(home.join("lock")).expect("a lock");
    lock.lock().expect("the lock");
    let version = programs.display().to_string().replace('/', "_");
    let made = home.join(version);
    if made.exists() {
        return made;
    }
    let making = home.join("making");
    let _none = std::fs::remove_dir_all(&making);
    std::fs::create_dir(&making).expect("a folder");
    give_away(&making).expect("the folder can be given to the server's user");
    let data = making.join("data");
    let output = as_its_user(&programs.join("initdb"))
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .output()
        .expect("initdb runs");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    let conf = data.join("postgresql.conf");
    let settings = std::fs::read_to_string(&conf).expect("its settings") + SETTINGS;
    std::fs::write(&conf, settings).expect("its settings");
    std::fs::rename(&data, &made).expect("the template is there");
    made
}

fn whoami() -> String {
    rustix::process::getuid().as_raw().to_string()
}

/// A command as the user that PostgreSQL runs as.
fn as_its_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/");
    if let Some((user, group)) = its_user() {
        command.uid(user).gid(group);
    }
    command
}

/// `None`: whoever runs the tests.
fn its_user() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("the users");
    let entry = users.lines().find(|line| line.starts_with("postgres:")).expect(HOW_TO_GET);
    let mut ids = entry.split(':').skip(2).map(|id| id.parse().expect("an id"));
    Some((ids.next().expect("a user's id"), ids.next().expect("a group's id")))
}

fn give_away(folder: &Path) -> io::Result<()> {
    let Some((user, group)) = its_user() else { return Ok(()) };
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            give_away(&entry.path())?;
        } else {
            chown(entry.path(), Some(user), Some(group))?;
        }
    }
    chown(folder, Some(user), Some(group))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            std::fs::copy(from, to)?;
        }
    }
    Ok(())
}
