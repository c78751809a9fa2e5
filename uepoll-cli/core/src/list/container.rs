//! Which container or unit a cgroup's path stands for, by the names that the
//! usual managers give.

/// Digits of a container's number that people know it by.
const SHORT_ID: usize = 12;

/// Digits from which a word of hexadecimal digits is a container's number.
const LEAST_ID: usize = 32;

/// How managers call the cgroup of a container, before its number.
const PREFIXES: [(&str, &str); 7] = [
    ("docker-", "docker"),
    ("libpod-payload-", "podman"),
    ("libpod-conmon-", "podman"),
    ("libpod-", "podman"),
    ("cri-containerd-", "k8s"),
    ("crio-", "k8s"),
    ("nerdctl-", "nerdctl"),
];

/// The container or unit of a cgroup's path, shortened: `docker 0123456789ab`,
/// `k8s 0123456789ab`, `nginx.service`; else the path. `None` for the root.
pub fn container(path: &str) -> Option<String> {
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let in_kubernetes = words.iter().any(|word| word.starts_with("kubepods"));
    let found = words.iter().enumerate().rev().find_map(|(at, word)| {
        let above = at.checked_sub(1).map(|at| words[at]);
        of_word(word, above, in_kubernetes)
    });
    // The innermost unit that is no slice: slices hold units.
    let unit = || {
        let is_unit = |word: &&&str| word.ends_with(".service") || word.ends_with(".scope");
        words.iter().rev().find(is_unit).map(|word| (*word).to_owned())
    };
    found.or_else(unit).or_else(|| (!words.is_empty()).then(|| path.to_owned()))
}

fn of_word(word: &str, above: Option<&str>, in_kubernetes: bool) -> Option<String> {
    let name = word.strip_suffix(".scope").unwrap_or(word);
    if let Some(name) = name.strip_prefix("lxc.payload.") {
        return Some(format!("lxc {name}"));
    }
    if let Some(name) = word.strip_prefix("machine-").and_then(|n| n.strip_suffix(".scope")) {
        return Some(format!("machine {name}"));
    }
    let (manager, id) = PREFIXES
        .iter()
        .find_map(|(prefix, manager)| Some((*manager, name.strip_prefix(prefix)?)))
        .or(match above {
            Some("docker") => Some(("docker", name)),
            Some("libpod_parent") => Some(("podman", name)),
            _ if in_kubernetes => Some(("k8s", name)),
            _ => None,
        })?;
    let is_id = id.len() >= LEAST_ID && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let manager = if in_kubernetes { "k8s" } else { manager };
    is_id.then(|| format!("{manager} {}", &id[..SHORT_ID]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn containers_go_by_their_manager_and_short_number() {
        for (path, expected) in [
            (format!("/system.slice/docker-{ID}.scope"), "docker 0123456789ab"),
            (format!("/docker/{ID}"), "docker 0123456789ab"),
            (format!("/docker/{ID}/init.scope"), "docker 0123456789ab"),
            (format!("/machine.slice/libpod-{ID}.scope/container"), "podman 0123456789ab"),
            (format!("/kubepods/burstable/pod1-2-3/{ID}"), "k8s 0123456789ab"),
            (
                format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
                "k8s 0123456789ab",
            ),
            ("/lxc.payload.web/system.slice/x.service".to_owned(), "lxc web"),
            ("/lxc.payload.web".to_owned(), "lxc web"),
        ] {
            assert_eq!(container(&path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_is_no_container_goes_by_its_unit_or_its_path() {
        for (path, expected) in [
            ("/system.slice/nginx.service", Some("nginx.service")),
            ("/user.slice/user-0.slice/session-3.scope", Some("session-3.scope")),
            ("/system.slice/docker-short.scope", Some("docker-short.scope")),
            ("/of-beta", Some("/of-beta")),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(container(path).as_deref(), expected, "{path}");
        }
    }
}
