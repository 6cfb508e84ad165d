//! A place for processes beyond a network: a namespace, with two wires to it. What goes over one of them can be lost
//! without a word, as behind a switch that failed; the other stays. Needs root and `ip`.

use std::net::IpAddr;
use std::process::{Command, Output};

/// Gone when dropped. Its addresses are of those that are kept for tests of networks (RFC 2544).
#[derive(Debug)]
pub struct Network {
    name: String,
    number: u8,
    cut: Option<Cut>,
}

/// What is lost on its way. Nobody is told: connections stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Everything,
    /// What goes to the processes beyond. What they say is heard.
    Replies,
}

impl Network {
    /// # Errors
    /// Why there can be none here.
    pub fn make() -> Result<Self, String> {
        let mut refused = String::new();
        for _ in 0..20 {
            let number = rand::random_range(1..=250);
            let name = format!("piton-{number}");
            match ip(&format!("netns add {name}")) {
                Ok(()) => {
                    let this = Self { name, number, cut: None };
                    this.wire()?;
                    return Ok(this);
                }
                Err(error) if error.contains("File exists") => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    fn wire(&self) -> Result<(), String> {
        let Self { name, .. } = self;
        ip(&format!("-n {name} link set lo up"))?;
        for (wire, here, there) in [
            (self.fragile_wire(), self.fragile().to_string(), format!("198.18.{}.2/30", self.number)),
            (self.lasting_wire(), self.lasting().to_string(), format!("198.19.{}.2/30", self.number)),
        ] {
            ip(&format!("link add {wire} type veth peer name {wire} netns {name}"))?;
            ip(&format!("addr add {here}/30 dev {wire}"))?;
            ip(&format!("link set {wire} up"))?;
            ip(&format!("-n {name} addr add {there} dev {wire}"))?;
            ip(&format!("-n {name} link set {wire} up"))?;
            // Asked for its place while it is cut off, the other end would be told to be out of reach.
            let place = std::fs::read_to_string(format!("/sys/class/net/{wire}/address"));
            let place = place.map_err(|error| error.to_string())?;
            let place = place.trim();
            ip(&format!("-n {name} neigh replace {here} lladdr {place} nud permanent dev {wire}"))?;
        }
        // Makes room for a rule that goes before all others.
        ip(&format!("-n {name} rule add pref 10 lookup local"))?;
        ip(&format!("-n {name} rule del pref 0"))
    }

    fn fragile_wire(&self) -> String {
        format!("piton{}a", self.number)
    }

    fn lasting_wire(&self) -> String {
        format!("piton{}b", self.number)
    }

    /// This machine's address on the wire that can be cut.
    pub fn fragile(&self) -> IpAddr {
        [198, 18, self.number, 1].into()
    }

    /// This machine's address on the wire that stays.
    pub fn lasting(&self) -> IpAddr {
        [198, 19, self.number, 1].into()
    }

    /// `command`, beyond the network.
    #[must_use]
    pub fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("ip");
        wrapped.args(["netns", "exec", &self.name]).arg(command.get_program()).args(command.get_args());
        wrapped.env_clear();
        wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        wrapped
    }

    /// # Panics
    /// When it is cut already, or cannot be.
    pub fn cut(&mut self, what: Cut) {
        assert_eq!(self.cut.replace(what), None, "it is cut already");
        let wire = self.fragile_wire();
        let cut = match what {
            Cut::Everything => ip(&format!("link set {wire} down")),
            Cut::Replies => ip(&format!("-n {} rule add pref 1 iif {wire} blackhole", self.name)),
        };
        cut.unwrap_or_else(|error| panic!("{error}"));
    }

    /// # Panics
    /// When it cannot be mended.
    pub fn mend(&mut self) {
        let wire = self.fragile_wire();
        let mended = match self.cut.take() {
            None => Ok(()),
            Some(Cut::Everything) => ip(&format!("link set {wire} up")),
            Some(Cut::Replies) => ip(&format!("-n {} rule del pref 1", self.name)),
        };
        mended.unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Its wires go with it.
        let _gone = ip(&format!("netns del {}", self.name));
        // Processes that are still there would keep it.
        for wire in [self.fragile_wire(), self.lasting_wire()] {
            let _gone = ip(&format!("link del {wire}"));
        }
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let done = Command::new("ip").args(arguments.split(' ')).output();
    let Output { status, stderr, .. } = done.map_err(|error| format!("ip (package iproute2): {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&stderr).trim()))
}
