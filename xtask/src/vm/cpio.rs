//! A cpio archive in the "newc" format, as the kernel unpacks it into its first
//! root (Documentation/driver-api/early-userspace/buffer-format.rst). Only
//! writing, only in memory.

/// An archive being written.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    /// Adds a folder.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a file with the given permission bits.
    pub fn file(&mut self, name: &str, permissions: u32, content: &[u8]) {
        self.entry(name, REGULAR | permissions, (0, 0), content);
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, name: &str, target: &str) {
        self.entry(name, SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device node.
    pub fn character_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// Closes the archive and gives its bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("busybox and two scripts are below 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are written in this crate");
        let fields = [
            self.entries, // inode
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // mtime
            size,
            0, // major of the device that holds the file
            0, // its minor
            device.0,
            device.1,
            name_size,
            0, // checksum: none in this format
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_contents_are_aligned_to_four_bytes() {
        let mut archive = Archive::default();
        archive.directory("d");
        archive.file("d/file", 0o644, b"12345");
        archive.symlink("link", "d/file");
        archive.character_device("console", 5, 1);
        let bytes = archive.finish();
        let headers: Vec<usize> = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, w)| w == b"070701")
            .map(|(at, _)| at)
            .collect();
        assert_eq!(headers.len(), 5);
        assert!(headers.iter().all(|at| at % 4 == 0), "{headers:?}");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_file_carries_its_size_mode_and_name() {
        let mut archive = Archive::default();
        archive.file("init", 0o755, b"#!");
        let bytes = archive.finish();
        let field = |n: usize| {
            let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        assert_eq!(field(1), 0o100_755);
        assert_eq!(field(6), 2);
        assert_eq!(field(11), 5);
        assert_eq!(&bytes[110..115], b"init\0");
    }
}
