//! A PostgreSQL server of one's own, from the system's packages: its data lies in a throw-away folder, and it listens on a
//! socket there.
//!
//! Making a data folder takes two seconds, copying one a tenth of that. So the first test on a machine makes one, and all
//! copy it. PostgreSQL refuses to run as root: there it runs as the user `postgres`, who comes with its package.

use std::fs::{File, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{descendants, freeze, is_alive, kill};
use crate::world::Port;

/// Where packages put the programs, beside the search path.
const PACKAGES: &str = "/usr/lib/postgresql";
/// Where Debian puts pgbouncer, which is not on everybody's search path.
const POOLER: &str = "/usr/sbin/pgbouncer";
const HOW_TO_GET: &str = "these tests need PostgreSQL's server: `apt-get install postgresql` (nothing has to be set up or started)";
const READY_WITHIN: Duration = Duration::from_secs(30);
/// What a server for tests does not need. Losing power is not tried here, so nothing waits for the disk.
const SETTINGS: &str = "listen_addresses = ''\nfsync = off\nshared_buffers = 16MB\nmax_wal_size = 64MB\nmin_wal_size = 32MB\n\
                        wal_init_zero = off\nmax_connections = 60\nautovacuum = off\nlogging_collector = off\n";

/// What a server has by itself, for tests that measure.
const AS_SHIPPED: &str =
    "fsync = on\nshared_buffers = 128MB\nmax_wal_size = 1GB\nmin_wal_size = 80MB\nwal_init_zero = on\n";

/// Ends with its folder when dropped.
#[derive(Debug)]
pub struct PostgresServer {
    folder: TempDir,
    programs: PathBuf,
    server: Option<Child>,
    /// Where it listens beside its socket.
    listens: Option<Listens>,
}

#[derive(Debug)]
struct Listens {
    address: IpAddr,
    port: Port,
}

impl Listens {
    fn on(address: IpAddr) -> Self {
        Self { address, port: Port::lease() }
    }
}

/// A transaction that is open until this is dropped, and holds what it has locked.
#[derive(Debug)]
pub struct OpenTransaction(Child);

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        // The server ends its transaction once nobody is at the other end.
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Ends when dropped.
#[derive(Debug)]
pub struct Pooler {
    process: Child,
    port: Port,
}

impl Pooler {
    /// The way to the server's database through it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port.number)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _ended = self.process.wait();
    }
}

impl PostgresServer {
    /// # Panics
    /// When there is no PostgreSQL here, or it does not start.
    pub fn start() -> Self {
        Self::start_with(None, None)
    }

    /// One that waits for its disk, with the memory and the log that PostgreSQL has by default.
    ///
    /// # Panics
    /// When there is no PostgreSQL here, or it does not start.
    pub fn start_as_shipped() -> Self {
        Self::start_with(None, Some(|_| AS_SHIPPED.to_owned()))
    }

    /// One that is also spoken to over the network, at this address of the machine.
    ///
    /// # Panics
    /// When there is no PostgreSQL here, or it does not start.
    pub fn start_on(address: IpAddr) -> Self {
        Self::start_with(Some(Listens::on(address)), None)
    }

    /// One that is also spoken to over TLS, with a certificate for `localhost` by an authority of its own.
    ///
    /// # Panics
    /// When there is no PostgreSQL or no openssl here, or it does not start.
    pub fn start_with_tls() -> Self {
        Self::start_with(Some(Listens::on(Ipv4Addr::LOCALHOST.into())), Some(certify))
    }

    fn start_with(listens: Option<Listens>, settings: Option<fn(&Path) -> String>) -> Self {
        let programs = programs().expect(HOW_TO_GET);
        let folder = tempfile::Builder::new().prefix("piton-pg-").tempdir().expect("a folder");
        copy(&template(&programs), &folder.path().join("data")).expect("the template can be copied");
        let mut this = Self { folder, programs, server: None, listens };
        this.configure(&this.listening());
        if let Some(settings) = settings {
            this.configure(&settings(this.folder.path()));
        }
        give_away(this.folder.path()).expect("the folder can be given to the server's user");
        this.begin();
        this
    }

    /// What its settings say of where it listens; anybody may come there.
    fn listening(&self) -> String {
        let Some(Listens { address, port }) = &self.listens else { return String::new() };
        let who = self.data().join("pg_hba.conf");
        let known = std::fs::read_to_string(&who).expect("who may come");
        std::fs::write(&who, known + "host all all all trust\n").expect("who may come");
        format!("listen_addresses = '{address}'\nport = {}\n", port.number)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Adds to its settings, for when it begins.
    fn configure(&self, settings: &str) {
        let conf = self.data().join("postgresql.conf");
        let known = std::fs::read_to_string(&conf).expect("its settings");
        std::fs::write(&conf, known + settings).expect("its settings");
    }

    /// Starts the server on its data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn begin(&mut self) {
        let log = File::create(self.folder.path().join("log")).expect("a log");
        let mut server = as_its_user(&self.programs.join("postgres"));
        server.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        self.server =
            Some(server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("a server"));
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(self.folder.path()).stdin(Stdio::null());
        ready.arg("-p").arg(self.port().to_string());
        let mut waited = Duration::ZERO;
        while !ready.status().expect("an answer").success() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(waited < READY_WITHIN, "PostgreSQL is not ready: {}", log());
            waited += pause();
        }
    }

    /// An immediate shutdown: its processes go at once, without a checkpoint.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // The postmaster takes this as: all of you, at once.
            let pid = rustix::process::Pid::from_child(&server);
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            let _ended = server.wait();
        }
    }

    /// SIGKILL for all its processes, as with a loss of power.
    pub fn crash(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Frozen, it starts none anew.
            freeze(server.id());
            let children = descendants(server.id());
            children.iter().copied().for_each(kill);
            let _gone = server.kill();
            let _ended = server.wait();
            // It does not begin again while one of them still has the memory that they share.
            while children.iter().copied().any(is_alive) {
                pause();
            }
        }
    }

    /// A fast shutdown: sessions are ended, and what they did is in place when it begins again.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let pid = rustix::process::Pid::from_child(&server);
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            let _ended = server.wait();
        }
    }

    /// Another server that follows this one, and that every commit waits for from now on. It listens on 127.0.0.1.
    ///
    /// # Panics
    /// When it cannot be made, or does not follow.
    pub fn standby(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("piton-pg-").tempdir().expect("a folder");
        give_away(folder.path()).expect("the folder can be given to the server's user");
        let mut copying = as_its_user(&self.programs.join("pg_basebackup"));
        copying.args(["-U", "postgres", "-R", "--checkpoint=fast", "-h"]).arg(self.folder.path());
        copying.arg("-p").arg(self.port().to_string()).arg("-D").arg(folder.path().join("data"));
        let copied = copying.output().expect("pg_basebackup runs");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let listens = Some(Listens::on(Ipv4Addr::LOCALHOST.into()));
        let mut standby = Self { folder, programs: self.programs.clone(), server: None, listens };
        standby.configure(&standby.listening());
        standby.begin();
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        let mut waited = Duration::ZERO;
        while self.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "1" {
            assert!(waited < READY_WITHIN, "the standby does not follow");
            waited += pause();
        }
        standby
    }

    /// Makes a standby take writes.
    ///
    /// # Panics
    /// When it does not.
    pub fn promote(&self) {
        let promoted = self.sql("SELECT pg_promote()");
        assert_eq!(promoted, "t");
    }

    /// Carries out `sql` with all rights; what it returns, as text.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, sql: &str) -> String {
        let told = self.shell().args(["-A", "-t", "-c", sql]).output().expect("a shell");
        assert!(told.status.success(), "{sql}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    /// Begins a transaction with `sql`, and leaves it idle.
    ///
    /// # Errors
    /// When `sql` fails.
    pub fn leave_open(&self, sql: &str) -> Result<OpenTransaction, String> {
        let mut shell = self.shell();
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut shell = OpenTransaction(shell.map_err(|error| error.to_string())?);
        let (input, output) = (shell.0.stdin.as_mut(), shell.0.stdout.as_mut());
        let (input, output) = input.zip(output).ok_or("a shell has both")?;
        let asked = input.write_all(format!("BEGIN; {sql};\n\\echo held\n").as_bytes());
        asked.and_then(|()| input.flush()).map_err(|error| error.to_string())?;
        let mut lines = BufReader::new(output).lines();
        let is_held = lines.any(|line| line.is_ok_and(|line| line == "held"));
        if is_held { Ok(shell) } else { Err(format!("PostgreSQL does not carry out {sql}")) }
    }

    /// The names of its databases.
    ///
    /// # Panics
    /// When it does not say.
    pub fn databases(&self) -> Vec<String> {
        self.sql("SELECT datname FROM pg_database").lines().map(str::to_owned).collect()
    }

    /// An SQL shell on it.
    pub(crate) fn shell(&self) -> Command {
        let mut shell = Command::new(self.programs.join("psql"));
        shell.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]).arg(self.folder.path());
        shell.arg("-p").arg(self.port().to_string());
        shell
    }

    /// Of its socket's name, and of the network where it listens there.
    fn port(&self) -> u16 {
        self.listens.as_ref().map_or(5432, |listens| listens.port.number)
    }

    /// A way to the database that every server has.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The same, as this user.
    pub fn url_of(&self, user: &str) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://{user}@{socket}:{}/postgres", self.port())
    }

    /// Where it listens on the network, as in `127.0.0.1:5432`.
    ///
    /// # Panics
    /// When it does not.
    pub fn place(&self) -> String {
        let listens = self.listens.as_ref().expect("it listens");
        format!("{}:{}", listens.address, listens.port.number)
    }

    /// A way to its database over the network, with these parameters.
    ///
    /// # Panics
    /// When it was not started with TLS.
    pub fn tls_url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://postgres@{host}:{}/postgres?{parameters}", self.port())
    }

    /// A pgbouncer in front of it, in this `pool_mode`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn pooler(&self, mode: &str) -> Pooler {
        let port = Port::lease();
        let settings = self.folder.path().join(format!("{mode}.ini"));
        let written = format!(
            "[databases]\n* = host={folder} port={at} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n",
            folder = self.folder.path().display(),
            at = self.port(),
            port = port.number,
        );
        std::fs::write(&settings, written).expect("its settings");
        let program = Path::new(POOLER);
        assert!(program.exists(), "this test needs pgbouncer: `apt-get install pgbouncer`");
        let mut pooler = as_its_user(program);
        pooler.arg("-q").arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let pooler = Pooler { process: pooler.spawn().expect("a pooler"), port };
        let mut waited = Duration::ZERO;
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, pooler.port.number)).is_err() {
            assert!(waited < READY_WITHIN, "the pooler is not ready");
            waited += pause();
        }
        pooler
    }

    /// The certificate of the authority that issued the server's.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }
}

/// Makes an authority, and a key and a certificate for `localhost`, by openssl. Returns the settings that name them.
fn certify(folder: &Path) -> String {
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
    let folder = folder.display();
    format!("ssl = on\nssl_cert_file = '{folder}/server.crt'\nssl_key_file = '{folder}/server.key'\n")
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
