//! The use of processes under load: time on a core, and resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

/// Some processes that count as one, such as Envoy and the service it calls.
#[derive(Debug, Clone)]
pub struct Group {
    /// By which it is called in the figures.
    pub name: String,
    /// Ids of its processes.
    pub processes: Vec<u32>,
}

impl Group {
    /// Reads `NAME=ID,ID`.
    ///
    /// # Errors
    /// Says what is not such a group.
    pub fn parse(text: &str) -> Result<Group, String> {
        let (name, ids) = text.split_once('=').ok_or("expected NAME=ID,ID")?;
        let id = |id: &str| {
            id.parse()
                .map_err(|_| format!("`{id}` is not a process id"))
        };
        Ok(Group {
            name: name.to_owned(),
            processes: ids.split(',').map(id).collect::<Result<_, _>>()?,
        })
    }

    /// Seconds that all its threads have been on a core; one that has ended counts no more.
    pub fn cpu_seconds(&self) -> f64 {
        self.processes.iter().copied().map(cpu_seconds).sum()
    }
}

/// One group's use over some time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Usage {
    /// Seconds on a core.
    pub cpu_seconds: f64,
    /// Resident bytes at the end; pages that processes share count for each.
    pub resident_bytes: u64,
}

/// Groups, and the time that each has used so far.
#[derive(Debug)]
pub struct Watch<'a>(Vec<(&'a Group, f64)>);

impl Watch<'_> {
    /// Begins.
    pub fn start(groups: &[Group]) -> Watch<'_> {
        let look = |group| (group, Group::cpu_seconds(group));
        Watch(groups.iter().map(look).collect())
    }

    /// By group, what was used since the start.
    pub fn end(self) -> BTreeMap<String, Usage> {
        let used = |(group, before): (&Group, f64)| {
            let usage = Usage {
                cpu_seconds: (group.cpu_seconds() - before).max(0.0),
                resident_bytes: group.processes.iter().copied().map(resident_bytes).sum(),
            };
            (group.name.clone(), usage)
        };
        self.0.into_iter().map(used).collect()
    }
}

/// From the scheduler's nanoseconds of each thread: the ticks of `/proc/ID/stat` are ten milliseconds.
fn cpu_seconds(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let of_thread = |path: &Path| -> Option<f64> {
        let line = fs::read_to_string(path.join("schedstat")).ok()?;
        line.split(' ').next()?.parse().ok()
    };
    let entries = threads.into_iter().flatten().flatten();
    let nanoseconds = entries.filter_map(|thread| of_thread(&thread.path()));
    nanoseconds.sum::<f64>() / 1e9
}

fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_at_work() {
        let me = Group::parse(&format!("me={}", std::process::id())).unwrap();
        let groups = [me];
        let watch = Watch::start(&groups);
        let mut sum = 0_u64;
        while groups[0].cpu_seconds() < watch.0[0].1 + 0.002 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let usage = watch.end()["me"];
        assert!(usage.cpu_seconds >= 0.002, "{usage:?}");
        assert!(usage.resident_bytes > 1_000_000, "{usage:?}");
    }

    #[test]
    fn a_group_is_a_name_and_ids() {
        assert_eq!(Group::parse("a=1,2").unwrap().processes, [1, 2]);
        assert_eq!(Group::parse("a").unwrap_err(), "expected NAME=ID,ID");
        assert_eq!(
            Group::parse("a=1,x").unwrap_err(),
            "`x` is not a process id"
        );
    }
}
