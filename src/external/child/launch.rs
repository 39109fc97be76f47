//! The command that starts a child: the guard before it, and the environment of contract section 4.7.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStringExt as _},
    process::Stdio,
};

use serde_json::json;
use tokio::process::Command;

use crate::{
    connectors::Context,
    external::{
        broker::Granted,
        call::TOKEN,
        settings::{ChildProcess, RESERVED},
    },
};

/// Variables of the daemon that children have too; nothing else of its environment reaches them.
const INHERITED: [&str; 14] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TMPDIR",
    "TMP",
    "TEMP",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "SYSTEMROOT",
    "WINDIR",
];

/// This program, also when its file was replaced meanwhile.
const THIS: &str = "/proc/self/exe";

/// What a child is started with.
pub(super) struct Launch<'l> {
    pub(super) context: &'l Context,
    pub(super) child: &'l ChildProcess,
    /// Where the child answers.
    pub(super) base_url: &'l str,
    /// Where the daemon answers.
    pub(super) daemon: &'l str,
    pub(super) granted: &'l Granted,
    pub(super) grace_ms: u64,
}

impl Launch<'_> {
    /// The guard as a command, which starts the child. It has the child's environment and no other, and leads a group of
    /// its own: what a terminal says to the daemon is not said to it.
    pub(super) fn command(&self, socket: OwnedFd) -> Command {
        let mut command = Command::new(THIS);
        command.arg0("kheishd").arg("guard").arg("--grace-ms").arg(self.grace_ms.to_string());
        let child = self.child;
        let bounds = [
            ("--memory-bytes", child.memory_bytes.map(|bytes| bytes.to_string())),
            ("--open-files", child.open_files.map(|files| files.to_string())),
            ("--nice", child.nice.map(|nice| nice.to_string())),
        ];
        for (option, value) in bounds {
            command.args(value.map(|value| [option.to_owned(), value]).into_iter().flatten());
        }
        command.arg("--").arg(&child.command).args(&child.args);
        if let Some(folder) = &child.working_dir {
            command.current_dir(folder);
        }
        command.env_clear().envs(self.environment(|name| std::env::var_os(name)));
        command.stdin(Stdio::from(socket)).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        command
    }

    fn environment(&self, inherited: impl Fn(&str) -> Option<OsString>) -> BTreeMap<OsString, OsString> {
        let mut all: BTreeMap<OsString, OsString> =
            INHERITED.iter().filter_map(|name| Some(((*name).into(), inherited(name)?))).collect();
        all.extend(self.child.env.iter().map(|(name, value)| (name.into(), value.into())));
        let mut set = |name: &str, value: &OsStr| drop(all.insert(format!("{RESERVED}{name}").into(), value.into()));
        set("NAME", OsStr::new(&self.context.connector.name));
        set("BASE_URL", OsStr::new(self.base_url));
        set("DAEMON_BASE_URL", OsStr::new(self.daemon));
        if let Some(token) = self.context.secrets.get(TOKEN) {
            set("SHARED_TOKEN", &OsString::from_vec(token.expose().to_vec()));
        }
        let keys: Vec<&String> = self.child.credential_slots.keys().collect();
        set("CREDENTIAL_TOKEN", OsStr::new(&**self.granted.token));
        set("CREDENTIAL_KEYS_JSON", OsStr::new(&json!(keys).to_string()));
        all
    }
}
