//! How much memory there is for this process: that of the machine, or what its control group may have.

use std::fs::read_to_string;
use std::path::Path;

/// Bytes, and whose limit it is; `None`: nobody says.
pub(super) fn memory() -> Option<(u64, &'static str)> {
    let machine = read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(total_of_machine);
    let machine = machine.map(|bytes| (bytes, "the machine"));
    let group = memory_of_group().map(|bytes| (bytes, "the container or control group"));
    machine.into_iter().chain(group).min()
}

/// The smallest limit of the group and those that it is in. Within a container its own group is the root.
fn memory_of_group() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let limits = files_of_limits(&groups).into_iter().filter_map(|file| {
        let text = read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok()?;
        // "max" is none.
        text.trim().parse::<u64>().ok()
    });
    limits.min()
}

/// Where the limits of these groups (`/proc/self/cgroup`) are, below the folder of all groups.
fn files_of_limits(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (folder, file) = match controllers {
            "" => ("", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("memory/", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_matches('/');
        loop {
            let between = if path.is_empty() { "" } else { "/" };
            files.push(format!("{folder}{path}{between}{file}"));
            match path.rsplit_once('/') {
                _ if path.is_empty() => break,
                Some((parent, _)) => path = parent,
                None => path = "",
            }
        }
    }
    files
}

fn total_of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_limits_are() {
        let rows: &[(&str, &[&str])] = &[
            ("0::/\n", &["memory.max"]),
            (
                "0::/a.slice/b.scope\n",
                &[
                    "a.slice/b.scope/memory.max",
                    "a.slice/memory.max",
                    "memory.max",
                ],
            ),
            (
                "3:cpu,memory:/docker/1\n2:pids:/x\n",
                &[
                    "memory/docker/1/memory.limit_in_bytes",
                    "memory/docker/memory.limit_in_bytes",
                    "memory/memory.limit_in_bytes",
                ],
            ),
            ("", &[]),
        ];
        for (groups, expected) in rows {
            assert_eq!(files_of_limits(groups), *expected, "{groups:?}");
        }
    }

    #[test]
    fn what_the_machine_has() {
        let text = "MemTotal:        2048 kB\nMemFree:          1024 kB\n";
        assert_eq!(total_of_machine(text), Some(2 << 20));
        assert_eq!(total_of_machine("MemFree: 1 kB\n"), None);
    }
}
