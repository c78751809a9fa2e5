//! The reader of types, on types built by hand and on the running kernel's.

use super::*;

/// Types built by hand.
#[derive(Default)]
struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Blob {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, kind: u32, count: u32, third: u32, rest: &[u32]) {
        let name = self.name(name);
        for value in [name, kind << 24 | count, third].iter().chain(rest) {
            self.types.extend(value.to_ne_bytes());
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for value in [HEADER_BYTES as u32, 0, types, types, strings] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

/// struct outer { int first; union { int a; struct inner b; }; named_t c; };
/// struct inner { int x; int y; }; typedef struct inner named_t;
/// int twice(int, int);
fn example() -> Blob {
    let mut blob = Blob::new();
    blob.add("int", KIND_INT, 0, 4, &[32]); // 1
    let (x, y) = (blob.name("x"), blob.name("y"));
    blob.add("inner", KIND_STRUCT, 2, 8, &[x, 1, 0, y, 1, 32]); // 2
    blob.add("named_t", KIND_TYPEDEF, 0, 2, &[]); // 3
    let (a, b) = (blob.name("a"), blob.name("b"));
    blob.add("", KIND_UNION, 2, 8, &[a, 1, 0, b, 2, 0]); // 4
    let (first, c) = (blob.name("first"), blob.name("c"));
    blob.add("outer", KIND_STRUCT, 3, 20, &[first, 1, 0, 0, 4, 32, c, 3, 96]); // 5
    blob.add("", KIND_FUNC_PROTO, 2, 1, &[0, 1, 0, 1]); // 6
    blob.add("twice", KIND_FUNC, 0, 6, &[]); // 7
    blob
}

#[test]
fn fields_are_found_through_names_and_nameless_members() {
    let btf = Btf::parse(example().bytes()).unwrap();
    assert_eq!(btf.offset("outer", "first"), Some(0));
    assert_eq!(btf.offset("outer", "a"), Some(4));
    assert_eq!(btf.offset("outer", "b.y"), Some(8));
    assert_eq!(btf.offset("outer", "c.y"), Some(16));
    assert_eq!(btf.offset("outer", "missing"), None);
    assert_eq!(btf.offset("missing", "first"), None);
    assert_eq!(btf.offset("outer", "first.x"), None);
}

#[test]
fn parameters_are_counted_unless_the_function_is_there_twice() {
    let mut blob = example();
    let btf = Btf::parse(blob.bytes()).unwrap();
    assert_eq!(btf.parameters("twice"), Some(2));
    assert_eq!(btf.parameters("outer"), None);
    blob.add("twice", KIND_FUNC, 0, 6, &[]);
    assert_eq!(Btf::parse(blob.bytes()).unwrap().parameters("twice"), None);
}

#[test]
fn damaged_types_are_refused_or_read_without_a_panic() {
    let whole = example().bytes();
    for length in 0..whole.len() {
        let _ = Btf::parse(whole[..length].to_vec());
    }
    for at in 0..whole.len() {
        for value in [0u8, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(btf) = Btf::parse(bytes) {
                let _ = (btf.offset("outer", "c.y"), btf.parameters("twice"));
            }
        }
    }
}

#[test]
fn a_structure_that_contains_itself_ends() {
    let mut blob = Blob::new();
    blob.add("loop", KIND_STRUCT, 1, 8, &[0, 1, 0]);
    assert_eq!(Btf::parse(blob.bytes()).unwrap().offset("loop", "x"), None);
    let mut blob = Blob::new();
    blob.add("name", KIND_TYPEDEF, 0, 1, &[]);
    let field = blob.name("f");
    blob.add("outer", KIND_STRUCT, 1, 8, &[field, 1, 0]);
    assert_eq!(Btf::parse(blob.bytes()).unwrap().offset("outer", "f.x"), None);
}

#[test]
fn a_kind_of_later_kernels_is_named() {
    let mut blob = Blob::new();
    blob.add("new", 25, 0, 0, &[]);
    let error = Btf::parse(blob.bytes()).err();
    assert_eq!(error, Some(BtfError::UnknownKind { number: 1, kind: 25 }));
}

#[test]
fn the_running_kernel_has_what_every_kernel_has() {
    let Ok(bytes) = std::fs::read(PATH) else {
        eprintln!("skipped: this kernel shows no types in {PATH}");
        return;
    };
    let btf = Btf::parse(bytes).unwrap();
    assert_eq!(btf.offset("epitem", "event.events").map(|at| at % 4), Some(0));
    assert!(btf.offset("file", "private_data").is_some());
    assert!(btf.offset("task_struct", "files").is_some());
    assert_eq!(btf.offset("eppoll_entry", "wait").map(|at| at % 8), Some(0));
    assert_eq!(btf.parameters("do_epoll_ctl"), Some(5));
}
