//! Addresses of sockets, by the tables of /proc/PID/net: those of the process's
//! own network namespace, read once and only if there is a socket.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// TCP_LISTEN of the kernel.
const LISTEN: &str = "0A";

/// `__SO_ACCEPTCON` among the flags of a unix socket: it listens.
const ACCEPTS: u32 = 1 << 16;

/// A socket: a word for its kind, and its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// `tcp`, `udp`, `unix`.
    pub kind: &'static str,
    /// Local and peer, or a path; may be empty.
    pub addresses: String,
}

/// The sockets of a process's network namespace.
pub struct Sockets {
    pid: u32,
    by_inode: Option<HashMap<u64, Socket>>,
}

impl Sockets {
    /// Those of this process; nothing is read yet.
    pub fn of(pid: u32) -> Self {
        Self { pid, by_inode: None }
    }

    /// The socket with this inode; `None` for other families.
    pub fn find(&mut self, inode: u64) -> Option<Socket> {
        let pid = self.pid;
        self.by_inode.get_or_insert_with(|| read(pid)).get(&inode).cloned()
    }
}

fn read(pid: u32) -> HashMap<u64, Socket> {
    // A family that this kernel has not has no file.
    let table = |name| fs::read(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let mut found = HashMap::new();
    for (name, kind) in [("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp")] {
        let text = table(name);
        let text = String::from_utf8_lossy(&text);
        found.extend(text.lines().filter_map(|line| internet(line, kind)));
    }
    let text = table("unix");
    found.extend(String::from_utf8_lossy(&text).lines().filter_map(unix));
    found
}

/// A line of tcp, tcp6, udp or udp6.
fn internet(line: &str, kind: &'static str) -> Option<(u64, Socket)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, peer) = (address(words.get(1)?)?, address(words.get(2)?)?);
    let inode = words.get(9)?.parse().ok()?;
    let addresses = match (kind, words.get(3)?) {
        ("tcp", &LISTEN) => format!("{local}, listening"),
        _ if peer.port() == 0 && peer.ip().is_unspecified() => local.to_string(),
        _ => format!("{local} to {peer}"),
    };
    Some((inode, Socket { kind, addresses }))
}

/// `0100007F:1F90`: words of the address in the machine's own byte order, the
/// port in ours.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let host = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(host, port))
}

/// A line of unix: `Num: RefCount Protocol Flags Type St Inode Path`.
fn unix(line: &str) -> Option<(u64, Socket)> {
    let mut words = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
    let kind = match words.next()? {
        "0001" => "stream",
        "0002" => "datagram",
        "0005" => "packets",
        _ => "other",
    };
    let inode = words.nth(1)?.parse().ok()?;
    let path = words.next().unwrap_or("unnamed");
    let listening = if flags & ACCEPTS != 0 { ", listening" } else { "" };
    Some((inode, Socket { kind: "unix", addresses: format!("{kind} {path}{listening}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internet_sockets_have_both_addresses_unless_they_listen() {
        let line = |local, peer, state| {
            format!(
                "   0: {local} {peer} {state} 00000000:00000000 00:00000000 00000000 0 0 4711 1"
            )
        };
        let read = |line: &str| internet(line, "tcp").expect("a socket");
        let (inode, socket) = read(&line("0100007F:1F90", "0200000A:01BB", "01"));
        assert_eq!((inode, socket.addresses.as_str()), (4711, "127.0.0.1:8080 to 10.0.0.2:443"));
        let (_, socket) = read(&line("00000000:0050", "00000000:0000", LISTEN));
        assert_eq!(socket.addresses, "0.0.0.0:80, listening");
        let v6 = "00000000000000000000000001000000:0016";
        let (_, socket) = read(&line(v6, "00000000000000000000000000000000:0000", LISTEN));
        assert_eq!(socket.addresses, "[::1]:22, listening");
        assert_eq!(internet("  sl  local_address rem_address   st", "tcp"), None);
    }

    #[test]
    fn unix_sockets_have_their_path() {
        let named = "0000000000000000: 00000002 00000000 00010000 0001 01 13370 /run/x.sock";
        let (inode, socket) = unix(named).expect("a socket");
        assert_eq!((inode, socket.addresses.as_str()), (13370, "stream /run/x.sock, listening"));
        let pair = "0000000000000000: 00000003 00000000 00000000 0002 03 13371";
        assert_eq!(unix(pair).expect("a socket").1.addresses, "datagram unnamed");
        assert_eq!(unix("Num       RefCount Protocol Flags    Type St Inode Path"), None);
    }
}
