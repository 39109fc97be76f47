//! How a daemon is started: its files, its flags, its environment.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::Host;
use crate::{
    places, plugins,
    process::{Ended, Process},
};

const TOKEN_VARIABLE: &str = "KHEISH_DAEMON_ADMIN_TOKEN";

/// The user and the group that nothing belongs to.
const NOBODY: u32 = 65_534;

/// The copy of the binary that an ordinary user's daemon runs.
const OWN_BINARY: &str = "kheishd";

/// How a daemon shall be started.
#[derive(Clone, Debug)]
pub struct HostBuilder {
    pub(super) connectors: Option<String>,
    pub(super) settings: Option<String>,
    pub(super) executor: &'static str,
    pub(super) listen: Option<&'static str>,
    pub(super) plugins: Vec<(PathBuf, String)>,
    pub(super) env: Vec<(String, String)>,
    pub(super) flags: Vec<String>,
    pub(super) token: Option<String>,
    pub(super) unprivileged: bool,
}

impl HostBuilder {
    /// The connectors file.
    #[must_use]
    pub fn connectors(mut self, text: impl ToString) -> Self {
        self.connectors = Some(text.to_string());
        self
    }

    /// The settings file.
    #[must_use]
    pub fn settings(mut self, text: &str) -> Self {
        self.settings = Some(text.to_owned());
        self
    }

    /// Who performs runs: `claim` unless said otherwise.
    #[must_use]
    pub fn executor(mut self, name: &'static str) -> Self {
        self.executor = name;
        self
    }

    /// Where to listen: a free loopback port unless said otherwise.
    #[must_use]
    pub fn listen(mut self, address: &'static str) -> Self {
        self.listen = Some(address);
        self
    }

    /// The address comes from the variable that the test sets.
    #[must_use]
    pub fn listen_by_variable(mut self) -> Self {
        self.listen = None;
        self
    }

    /// The plugin folder holds these guests and no others.
    #[must_use]
    pub fn plugins(mut self, guests: &[&str]) -> Self {
        self.plugins.clear();
        guests.iter().fold(self, |this, guest| this.plugin_as(guest, file_name(guest)))
    }

    /// The plugin folder also holds this guest, under this name.
    #[must_use]
    pub fn plugin_as(mut self, guest: &str, name: &str) -> Self {
        self.plugins.push((places::guest(guest), name.to_owned()));
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A flag and its value.
    #[must_use]
    pub fn flag(mut self, flag: &str, value: &str) -> Self {
        self.flags.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// An admin token; the host's own client sends it.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self.env(TOKEN_VARIABLE, token)
    }

    /// The daemon runs as an ordinary user, also where the test runs as root.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Starts the daemon and waits until it takes work.
    pub async fn start(self) -> Host {
        let folder = self.unpack();
        Host::begin(self, folder).await
    }

    /// Starts a daemon that is expected to end by itself.
    pub async fn run_to_end(self) -> Ended {
        let folder = self.unpack();
        Process::spawn(&mut self.command(folder.path())).ended().await
    }

    pub(super) fn unpack(&self) -> TempDir {
        let folder = tempfile::Builder::new().prefix("kheish-test-").tempdir().expect("a temporary folder");
        let folder_of_plugins = folder.path().join("plugins");
        fs::create_dir(&folder_of_plugins).expect("the plugin folder is made");
        for (source, name) in &self.plugins {
            plugins::install(&fs::read(source).expect("a guest can be read"), &folder_of_plugins.join(name));
        }
        for (text, name) in [(&self.connectors, "connectors.toml"), (&self.settings, "settings.toml")] {
            if let Some(text) = text {
                fs::write(folder.path().join(name), text).expect("a configuration file is written");
            }
        }
        if self.drops_root() {
            hand_over(folder.path());
        }
        folder
    }

    /// Whether the daemon has to be made an ordinary user's.
    fn drops_root(&self) -> bool {
        self.unprivileged && fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
    }

    pub(super) fn command(&self, folder: &Path) -> Command {
        let mut command = if self.drops_root() {
            let mut command = Command::new(folder.join(OWN_BINARY));
            command.uid(NOBODY).gid(NOBODY);
            command
        } else {
            Command::new(places::binary())
        };
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KHEISH")) {
            command.env_remove(name);
        }
        command.env("RUST_LOG", "info").envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("serve").args(["--executor", self.executor]);
        command.args(self.listen.map(|address| ["--listen", address]).into_iter().flatten());
        command.arg("--state-root").arg(folder.join("state")).arg("--plugins").arg(folder.join("plugins"));
        if self.connectors.is_some() {
            command.arg("--connectors-config").arg(folder.join("connectors.toml"));
        }
        if self.settings.is_some() {
            command.arg("--config").arg(folder.join("settings.toml"));
        }
        command.args(&self.flags);
        command
    }
}

/// Gives a folder and what is in it to [`NOBODY`], with a binary that it can get at: the test's own may lie where it cannot.
fn hand_over(folder: &Path) {
    let entries = fs::read_dir(folder).expect("the folder is read").flatten().map(|entry| entry.path());
    for path in entries.chain([folder.to_owned()]) {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("a path is given away");
    }
    let binary = folder.join(OWN_BINARY);
    fs::copy(places::binary(), &binary).expect("the binary is copied");
    fs::set_permissions(&binary, Permissions::from_mode(0o755)).expect("the binary's mode is set");
}

fn file_name(guest: &str) -> &str {
    guest.rsplit('/').next().unwrap_or(guest)
}
