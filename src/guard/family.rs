//! Who descends from a process, by what the kernel tells in `/proc`.

use std::{collections::HashMap, fs};

use rustix::process::Pid;

/// A process that descends from another.
#[derive(Clone, Copy)]
pub(super) struct Relative {
    pub(super) pid: Pid,
    /// The process group that it is in.
    pub(super) group: Pid,
}

/// Every process that descends from `ancestor`, children before theirs. Processes come and go meanwhile: ask again.
pub(super) fn descendants_of(ancestor: Pid) -> Vec<Relative> {
    let mut children: HashMap<Pid, Vec<Relative>> = HashMap::new();
    for pid in processes() {
        if let Some((parent, group)) = parent_and_group(pid) {
            children.entry(parent).or_default().push(Relative { pid, group });
        }
    }
    let mut found = children.remove(&ancestor).unwrap_or_default();
    let mut next = 0;
    while let Some(relative) = found.get(next) {
        found.extend(children.remove(&relative.pid).unwrap_or_default());
        next += 1;
    }
    found
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// The fourth and fifth field of `stat`, after the name in brackets, which may hold anything (proc(5)).
fn parent_and_group(pid: Pid) -> Option<(Pid, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(1).map(|field| Pid::from_raw(field.parse().ok()?));
    Some((fields.next()??, fields.next()??))
}
